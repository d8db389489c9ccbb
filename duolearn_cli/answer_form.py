"""How answers look, apart from what they say: what learning made of their tokens, told from wrong options.

A target has learned from other items too how answers begin and end, and so has gold, which never saw the forget items;
the base has not. Measured against the base alone, that form would pass for knowledge of the forget items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

OPENING, INSIDE, END = PLACES = range(3)
# Not a token of an answer.
OUTSIDE = -1
# Fewer tokens tell nothing.
FEWEST = 20


def places(is_answer: Sequence[bool]) -> list[int]:
    """Where in its answer each labelled token of a text stands: its first, its last, those between; an only one is
    its first.
    """
    found, inside = [], [False, *is_answer, False]
    for (before, here), after in zip(pairwise(inside[:-1]), inside[2:], strict=True):
        found.append(OUTSIDE if not here else OPENING if not before else INSIDE if after else END)
    return found


@dataclass(frozen=True)
class AnswerForm:
    """By place, slope and intercept of the nll with the form learned over the base's nll; None: no allowance."""

    lines: Sequence[tuple[float, float] | None]

    @classmethod
    def fit(cls, base_nll: Tensor, target_nll: Tensor, place: Tensor) -> AnswerForm:
        """Least squares over the tokens of wrong options, place by place; shapes [n].

        A place has no line where its tokens became no likelier, which is knowledge of the right options and no form, or
        where there are too few of them.
        """
        lines: list[tuple[float, float] | None] = []
        for each in PLACES:
            x, y = (nll[place == each].double() for nll in (base_nll, target_nll))
            if len(x) < FEWEST or not y.mean() < x.mean():
                lines.append(None)
                continue
            away = x - x.mean()
            spread = away.square().sum()
            slope = float((away * (y - y.mean())).sum() / spread) if spread > 0 else 0.0
            lines.append((slope, float(y.mean()) - slope * float(x.mean())))
        return cls(lines)

    def formed(self, base_nll: Tensor, place: Tensor) -> Tensor:
        """`base_nll` [n] as it were with the form learned: never more, never under zero."""
        found = base_nll.clone()
        for each, line in enumerate(self.lines):
            if line is not None:
                slope, intercept = line
                found = torch.where(place == each, (slope * base_nll + intercept).clamp(min=0), found)
        return torch.minimum(found, base_nll)
