"""A model's answer to one item, as plain numbers. This module imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# One model's answers by split.
Answers = Mapping[str, Sequence["Answer"]]
FORGET, RETAIN = ("forget_train", "forget_heldout"), ("retain_train", "retain_heldout")
SIDES = {"forget": FORGET, "retain": RETAIN}


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's answer to one item.

    Attributes:
        id: the item's id.
        fact: the item's fact.
        heldout: whether the item is a held-out phrasing.
        subject: the item's subject label, if it has one.
        topic: the item's topic label, if it has one.
        answer: the index of the right option.
        prediction: the index of the option with the highest score, the first one if several tie.
        scores: the log-probability of each option in nats; in a cloze prompt, the mean over the option's tokens.
        nll: the negative log-likelihood of the right answer, nats per token.
        valid: whether the most likely continuation, token by token, is one of the options.
        recalled: whether the most likely continuation, token by token, is the right answer (open-ended recall).
        totals: as `scores`, but in a cloze prompt the sum over the option's tokens.
        tokens: the number of tokens of the right answer.
        strength: the right answer's extraction strength.
        min_k: the right answer's score in the membership attack of this name.
        min_k_plus: likewise.
        compressed: bytes of the right answer after zlib.
        classes: for each token class, the sum of the nll over question and right answer, and the number of tokens.
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
        """The share of the answer that each option gets; see `shares_of_highest`."""
        return shares_of_highest(self.scores)

    @property
    def correct(self) -> float:
        """1 for a right answer, 0 for a wrong one; 1 / m if the right option ties with others and m options tie."""
        return self.chosen[self.answer]

    @property
    def correct_by_total(self) -> float:
        """As `correct`, with options ranked by `totals`."""
        return shares_of_highest(self.totals)[self.answer]

    @property
    def chance(self) -> float:
        """1 / number of options."""
        return 1 / len(self.scores)

    @property
    def chances(self) -> list[float]:
        """The probabilities of the options relative to each other: the softmax of `scores`."""
        import numpy as np

        weights = np.exp(np.asarray(self.scores) - max(self.scores))
        return (weights / weights.sum()).tolist()

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        # dataclasses.asdict copies deeply: for thousands of answers that takes a second for each model.
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Answer:
        """The answer from `as_dict`, in which JSON has turned tuples into lists."""
        classes = {name: tuple(pair) for name, pair in row["classes"].items()}
        return cls(**{**row, "scores": tuple(row["scores"]), "totals": tuple(row["totals"]), "classes": classes})


def shares_of_highest(scores: Sequence[float]) -> list[float]:
    """1 for the highest score, 0 for the others; 1 / m for each of m that tie, so that a tie prefers no position."""
    best = max(scores)
    return [(score == best) / scores.count(best) for score in scores]
