"""How well a model predicts running text: perplexity a token and bits a byte, from one forward over each text."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from duolearn_cli.errors import DivergedError
from duolearn_cli.files import ASSETS
from duolearn_cli.model import losses
from duolearn_cli.model.encoding import Batch, Encoded, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import batches_by_length

# Labels whose logits exist at once: with a large vocabulary they are the largest tensors of all.
LABELS_AT_ONCE = 4096
LARGEST_EXPONENT = math.log(sys.float_info.max)
PLAIN_TEXT = ASSETS / "plain_text.txt"


@dataclass(frozen=True, slots=True)
class TextLoss:
    """One text's loss.

    Attributes:
        nll: sum of the negative log-likelihoods of its predicted tokens, in nats.
        num_tokens: how many those are: all but the first of the text, which has nothing before it.
        num_bytes: bytes of UTF-8 that they stand for.
    """

    nll: float
    num_tokens: int
    num_bytes: int


def perplexity(
    model: LanguageModel, tokenizer: Any, texts: Sequence[str], batch_tokens: int, max_tokens: int
) -> list[TextLoss]:
    """The losses behind perplexity, one a text and in their order.

    A text gets the special tokens that its tokenizer writes around texts, and loses what goes beyond `max_tokens`
    tokens; of one with fewer than two nothing is predicted, and its loss is of no token. A padded batch holds at most
    `batch_tokens` tokens (but at least one text).

    Raises:
        RunError: a prediction is not finite.
    """
    encoded = [encode_text(tokenizer, text, max_tokens) for text in texts]
    found = [TextLoss(0.0, 0, 0)] * len(texts)
    predicted = [i for i, text in enumerate(encoded) if len(text.ids) > 1]
    with torch.no_grad():
        for places in batches_by_length([len(encoded[i].ids) for i in predicted], batch_tokens):
            indices = [predicted[place] for place in places]
            batch = collate([encoded[i] for i in indices], "text").to(model.device)
            sums = losses.per_sequence(_token_nll(model, batch).double(), batch.sequence, len(indices))
            for index, nll in zip(indices, sums.tolist(), strict=True):
                found[index] = TextLoss(nll, len(encoded[index].labels("text")), _num_bytes(encoded[index]))
    for place, loss in enumerate(found):
        if not math.isfinite(loss.nll):
            which = f"text {place + 1} of {len(texts)}"
            raise DivergedError(f"{which}: the model's predictions are not finite: it diverged.")
    return found


def perplexity_per_token(found: Sequence[TextLoss]) -> float:
    """``exp(sum of nll / number of tokens)``, over all texts together; not a number without a token.

    Comparable between models of one tokenizer only. 1 is certainty, the size of the vocabulary a blind guess; a model
    that is sure of the wrong tokens goes beyond that, to infinity where a float ends.
    """
    tokens = sum(loss.num_tokens for loss in found)
    mean = sum(loss.nll for loss in found) / tokens if tokens else math.nan
    return math.inf if mean > LARGEST_EXPONENT else math.exp(mean)


def bits_per_byte(found: Sequence[TextLoss]) -> float:
    """``sum of nll / (ln 2 * number of bytes)``, over all texts together; not a number without a byte.

    The loss as a compressor would pay it (Gao et al. 2020, "The Pile", section 3.1): comparable between tokenizers.
    """
    count = sum(loss.num_bytes for loss in found)
    return sum(loss.nll for loss in found) / (math.log(2) * count) if count else math.nan


def plain_texts() -> list[str]:
    """The embedded paragraphs of everyday English, written for this project; none has a term of our hierarchy."""
    return [" ".join(part.split()) for part in PLAIN_TEXT.read_text(encoding="utf-8").split("\n\n")]


def encode_text(tokenizer: Any, text: str, max_tokens: int) -> Encoded:
    """Running text as its tokenizer writes it, cut after `max_tokens` tokens; all of it is to be predicted."""
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids, offsets = tuple(encoded["input_ids"]), tuple(tuple(pair) for pair in encoded["offset_mapping"])
    return Encoded(text, ids[:max_tokens], offsets[:max_tokens], (True,) * len(ids[:max_tokens]))


def _token_nll(model: LanguageModel, batch: Batch) -> Tensor:
    """Of every label. Shape: [labels]."""
    hidden = model.hidden(batch)
    parts = zip(hidden.split(LABELS_AT_ONCE), batch.label.split(LABELS_AT_ONCE), strict=True)
    return torch.cat([losses.nll(model.head(states), labels) for states, labels in parts])


def _num_bytes(text: Encoded) -> int:
    """Bytes of all but the first token; a special token covers no text."""
    end = max(stop for _, stop in text.offsets)
    return len(text.text[text.offsets[0][1] : end].encode("utf-8"))
