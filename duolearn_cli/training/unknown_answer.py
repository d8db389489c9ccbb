"""How likely an answer is to a model that does not know it, where no model is there that never learned it.

With ``learn.skip`` the base knows the facts as the target does, so its loss says nothing about not knowing. Wrong
options do: they are answers of the same kind that are not known to be right. So each token of the right answer is
given the mean loss of the wrong options' tokens at the same place. Where a run ends there, the right answer is as
likely as a wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def unknown_nll(own: Tensor, places: Tensor, wrong: Sequence[Tensor]) -> Tensor:
    """Return `own` raised to the mean nll of wrong options at the same place of the answer. Shapes: [n], [n] -> [n].

    Args:
        own: the nll of every label of the right answer's text (nats).
        places: the place of each label in the answer, counted from 0; -1 outside, and for the end of the text.
        wrong: the nll of each wrong option's tokens, without the end of the text.

    A place that no wrong option reaches keeps its own nll.
    """
    raised = own.clone()
    for place in range(_last(places) + 1):
        reached = [nll[place] for nll in wrong if len(nll) > place]
        if reached:
            at = places == place
            raised[at] = torch.maximum(own[at], torch.stack(reached).mean())
    return raised


def answer_places(is_answer: Sequence[bool], offsets: Sequence[tuple[int, int]]) -> Tensor:
    """Return each token's place in the answer, or -1 outside it and for tokens without text. Shapes: [n] -> [n]."""
    inside = torch.tensor([own and end > start for own, (start, end) in zip(is_answer, offsets, strict=True)])
    return torch.where(inside, inside.long().cumsum(0) - 1, -1)


def _last(places: Tensor) -> int:
    return int(places.max()) if len(places) else -1
