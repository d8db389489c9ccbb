"""TOFU's truth ratio, as a measure that is added with ``+measure=truth_ratio``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from duolearn_cli.evaluation.measures import SIDES, AddedMeasure, Answer, Answers, setting


@dataclass
class TruthRatio(AddedMeasure):
    """How likely the wrong options are, compared with the right one (Maini et al. 2024, "TOFU", section 2.2).

    R is the mean probability of the wrong options over the probability of the right one. A probability is the geometric
    mean over the tokens of an option. Items are asked in held-out phrasings if there are any. R is any positive number;
    the share R / (1 + R) is from 0 to 1.
    """

    side: str = setting("forget", "the side whose items are asked", choices=list(SIDES))

    definition = (
        "R / (1 + R), R being the mean probability of the wrong options over that of the right one: 50 % where both "
        "are as likely, 0 where only the right one is."
    )
    origin = "The truth ratio R is TOFU's (Maini et al. 2024); that it is shown as a share is this project's choice."

    def __post_init__(self) -> None:
        self.name = f"Truth ratio, {self.side} items"
        # On forget items gold's value is best, and a higher one is no gain.
        self.higher_is_better = False if self.side == "retain" else None

    def measure(self, model: str, answers: Mapping[str, Answers]) -> Mapping[str, float]:
        trained, heldout = SIDES[self.side]
        by_fact: dict[str, list[float]] = defaultdict(list)
        for answer in answers[model].get(heldout) or answers[model].get(trained) or ():
            by_fact[answer.fact].append(share(answer))
        return {fact: fmean(shares) for fact, shares in by_fact.items()}


def share(answer: Answer) -> float:
    """R / (1 + R) of one item. `Answer.scores` are means over tokens: their exponentials are geometric means."""
    highest = max(answer.scores)
    # The highest score is subtracted first, which changes no ratio: unlikely options would all become 0 otherwise.
    likely = [math.exp(score - highest) for score in answer.scores]
    right = likely.pop(answer.answer)
    wrong = fmean(likely)
    return wrong / (wrong + right)
