"""One update of the adapter: the optimiser's step along both gradients, and the constraint on that step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from duolearn_cli.config.unlearning import GeometryConfig, UnlearnConfig
from duolearn_cli.model.distributed import Processes
from duolearn_cli.training import geometry
from duolearn_cli.training.constraint import Constraint, curvature, make_optimizer
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.gradients import Gradients


@dataclass(frozen=True, eq=False)
class Move:
    """The result of an update.

    Attributes:
        wanted: the vector before the constraint [n]: the optimiser's step, or minus the gradient.
        allowed: the same vector after the constraint [n].
        step: the displacement of the values [n].
        slopes: how steeply each preserve loss would have risen along `wanted` [blocks, constraints].
    """

    wanted: Tensor
    allowed: Tensor
    step: Tensor
    slopes: Tensor


class Update:
    """Optimiser, constraint and coordinates. With their state, a resumed run gives the same bits as an unbroken one."""

    def __init__(
        self,
        coordinates: Coordinates,
        settings: UnlearnConfig,
        constraint: GeometryConfig,
        processes: Processes,
        held: Tensor | None = None,
    ) -> None:
        self.coordinates, self.processes, self._settings = coordinates, processes, settings
        blocks = coordinates.blocks(constraint.scope).values()
        self.layers = coordinates.blocks("layer")
        self.constraint = Constraint(constraint, list(blocks), processes, held)
        self._optimizer = make_optimizer(coordinates.values, settings)

    @torch.no_grad()
    def apply(self, step: int, rate: float, gradients: Gradients) -> Move:
        """Move the adapter by one step; `step` counts from 1, `rate` is its learning rate.

        With ``space=step`` the optimiser steps first, with its momentum, clipping and weight decay. The constraint then
        corrects the whole displacement. With ``space=gradient`` the constraint corrects the gradient that the optimiser
        gets; momentum and the optimiser's metric may turn it into a step that conflicts again
        (`tests/training/test_update.py` shows it for Adam).
        """
        values, constraint = self.coordinates.values, self.constraint
        space, preserve = constraint.settings.space, constraint.smooth(gradients.preserve)
        total = gradients.forget if constraint.settings.follow == "forget" else gradients.forget + gradients.preserve
        # Before the constraint, which then has a Fisher from the first step on.
        if gradients.squares is not None:
            constraint.observe(gradients.squares)
        # A copy, because the optimiser moves the values in place and the step is their difference.
        before = values.clone()
        if space == "gradient":
            wanted = -total
            allowed, slopes = constraint.allow(wanted, preserve)
            self._optimise(-allowed, rate)
        elif space == "step" or constraint.held is not None:
            self._optimise(total, rate)
            wanted = values - before
            allowed, slopes = constraint.allow(wanted, preserve, curvature(self._optimizer, values))
            # Coordinates without a correction keep the optimiser's values: before + (values - before) would round.
            values.copy_(torch.where(allowed == wanted, values, before + allowed))
        else:
            self._optimise(total, rate)
            wanted = allowed = values - before
            # Nothing is constrained here, but the conflict is measured all the same (docs/geometry.md, "Definitions").
            slopes = self.processes.sum_parts(geometry.inner(wanted, preserve)).view(1, 1)
        self.coordinates.write()
        # After the constraint: the basis holds gradients of earlier steps, this step's own is a constraint anyway.
        constraint.remember(step, gradients.preserve)
        return Move(wanted, allowed, values - before, slopes)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint: chosen coordinates, state of the optimiser and of the constraint."""
        moments = self._optimizer.state_dict()["state"].get(0, {})
        state = {f"optimizer.{name}": value for name, value in moments.items() if isinstance(value, Tensor)}
        state |= {f"constraint.{name}": value for name, value in self.constraint.state().items()}
        return state if self.coordinates.index is None else state | {"index": self.coordinates.index}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`. The coordinates must be those of its ``index``."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

        # A checkpoint holds tensors only. The optimiser's settings are those of this run, and each step sets the rate.
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": {0: part("optimizer.")}, "param_groups": groups})
        device = self.coordinates.values.device
        self.constraint.restore({name: value.to(device) for name, value in part("constraint.").items()})

    def _optimise(self, gradient: Tensor, rate: float) -> None:
        """Take one optimiser step along `gradient` [n], clipped to the norm ``unlearn.max_grad_norm``."""
        # The norm is that of the whole vector: shards must be scaled alike.
        norm = self.processes.sum_parts(gradient.square().sum()).sqrt()
        self.coordinates.values.grad = gradient * (self._settings.max_grad_norm / norm.clamp(min=1e-12)).clamp(max=1)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
