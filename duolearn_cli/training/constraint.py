"""The constraint on updates and its state between steps: Fisher of the retain data, basis of preserve gradients.

docs/geometry.md (our definition) explains the settings; docs/history/geometry.md compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from duolearn_cli.config.unlearning import OPTIMIZERS, WITH_MOMENTUM, GeometryConfig, UnlearnConfig
from duolearn_cli.errors import present
from duolearn_cli.model.distributed import Processes
from duolearn_cli.training import geometry


class Constraint:
    """Removes the part of a step that would raise the preserve loss, on this batch or on recent ones.

    The Fisher starts as the plain mean over the steps so far. Once a step's weight 1 / n in it falls below
    1 - `fisher_decay`, it becomes a running mean with that decay. The basis holds the last `basis_size` remembered
    preserve gradients, scaled to length one. They are not orthogonalised: a one-sided constraint needs their signs.
    """

    def __init__(
        self, settings: GeometryConfig, blocks: Sequence[int], processes: Processes, held: Tensor | None = None
    ) -> None:
        self.settings, self._blocks, self._processes = settings, list(blocks), processes
        # Gradients of earlier requests [k, n], along which no step may rise: see `held`.
        self.held = held
        self._fisher: Tensor | None = None
        self._mean: Tensor | None = None
        self._num_seen = 0
        # Row 0 is reserved for this step's gradient, the others form a ring buffer: no step concatenates a copy.
        self._rows: Tensor | None = None
        self._num_remembered = 0

    def allow(self, step: Tensor, preserve: Tensor, curvature: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the nearest allowed step [n] and the slopes of `step` before [blocks, constraints].

        Args:
            step: the displacement or gradient to constrain [n].
            preserve: the gradient of the preserve loss [n].
            curvature: the optimiser's own metric [n], None if it has none.
        """
        # Divided by their means, Fisher and curvature have no units: damping and price mean the same for every model.
        fisher = None if self._fisher is None else self._relative(self._fisher)
        # Damping keeps the metric positive where the Fisher is zero: the projection divides by it.
        damped = None if fisher is None else fisher + self.settings.damping
        own = None if curvature is None else self._relative(curvature)
        metric = {"euclidean": None, "fisher": damped, "optimizer": own}[self.settings.metric]
        # First the price, then the constraints in the combined metric: together they solve one problem (see `shorten`).
        if self.settings.fisher_price and fisher is not None:
            step, metric = geometry.shorten(step, self.settings.fisher_price * fisher, metric)
        return geometry.constrain(
            step,
            self._gradients(preserve),
            metric=metric,
            two_sided=self.settings.sides == "two",
            blocks=self._blocks,
            reduce=self._processes.sum_parts,
        )

    def _gradients(self, preserve: Tensor) -> Tensor:
        """All gradients along which the step must not rise [constraints, n]: at hand, held, and of the basis."""
        # A method without a constraint of its own must still keep earlier requests forgotten.
        if self.settings.space == "none":
            return present(self.held, "a held gradient for a method without a constraint of its own")
        if self._rows is not None:
            self._rows[0] = preserve
            return self._rows[: self._first + min(self._num_remembered, self.settings.basis_size)]
        return preserve[None] if self.held is None else torch.cat([preserve[None], self.held])

    def smooth(self, preserve: Tensor) -> Tensor:
        """Return the preserve gradient that constrains this step [n]: its own, or a running mean that includes it."""
        decay = self.settings.gradient_decay
        if not decay:
            return preserve
        # The mean starts at zero without bias correction: the constraint depends on its direction, not on its length.
        self._mean = (1 - decay) * preserve + (decay * self._mean if self._mean is not None else 0.0)
        return self._mean

    def observe(self, squares: Tensor) -> None:
        """Add a step's mean of squared per-example preserve gradients [n] to the Fisher."""
        self._num_seen += 1
        if self._fisher is None:
            self._fisher = squares
        else:
            share = max(1 / self._num_seen, 1 - self.settings.fisher_decay)
            self._fisher = torch.lerp(self._fisher, squares, share)

    def remember(self, step: int, preserve: Tensor) -> None:
        """Add the preserve gradient [n] of every `basis_every`-th step to the basis; the oldest one leaves."""
        settings = self.settings
        if not settings.basis_size or settings.space == "none" or step % settings.basis_every:
            return
        if self._rows is None:
            self._rows = self._with_basis(preserve.new_zeros(settings.basis_size, len(preserve)))
        # The length is that of the whole vector, over all shards.
        length = self._processes.sum_parts(preserve.square().sum()).sqrt()
        # The clamp avoids 0 / 0 for a gradient of zero. `geometry.constrain` lets such a gradient constrain nothing.
        self._rows[self._first + self._num_remembered % settings.basis_size] = preserve / length.clamp(min=1e-30)
        self._num_remembered += 1

    def state(self) -> dict[str, Tensor]:
        """Return the whole state as tensors, for a checkpoint."""
        # Checkpoints of earlier versions have these names: "num_kept" counts the remembered gradients.
        state = {"num_seen": torch.tensor(self._num_seen), "num_kept": torch.tensor(self._num_remembered)}
        if self._fisher is not None:
            state["fisher"] = self._fisher
        if self._mean is not None:
            state["mean"] = self._mean
        if self._rows is not None:
            # Each step sets row 0 anew, and the held rows come from `held`, so a checkpoint needs neither.
            state["basis"] = self._rows[self._first :]
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state` that a checkpoint holds."""
        self._num_seen, self._num_remembered = int(state["num_seen"]), int(state["num_kept"])
        self._fisher, self._mean = state.get("fisher"), state.get("mean")
        if "basis" in state:
            self._rows = self._with_basis(state["basis"])

    @property
    def _first(self) -> int:
        """The row of the ring at which the basis begins: after the gradient at hand and those that are held."""
        return 1 + (0 if self.held is None else len(self.held))

    def _with_basis(self, basis: Tensor) -> Tensor:
        """All rows of the constraint: that of the step's own gradient, held gradients, and the basis."""
        held = basis[:0] if self.held is None else self.held
        return torch.cat([torch.zeros_like(basis[:1]), held, basis])

    def _relative(self, metric: Tensor) -> Tensor:
        """Divide a diagonal [n] by its mean over all processes, which removes its units; ones if all of it is zero."""
        size = metric.new_full((), float(len(metric)))
        total, count = self._processes.sum_parts(torch.stack([metric.sum(), size]))
        mean = total / count
        return torch.where(mean > 0, metric / torch.where(mean > 0, mean, 1.0), 1.0)


def curvature(optimizer: torch.optim.Optimizer, values: Tensor) -> Tensor | None:
    """Return the diagonal H [n] of an adaptive optimiser that has just stepped by -rate x (mean gradient) / H.

    H is known up to a constant factor, which does not change projections. Return None for an optimiser without second
    moments, whose own metric is the Euclidean one.
    """
    group, state = optimizer.param_groups[0], optimizer.state[values]
    moments = state.get(OPTIMIZERS[type(optimizer).__name__])
    if moments is None:
        return None
    # Adam divides by bias-corrected moments. The correction is no constant factor, because eps is added after it.
    correction = 1 - group["betas"][1] ** float(state["step"]) if "betas" in group else 1.0
    return (moments / correction).sqrt() + group["eps"]


def make_optimizer(values: torch.nn.Parameter, settings: UnlearnConfig) -> torch.optim.Optimizer:
    """Return the configured optimiser over one flat parameter [n]."""
    kind: Any = getattr(torch.optim, settings.optimizer)
    momentum = {"momentum": settings.momentum} if settings.optimizer in WITH_MOMENTUM else {}
    return kind([values], lr=settings.learning_rate, weight_decay=settings.weight_decay, **momentum)
