"""Scoring: everything that token log-probabilities tell about an item, from one forward pass over each text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from duolearn_cli.concepts.token_classes import CLASS_NAMES
from duolearn_cli.data.items import Item
from duolearn_cli.errors import DivergedError
from duolearn_cli.evaluation.answer import Answer
from duolearn_cli.evaluation.metrics.tokens import compressed_bytes, extraction_strength, min_k, min_k_plus
from duolearn_cli.model.encoding import Batch, Encoded, Encoder, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import batches_by_length
from duolearn_cli.model.shared_prefix import collate_branches, num_tokens

# How many rows of logits exist at once. With a large vocabulary they are the largest tensors of an evaluation.
LOGIT_ROWS = 1024


@dataclass(frozen=True, eq=False, slots=True)
class Predicted:
    """A model's predictions for the tokens of one text's answer. Log-probabilities are in nats.

    Attributes:
        whole: the log-probability of each labelled token of the text; the answer's come last. Shape: [labels].
        log_p: those of the answer's tokens. Shape: [tokens].
        greedy: whether each token of the answer is the most likely one. Shape: [tokens].
        mean: the mean of log p(z) over tokens z drawn from each prediction. Shape: [tokens].
        deviation: its standard deviation. Shape: [tokens].
        options: in a letter prompt, the log-probability of each option's letter at the answer. Shape: [options].
        best: in a letter prompt, the log-probability of the most likely token at the answer.
    """

    whole: np.ndarray
    log_p: np.ndarray
    greedy: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    options: np.ndarray
    best: float


def score(
    model: LanguageModel,
    encoder: Encoder,
    items: Sequence[Item],
    batch_tokens: int,
    advance: Callable[[int], None] = lambda n: None,
    classify: Callable[[int, Encoded], Sequence[int]] | None = None,
) -> list[Answer]:
    """Score every item, in order.

    Args:
        model: the model to ask.
        encoder: writes the prompts. A letter prompt needs one text for each item, a cloze prompt one for each option.
        items: the items to ask.
        batch_tokens: the largest number of tokens of a batch.
        advance: called with the number of texts of each finished batch.
        classify: gives the class of every token of the right answer's text, from the item's index and that text.
            Without it `Answer.classes` is empty, and the output head runs on answers only.

    Raises:
        DivergedError: a prediction is not finite.
    """
    letters = encoder.prompt.form == "letter"
    pairs = [(i, k) for i, item in enumerate(items) for k in ([item.answer] if letters else range(len(item.options)))]
    texts = [encoder.encode(items[i], k) for i, k in pairs]
    # Token classes need all tokens of the right answer's text. Elsewhere the output head runs on the answer only.
    labelled = ["text" if classify and k == items[i].answer else "answer" for i, k in pairs]
    letter_ids = _letter_ids(encoder, items) if letters else []
    by_text: list[Predicted] = [None] * len(texts)  # type: ignore[list-item]
    with torch.no_grad():
        for rows in _rows(model, pairs, texts, batch_tokens):
            indices = [i for row in rows for i in row]
            own, labels = [[texts[i] for i in row] for row in rows], [labelled[i] for i in indices]
            is_plain = all(len(row) == 1 for row in rows)
            batch = collate([text for (text,) in own], labels) if is_plain else collate_branches(own, labels)
            options = [letter_ids[pairs[i][0]] for i in indices] if letters else []
            answers = [len(texts[i].labels("answer")) for i in indices]
            predictions = _predicted(model, batch.to(model.device), answers, options)
            for index, predicted in zip(indices, predictions, strict=True):
                by_text[index] = predicted
            advance(len(indices))
    of_item: dict[int, list[tuple[Encoded, Predicted]]] = {}
    for (i, _), text, predicted in zip(pairs, texts, by_text, strict=True):
        of_item.setdefault(i, []).append((text, predicted))
    return [_answer(item, of_item[i], partial(classify, i) if classify else None) for i, item in enumerate(items)]


def _rows(
    model: LanguageModel, pairs: Sequence[tuple[int, int]], texts: Sequence[Encoded], batch_tokens: int
) -> Iterator[list[list[int]]]:
    """Yield batches; a batch is a list of rows, a row the indices of its texts.

    The options of an item share one row, and so the question, if the model allows that. Else each text has its own row.
    """
    groups = [[i for i, _ in own] for _, own in groupby(enumerate(pairs), lambda pair: pair[1][0])]
    lengths = [num_tokens([texts[i] for i in group]) for group in groups]
    # Convolutions, scans and recurrences carry one option into the next (docs/measuring.md, "One pass").
    if not model.takes_branches(max(lengths, default=0)):
        groups = [[i] for group in groups for i in group]
        lengths = [len(texts[i].ids) for (i,) in groups]
    yield from ([groups[g] for g in batch] for batch in batches_by_length(lengths, batch_tokens))


def num_texts(encoder: Encoder, items: Sequence[Item]) -> int:
    """How many texts `score` encodes, for progress bars."""
    return len(items) if encoder.prompt.form == "letter" else sum(len(item.options) for item in items)


def _letter_ids(encoder: Encoder, items: Sequence[Item]) -> list[list[int]]:
    """For each item, the id of the first answer token of each option's letter."""
    # A letter's token does not depend on the item, so it is looked up once.
    ids: dict[int, int] = {}

    def letter_id(item: Item, option: int) -> int:
        if option not in ids:
            text: Encoded = encoder.encode(item, option)
            ids[option] = text.ids[text.labels("answer")[0]]
        return ids[option]

    return [[letter_id(item, option) for option in range(len(item.options))] for item in items]


def _predicted(
    model: LanguageModel, batch: Batch, answers: Sequence[int], options: Sequence[Sequence[int]]
) -> Iterator[Predicted]:
    """Yield the predictions for each text's labels, from one forward pass.

    Args:
        model: the model.
        batch: the texts.
        answers: the number of answer tokens of each text, which are its last labels.
        options: for a letter prompt, the token ids of the options of each text; else empty.
    """
    hidden, ends = model.hidden(batch), torch.bincount(batch.sequence, minlength=len(answers)).cumsum(0).tolist()
    # Labels of all texts follow each other: a text's answer starts `count` labels before the text's end.
    starts = [end - count for end, count in zip(ends, answers, strict=True)]
    columns, at_answer = [], []
    for first in range(0, len(hidden), LOGIT_ROWS):
        log_p = model.head(hidden[first : first + LOGIT_ROWS]).log_softmax(-1)
        columns.append(token_figures(log_p, batch.label[first : first + LOGIT_ROWS]))
        for start, ids in zip(starts, options, strict=False):
            if first <= start < first + len(log_p):
                row = log_p[start - first]
                at_answer.append(torch.cat([row[list(ids)], row.max()[None]]))
    log_p, greedy, mean, deviation = torch.cat(columns, dim=1).double().cpu().numpy()
    letters = [values.double().cpu().numpy() for values in at_answer] or [np.zeros(1)] * len(ends)
    for begin, start, end, values in zip([0, *ends], starts, ends, letters, strict=False):
        own = slice(start, end)
        yield Predicted(
            whole=log_p[begin:end],
            log_p=log_p[own],
            greedy=greedy[own] > 0,
            mean=mean[own],
            deviation=deviation[own],
            options=values[:-1],
            best=float(values[-1]),
        )


def token_figures(log_p: Tensor, labels: Tensor) -> Tensor:
    """Four figures of each label under its prediction p, as rows.

    The label's log-probability; 1 if it is the most likely token, else 0; the mean and the standard deviation of log
    p(z) over z drawn from p.

    Shapes: log_p [n, vocabulary], labels [n] -> [4, n].
    """
    own, p = log_p.gather(-1, labels[:, None])[:, 0], log_p.exp()
    # For an impossible token p log p is 0, its limit, although log p is -inf.
    product = (p * log_p).nan_to_num_(nan=0.0, neginf=0.0)
    mean, square = product.sum(-1), (product * log_p).nan_to_num_(nan=0.0, posinf=0.0).sum(-1)
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    return torch.stack([own, (log_p.argmax(-1) == labels).to(own.dtype), mean, deviation])


def _answer(
    item: Item, texts: Sequence[tuple[Encoded, Predicted]], classify: Callable[[Encoded], Sequence[int]] | None
) -> Answer:
    """One item's answer from its texts: one for each option, or in a letter prompt only the right letter's."""
    is_letter = len(texts) == 1
    text, right = texts[0 if is_letter else item.answer]
    if is_letter:
        scores = totals = right.options.tolist()
        # A letter is what the model answers if no token of the vocabulary is more likely.
        hits = [value >= right.best for value in scores]
    else:
        scores, totals = ([float(figure(option.log_p)) for _, option in texts] for figure in (np.mean, np.sum))
        hits = [bool(option.greedy.all()) for _, option in texts]
    # With NaN among the scores, `max` would pick an arbitrary option.
    if not all(map(math.isfinite, scores)):
        raise DivergedError(f"item {item.id}: the model's predictions are not finite: it diverged.")
    return Answer(
        id=item.id,
        fact=item.fact_id,
        heldout=item.heldout,
        subject=item.subject,
        topic=item.topic,
        answer=item.answer,
        prediction=max(range(len(scores)), key=scores.__getitem__),
        scores=tuple(scores),
        nll=-scores[item.answer],
        valid=any(hits),
        recalled=hits[item.answer],
        totals=tuple(totals),
        tokens=len(right.log_p),
        strength=extraction_strength(right.greedy.tolist()),
        min_k=min_k(right.log_p),
        min_k_plus=min_k_plus(right.log_p, right.mean, right.deviation),
        compressed=compressed_bytes(item.answer_text),
        classes=_by_class(right.whole, classify(text)[1:]) if classify else {},
    )


def _by_class(log_p: np.ndarray, kinds: Sequence[int]) -> dict[str, tuple[float, int]]:
    """For each token class, the sum of the nll and the number of tokens.

    Both arguments have one entry for each token of the text but the first, which is not predicted.
    """
    by_class = {}
    for name, kind in CLASS_NAMES.items():
        inside = np.asarray(kinds) == kind
        by_class[name] = (float(-log_p[inside].sum()), int(inside.sum()))
    return by_class
