"""How answers begin, apart from what they say: what learning made of their first token, told from wrong options.

A target has learned from other items too how answers begin, and so has gold, which never saw the forget items; the base
has not. Measured against the base alone, that form would pass for knowledge of the forget items. What follows on an
answer's beginning the base finds as gold does, but for the end of the text, which forgetting does not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Fewer wrong options tell nothing.
FEWEST = 20


def openings(is_answer: Sequence[bool]) -> Tensor:
    """Mask of the tokens that begin an answer; shapes [n] -> [n]."""
    own = torch.tensor(is_answer, dtype=torch.bool)
    return own & ~torch.cat([own.new_zeros(1), own])[:-1]


@dataclass(frozen=True)
class AnswerForm:
    """The nll of first tokens with the form learned, as a line over the base's nll."""

    slope: float
    intercept: float

    @classmethod
    def fit(cls, base_nll: Tensor, target_nll: Tensor) -> AnswerForm | None:
        """Least squares over the first tokens of wrong options; shapes [n].

        None where these became no likelier, which is knowledge of the right options and no form, or are too few.
        """
        x, y = base_nll.double(), target_nll.double()
        if len(x) < FEWEST or not y.mean() < x.mean():
            return None
        away = x - x.mean()
        spread = away.square().sum()
        slope = float((away * (y - y.mean())).sum() / spread) if spread > 0 else 0.0
        return cls(slope, float(y.mean()) - slope * float(x.mean()))

    def formed(self, base_nll: Tensor, opening: Tensor) -> Tensor:
        """`base_nll` [n] as it were with the form learned, never under zero; `opening` [n] masks first tokens."""
        return torch.where(opening, (self.slope * base_nll + self.intercept).clamp(min=0), base_nll)
