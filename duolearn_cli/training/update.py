"""One update of the adapter: the optimiser's step along both gradients, and the constraint on it."""

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
    """What an update did: `wanted` is what was constrained, `allowed` what came of it, `step` the displacement.

    Shapes: [n], but `slopes` [blocks, constraints]: how steeply the preserve losses would have risen along `wanted`.
    """

    wanted: Tensor
    allowed: Tensor
    step: Tensor
    slopes: Tensor


class Update:
    """Optimiser, constraint and coordinates; their state makes a resumed run the unbroken one."""

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
    def apply(self, step: int, rate: float, found: Gradients) -> Move:
        """Move the adapter; `step` counts from 1.

        In the space of steps the optimiser moves first, with its momentum, clipping and weight decay, and what its
        whole displacement must not do is taken back. In that of gradients it is given a gradient without conflict,
        which its momentum and its metric may turn into a step with one.
        """
        values, constraint = self.coordinates.values, self.constraint
        space, preserve = constraint.settings.space, constraint.smooth(found.preserve)
        total = found.forget if constraint.settings.follow == "forget" else found.forget + found.preserve
        if found.squares is not None:
            constraint.observe(found.squares)
        before = values.clone()
        if space == "gradient":
            wanted = -total
            allowed, slopes = constraint.allow(wanted, preserve)
            self._optimise(-allowed, rate)
        elif space == "step" or constraint.held is not None:
            self._optimise(total, rate)
            wanted = values - before
            allowed, slopes = constraint.allow(wanted, preserve, curvature(self._optimizer, values))
            # Where nothing was taken the optimiser's own values stay: adding the difference again would round.
            values.copy_(torch.where(allowed == wanted, values, before + allowed))
        else:
            self._optimise(total, rate)
            wanted = allowed = values - before
            slopes = self.processes.sum_parts(geometry.inner(wanted, preserve)).view(1, 1)
        self.coordinates.write()
        constraint.remember(step, found.preserve)
        return Move(wanted, allowed, values - before, slopes)

    def state(self) -> dict[str, Tensor]:
        """Tensors for a checkpoint: the chosen coordinates, what the optimiser and the constraint remember."""
        moments = self._optimizer.state_dict()["state"].get(0, {})
        found = {f"optimizer.{name}": value for name, value in moments.items() if isinstance(value, Tensor)}
        found |= {f"constraint.{name}": value for name, value in self.constraint.state().items()}
        return found if self.coordinates.index is None else found | {"index": self.coordinates.index}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken; the coordinates must be those of its ``index``."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": {0: part("optimizer.")}, "param_groups": groups})
        device = self.coordinates.values.device
        self.constraint.restore({name: value.to(device) for name, value in part("constraint.").items()})

    def _optimise(self, gradient: Tensor, rate: float) -> None:
        """One optimiser step along a gradient [n], clipped to ``unlearn.max_grad_norm``."""
        norm = self.processes.sum_parts(gradient.square().sum()).sqrt()
        self.coordinates.values.grad = gradient * (self._settings.max_grad_norm / norm.clamp(min=1e-12)).clamp(max=1)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
