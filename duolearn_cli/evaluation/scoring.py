"""Score items with one forward over each distinct text: all that log-probabilities of tokens can tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duolearn_cli.concepts.token_classes import CLASS_NAMES
from duolearn_cli.data.items import Item
from duolearn_cli.errors import DivergedError
from duolearn_cli.evaluation.metrics.tokens import compressed_bytes, extraction_strength, min_k, min_k_plus
from duolearn_cli.model.encoding import Batch, Encoded, Encoder, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.packing import batches_by_length
from duolearn_cli.model.shared_prefix import collate_branches, num_tokens

# Labels whose logits exist at once: with a large vocabulary they are the largest tensors of all.
LABELS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one item.

    Attributes:
        prediction: the option with the highest score, the first of several.
        scores: log-probability of each option, for cloze the mean over its tokens.
        totals: the same, for cloze the sum over its tokens.
        nll: mean negative log-likelihood of the right answer's `tokens` tokens, in nats.
        valid: the most likely continuation, token by token, is one of the options.
        recalled: the most likely continuation, token by token, is the right answer (open-ended recall).
        strength: extraction strength of the right answer.
        min_k, min_k_plus: scores of the membership attacks of these names on the right answer.
        compressed: bytes of the right answer after zlib.
        classes: by token class, the sum of nll over question and right answer, and how many tokens it has there.
    """

    id: str
    fact: str
    heldout: bool
    subject: str | None
    topic: str | None
    answer: int
    prediction: int
    scores: tuple[float, ...]
    nll: float
    valid: bool
    recalled: bool
    totals: tuple[float, ...]
    tokens: int
    strength: float
    min_k: float
    min_k_plus: float
    compressed: int
    classes: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def chosen(self) -> list[float]:
        """How much of the answer each option is: see `shares_of_highest`."""
        return shares_of_highest(self.scores)

    @property
    def correct(self) -> float:
        """1 for a right answer, 0 for a wrong one, 1 / m where the right option is one of m with the highest score."""
        return self.chosen[self.answer]

    @property
    def chance(self) -> float:
        return 1 / len(self.scores)

    @property
    def chances(self) -> list[float]:
        """The probabilities of the options against each other: softmax of `scores`."""
        weights = np.exp(np.asarray(self.scores) - max(self.scores))
        return (weights / weights.sum()).tolist()

    def as_dict(self) -> dict[str, Any]:
        """The fields by name. Nothing is copied: of thousands of answers that would take a second a model."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Answer:
        """The answer from `as_dict`, after JSON has made lists of tuples."""
        classes = {name: tuple(pair) for name, pair in row["classes"].items()}
        return cls(**{**row, "scores": tuple(row["scores"]), "totals": tuple(row["totals"]), "classes": classes})


def shares_of_highest(scores: Sequence[float]) -> list[float]:
    """1 for the highest score; 1 / m for each of m equal ones, so that equal scores choose no place."""
    best = max(scores)
    return [(score == best) / scores.count(best) for score in scores]


@dataclass(frozen=True, eq=False, slots=True)
class Predicted:
    """What a model thinks of one text's answer. Arrays have one entry a token of it, `options` one an option.

    Attributes:
        whole: log-probability of each labelled token of the text, those of the answer last.
        log_p: those of the answer.
        greedy: it is the most likely one.
        mean, deviation: of log p(z) over z drawn from the prediction.
        options: where the answer is a letter, the log-probabilities of the options' letters in its place.
        best: that of the most likely token there.
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
    """Answer every item, in order. `advance` is told the number of texts of each finished batch.

    Letter prompts need one text an item, cloze prompts one an option. `classify` gives the class of every token of an
    item's text, by the item's place; without it `Answer.classes` is empty, and only answers are looked at.

    Raises RunError where a prediction is not finite.
    """
    letters = encoder.prompt.form == "letter"
    pairs = [(i, k) for i, item in enumerate(items) for k in ([item.answer] if letters else range(len(item.options)))]
    texts = [encoder.encode(items[i], k) for i, k in pairs]
    wanted = ["text" if classify and k == items[i].answer else "answer" for i, k in pairs]
    letter_ids = _letter_ids(encoder, items) if letters else []
    found: list[Predicted] = [None] * len(texts)  # type: ignore[list-item]
    with torch.no_grad():
        for rows in _rows(model, pairs, texts, batch_tokens):
            indices = [i for row in rows for i in row]
            own, labels = [[texts[i] for i in row] for row in rows], [wanted[i] for i in indices]
            is_plain = all(len(row) == 1 for row in rows)
            batch = collate([text for (text,) in own], labels) if is_plain else collate_branches(own, labels)
            options = [letter_ids[pairs[i][0]] for i in indices] if letters else []
            answers = [len(texts[i].labels("answer")) for i in indices]
            predictions = _predicted(model, batch.to(model.device), answers, options)
            for index, predicted in zip(indices, predictions, strict=True):
                found[index] = predicted
            advance(len(indices))
    of_item: dict[int, list[tuple[Encoded, Predicted]]] = {}
    for (i, _), text, predicted in zip(pairs, texts, found, strict=True):
        of_item.setdefault(i, []).append((text, predicted))
    return [_answer(item, of_item[i], partial(classify, i) if classify else None) for i, item in enumerate(items)]


def _rows(
    model: LanguageModel, pairs: Sequence[tuple[int, int]], texts: Sequence[Encoded], batch_tokens: int
) -> Iterator[list[list[int]]]:
    """Batches of rows of indices of texts: an item's options in one row, if the model lets them share the question."""
    groups = [[i for i, _ in own] for _, own in groupby(enumerate(pairs), lambda pair: pair[1][0])]
    lengths = [num_tokens([texts[i] for i in group]) for group in groups]
    if not model.takes_branches(max(lengths, default=0)):
        groups = [[i] for group in groups for i in group]
        lengths = [len(texts[i].ids) for (i,) in groups]
    yield from ([groups[g] for g in batch] for batch in batches_by_length(lengths, batch_tokens))


def num_texts(encoder: Encoder, items: Sequence[Item]) -> int:
    """How many texts `score` runs over."""
    return len(items) if encoder.prompt.form == "letter" else sum(len(item.options) for item in items)


def _letter_ids(encoder: Encoder, items: Sequence[Item]) -> list[list[int]]:
    """The first answer token of each option's letter, by item."""
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
    """What the model thinks of each text's labels, from one forward.

    `answers` are the numbers of the texts' answer tokens, which come last; `options` token ids for the first of them.
    """
    hidden, ends = model.hidden(batch), torch.bincount(batch.sequence, minlength=len(answers)).cumsum(0).tolist()
    places = [end - count for end, count in zip(ends, answers, strict=True)]
    columns, at_place = [], []
    for start in range(0, len(hidden), LABELS_AT_ONCE):
        log_p = model.head(hidden[start : start + LABELS_AT_ONCE]).log_softmax(-1)
        columns.append(token_figures(log_p, batch.label[start : start + LABELS_AT_ONCE]))
        for place, ids in zip(places, options, strict=False):
            if start <= place < start + len(log_p):
                row = log_p[place - start]
                at_place.append(torch.cat([row[list(ids)], row.max()[None]]))
    log_p, greedy, mean, deviation = torch.cat(columns, dim=1).double().cpu().numpy()
    letters = [values.double().cpu().numpy() for values in at_place] or [np.zeros(1)] * len(ends)
    for begin, place, end, values in zip([0, *ends], places, ends, letters, strict=False):
        own = slice(place, end)
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
    """Of each label: log-probability, 1 if it is the most likely, mean and deviation of log p under the prediction.

    Shapes: log_p [n, vocabulary], labels [n] -> [4, n].
    """
    own, p = log_p.gather(-1, labels[:, None])[:, 0], log_p.exp()
    # Of what cannot happen p log p is zero, whatever log p is.
    product = (p * log_p).nan_to_num_(nan=0.0, neginf=0.0)
    mean, square = product.sum(-1), (product * log_p).nan_to_num_(nan=0.0, posinf=0.0).sum(-1)
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    return torch.stack([own, (log_p.argmax(-1) == labels).to(own.dtype), mean, deviation])


def _answer(
    item: Item, texts: Sequence[tuple[Encoded, Predicted]], classify: Callable[[Encoded], Sequence[int]] | None
) -> Answer:
    """One item's answer from its texts: one an option, or the right letter's alone."""
    is_letter = len(texts) == 1
    text, right = texts[0 if is_letter else item.answer]
    if is_letter:
        scores = totals = right.options.tolist()
        hits = [value >= right.best for value in scores]
    else:
        scores, totals = ([float(figure(option.log_p)) for _, option in texts] for figure in (np.mean, np.sum))
        hits = [bool(option.greedy.all()) for _, option in texts]
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
    """By class the sum of nll and the number of tokens. Both arguments have one entry a label, all but the first."""
    found = {}
    for name, kind in CLASS_NAMES.items():
        inside = np.asarray(kinds) == kind
        found[name] = (float(-log_p[inside].sum()), int(inside.sum()))
    return found
