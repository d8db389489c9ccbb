"""Perplexity per token and bits per byte of running text, from one forward pass over each text."""

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

# How many rows of logits exist at once. With a large vocabulary they are the largest tensors of an evaluation.
LOGIT_ROWS = 4096
LARGEST_EXPONENT = math.log(sys.float_info.max)
PLAIN_TEXT = ASSETS / "plain_text.txt"


@dataclass(frozen=True, slots=True)
class TextLoss:
    """The loss of one text.

    Attributes:
        nll: the negative log-likelihood of its predicted tokens, summed, in nats.
        num_tokens: the number of predicted tokens: all but the first, which has nothing before it.
        num_bytes: the UTF-8 bytes that the predicted tokens stand for.
    """

    nll: float
    num_tokens: int
    num_bytes: int


def perplexity(
    model: LanguageModel, tokenizer: Any, texts: Sequence[str], batch_tokens: int, max_tokens: int
) -> list[TextLoss]:
    """The losses of texts, from which `perplexity_per_token` and `bits_per_byte` are computed.

    Args:
        model: the model.
        tokenizer: its tokenizer, with the special tokens that it writes around a text.
        texts: the texts.
        batch_tokens: the most tokens of a padded batch; a batch has at least one text.
        max_tokens: texts are cut after this many tokens.

    Returns:
        One loss for each text, in their order. A text with fewer than two tokens has a loss of 0 over no token.

    Raises:
        DivergedError: a prediction is not finite.
    """
    encoded = [encode_text(tokenizer, text, max_tokens) for text in texts]
    by_text = [TextLoss(0.0, 0, 0)] * len(texts)
    # The first token of a text is not predicted, so a text of one token has no loss.
    predicted = [i for i, text in enumerate(encoded) if len(text.ids) > 1]
    with torch.no_grad():
        for batch_indices in batches_by_length([len(encoded[i].ids) for i in predicted], batch_tokens):
            indices = [predicted[i] for i in batch_indices]
            batch = collate([encoded[i] for i in indices], "text").to(model.device)
            sums = losses.per_sequence(_token_nll(model, batch).double(), batch.sequence, len(indices))
            for index, nll in zip(indices, sums.tolist(), strict=True):
                by_text[index] = TextLoss(nll, len(encoded[index].labels("text")), _num_bytes(encoded[index]))
    for i, loss in enumerate(by_text):
        if not math.isfinite(loss.nll):
            which = f"text {i + 1} of {len(texts)}"
            raise DivergedError(f"{which}: the model's predictions are not finite: it diverged.")
    return by_text


def perplexity_per_token(texts: Sequence[TextLoss]) -> float:
    """``exp(sum of nll / number of tokens)`` over all texts together; NaN if there are no tokens.

    Only models with the same tokenizer are comparable. 1 is certainty, the size of the vocabulary a blind guess. A
    model that is certain of wrong tokens has more, up to infinity if the result does not fit a float.
    """
    tokens = sum(loss.num_tokens for loss in texts)
    mean = sum(loss.nll for loss in texts) / tokens if tokens else math.nan
    return math.inf if mean > LARGEST_EXPONENT else math.exp(mean)


def bits_per_byte(texts: Sequence[TextLoss]) -> float:
    """``sum of nll / (ln 2 * number of bytes)`` over all texts together; NaN if there are no bytes.

    The cost of the texts to an ideal compressor that uses the model (Gao et al. 2020, "The Pile", section 3.1). Models
    with different tokenizers are comparable.
    """
    count = sum(loss.num_bytes for loss in texts)
    return sum(loss.nll for loss in texts) / (math.log(2) * count) if count else math.nan


def plain_texts() -> list[str]:
    """The embedded paragraphs of everyday English, written for this project; none has a term of our hierarchy."""
    return [" ".join(part.split()) for part in PLAIN_TEXT.read_text(encoding="utf-8").split("\n\n")]


def encode_text(tokenizer: Any, text: str, max_tokens: int) -> Encoded:
    """Encode running text, cut after `max_tokens` tokens. All tokens count as answer: every one is predicted."""
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids, offsets = tuple(encoded["input_ids"]), tuple(tuple(pair) for pair in encoded["offset_mapping"])
    return Encoded(text, ids[:max_tokens], offsets[:max_tokens], (True,) * len(ids[:max_tokens]))


def _token_nll(model: LanguageModel, batch: Batch) -> Tensor:
    """The negative log-likelihood of every label, in nats. Shape: [labels]."""
    hidden = model.hidden(batch)
    parts = zip(hidden.split(LOGIT_ROWS), batch.label.split(LOGIT_ROWS), strict=True)
    return torch.cat([losses.nll(model.head(states), labels) for states, labels in parts])


def _num_bytes(text: Encoded) -> int:
    """The UTF-8 bytes of all tokens but the first. Special tokens cover no text."""
    end = max(stop for _, stop in text.offsets)
    return len(text.text[text.offsets[0][1] : end].encode("utf-8"))
