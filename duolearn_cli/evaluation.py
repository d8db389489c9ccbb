"""Score items with one forward over each distinct text: answers, losses, validity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from duolearn_cli.data.encoding import Encoded, Encoder, batches_by_length, collate
from duolearn_cli.data.items import Item
from duolearn_cli.errors import RunError
from duolearn_cli.losses import nll
from duolearn_cli.model import LanguageModel


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one item.

    Attributes:
        scores: log-probability of each option, for cloze the mean over its tokens.
        nll: mean negative log-likelihood of the right answer's tokens, in nats.
        valid: the most likely continuation, token by token, is one of the options.
        recalled: the most likely continuation, token by token, is the right answer (open-ended recall).
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

    @property
    def correct(self) -> float:
        return float(self.prediction == self.answer)

    @property
    def chance(self) -> float:
        return 1 / len(self.scores)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def score(
    model: LanguageModel,
    encoder: Encoder,
    items: Sequence[Item],
    batch_tokens: int,
    advance: Callable[[int], None] = lambda n: None,
) -> list[Answer]:
    """Answer every item, in order. `advance` is told the number of texts of each finished batch.

    Letter prompts need one text an item, cloze prompts one an option. Raises RunError where a prediction is not finite.
    """
    letters = encoder.prompt.form == "letter"
    texts = [
        encoder.encode(item, option) for item in items for option in ((None,) if letters else range(len(item.options)))
    ]
    results: list[Any] = [None] * len(texts)
    answer_ids = _letter_ids(encoder, items) if letters else []
    with torch.no_grad():
        for indices in batches_by_length([len(text.ids) for text in texts], batch_tokens):
            batch = collate([texts[i] for i in indices], "answer").to(model.device)
            logits = model.head(model.hidden(batch))
            if letters:
                for place, index in enumerate(indices):
                    results[index] = _letter_result(logits[batch.row == place][0], answer_ids[index])
            else:
                for index, result in zip(
                    indices, _option_results(logits, batch.label, batch.row, len(indices)), strict=True
                ):
                    results[index] = result
            advance(len(indices))
    per_item = iter(results)
    if letters:
        return [_answer(item, *next(per_item)) for item in items]
    return [_answer(item, *_join([next(per_item) for _ in item.options])) for item in items]


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


def _letter_result(logits: Tensor, letters: list[int]) -> tuple[list[float], list[bool]]:
    """Log-probability of each letter, and whether it is the most likely token of all. logits: [vocabulary]."""
    log_p = torch.log_softmax(logits, dim=-1)
    likeliest = int(log_p.argmax())
    return log_p[letters].tolist(), [letter == likeliest for letter in letters]


def _option_results(logits: Tensor, labels: Tensor, rows: Tensor, num_rows: int) -> list[tuple[float, bool]]:
    """For each row, the mean log-probability of its labels and whether every label is the most likely token."""
    log_p = -nll(logits, labels).double()
    counts = torch.bincount(rows, minlength=num_rows)
    sums = torch.zeros(num_rows, dtype=torch.float64, device=log_p.device).index_add(0, rows, log_p)
    missed = torch.zeros(num_rows, device=log_p.device).index_add(0, rows, (logits.argmax(-1) != labels).float())
    return list(zip((sums / counts).tolist(), (missed == 0).tolist(), strict=True))


def _join(options: Sequence[tuple[float, bool]]) -> tuple[list[float], list[bool]]:
    return [value for value, _ in options], [greedy for _, greedy in options]


def _answer(item: Item, scores: list[float], greedy: list[bool]) -> Answer:
    if not all(map(math.isfinite, scores)):
        raise RunError(f"item {item.id}: the model's predictions are not finite: it diverged.")
    prediction = max(range(len(scores)), key=scores.__getitem__)
    return Answer(
        id=item.id,
        fact=item.fact_id,
        heldout=item.heldout,
        subject=item.subject,
        topic=item.topic,
        answer=item.answer,
        prediction=prediction,
        scores=tuple(scores),
        nll=-scores[item.answer],
        valid=any(greedy),
        recalled=greedy[item.answer],
    )
