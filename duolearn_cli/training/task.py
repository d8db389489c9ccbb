"""The task of an unlearning run: forget and retain examples, method, settings of the loop and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.methods.base import Method
from duolearn_cli.training.forward import Example


@dataclass(frozen=True, eq=False)
class UnlearningTask:
    """Everything that determines the steps of the loop, apart from the model and the state of the optimiser.

    Attributes:
        seed: determines the order of items and the choice of coordinates.
        rehearsed: forget examples of earlier requests, `settings.rehearse` of which join each step in turn.
        pack_to: the length in tokens of rows that several texts share; None: one text per row.
    """

    forget: Sequence[Example]
    retain: Sequence[Example]
    method: Method
    settings: UnlearnConfig
    seed: int
    pack_to: int | None = None
    rehearsed: Sequence[Example] = ()
