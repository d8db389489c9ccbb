"""The form of answers: how likely their first token becomes through learning, whatever the answer says.

The target learns how answers begin from all items, and so does gold, which never saw the forget items. The base has not
learned it. Compared with the base alone, this form would therefore count as knowledge of the forget items. Wrong
options show it: they begin like answers, and nobody learned them. Only first tokens need the correction. Base and gold
agree on the tokens after it, except on the end of the text, which forgetting leaves alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# A line through fewer wrong options is mostly noise.
MIN_OPTIONS = 20


def answer_starts(is_answer: Sequence[bool]) -> Tensor:
    """Return the mask of the tokens that begin an answer. Shapes: [n] -> [n]."""
    own = torch.tensor(is_answer, dtype=torch.bool)
    return own & ~torch.cat([own.new_zeros(1), own])[:-1]


@dataclass(frozen=True)
class AnswerForm:
    """A line from the base's nll of an answer's first token to its nll once the form is learned (nats)."""

    slope: float
    intercept: float

    @classmethod
    def fit(cls, base_nll: Tensor, target_nll: Tensor) -> AnswerForm | None:
        """Fit the line by least squares to the first tokens of wrong options. Shapes: [n] each.

        Return None if there are fewer than `MIN_OPTIONS`, or if wrong options became no likelier on average: the
        target then learned which options are right, and no form.
        """
        x, y = base_nll.double(), target_nll.double()
        # `not <`, so that NaN draws no line either. On minimed the base knows the form, and learning makes wrong
        # options less likely: a line there would take knowledge of the right options for form
        # (docs/history/lab-notes.md, "How answers look").
        if len(x) < MIN_OPTIONS or not y.mean() < x.mean():
            return None
        away = x - x.mean()
        spread = away.square().sum()
        slope = float((away * (y - y.mean())).sum() / spread) if spread > 0 else 0.0
        return cls(slope, float(y.mean()) - slope * float(x.mean()))

    def adjust(self, base_nll: Tensor, starts: Tensor) -> Tensor:
        """Return `base_nll` as if the base had learned the form: on the line at `starts`, unchanged elsewhere.

        Shapes: base_nll [n], starts [n] (mask of first tokens) -> [n]. No value is below zero.
        """
        # The line is not cut where it rises above the base: uncut, it foretold gold's losses best
        # (docs/history/lab-notes.md, "How answers look").
        return torch.where(starts, (self.slope * base_nll + self.intercept).clamp(min=0), base_nll)
