"""What constrains updates, and what it remembers between steps: the retain data's Fisher, a basis of gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from duolearn_cli.config.unlearning import OPTIMIZERS, WITH_MOMENTUM, GeometryConfig, UnlearnConfig
from duolearn_cli.model.distributed import Processes
from duolearn_cli.training import geometry


class Constraint:
    """Takes from a step what would raise the preserve loss, now or on recent batches.

    The Fisher is a mean over the steps so far until that forgets faster than `fisher_decay`, then a running mean. The
    basis holds the last `basis_size` preserve gradients that were kept, scaled to length one: as they are and not
    orthogonalised, since one-sided constraints need their directions.
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
        # A ring: row 0 is for the gradient at hand, so that no step copies the others to stand beside it.
        self._rows: Tensor | None = None
        self._num_kept = 0

    def allow(self, step: Tensor, preserve: Tensor, curvature: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The nearest allowed step [n], and the slopes that `step` had [blocks, constraints].

        `preserve` is the gradient of the preserve loss, `curvature` the optimiser's own metric where it has one.
        """
        fisher = None if self._fisher is None else self._relative(self._fisher)
        damped = None if fisher is None else fisher + self.settings.damping
        own = None if curvature is None else self._relative(curvature)
        metric = {"euclidean": None, "fisher": damped, "optimizer": own}[self.settings.metric]
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
        if self.settings.space == "none":
            assert self.held is not None, "a method without a constraint of its own has at most held gradients"
            return self.held
        if self._rows is not None:
            self._rows[0] = preserve
            return self._rows[: self._first + min(self._num_kept, self.settings.basis_size)]
        return preserve[None] if self.held is None else torch.cat([preserve[None], self.held])

    def smooth(self, preserve: Tensor) -> Tensor:
        """The preserve gradient that constrains this step [n]: the step's own, or a running mean with it in."""
        decay = self.settings.gradient_decay
        if not decay:
            return preserve
        # From zero on: its length does not matter to what is constrained.
        self._mean = (1 - decay) * preserve + (decay * self._mean if self._mean is not None else 0.0)
        return self._mean

    def observe(self, squares: Tensor) -> None:
        """Let the mean over examples of squared preserve gradients [n] enter the Fisher."""
        self._num_seen += 1
        if self._fisher is None:
            self._fisher = squares
        else:
            share = max(1 / self._num_seen, 1 - self.settings.fisher_decay)
            self._fisher = torch.lerp(self._fisher, squares, share)

    def remember(self, step: int, preserve: Tensor) -> None:
        """Let the preserve gradient of a step enter the basis, if it is that step's turn."""
        settings = self.settings
        if not settings.basis_size or settings.space == "none" or step % settings.basis_every:
            return
        if self._rows is None:
            self._open_rows(preserve.new_zeros(settings.basis_size, len(preserve)))
        assert self._rows is not None
        length = self._processes.sum_parts(preserve.square().sum()).sqrt()
        self._rows[self._first + self._num_kept % settings.basis_size] = preserve / length.clamp(min=1e-30)
        self._num_kept += 1

    def state(self) -> dict[str, Tensor]:
        """All that is remembered, for a checkpoint."""
        found = {"num_seen": torch.tensor(self._num_seen), "num_kept": torch.tensor(self._num_kept)}
        if self._fisher is not None:
            found["fisher"] = self._fisher
        if self._mean is not None:
            found["mean"] = self._mean
        if self._rows is not None:
            found["basis"] = self._rows[self._first :]
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on with what `state` told."""
        self._num_seen, self._num_kept = int(state["num_seen"]), int(state["num_kept"])
        self._fisher, self._mean = state.get("fisher"), state.get("mean")
        if "basis" in state:
            self._open_rows(state["basis"])

    @property
    def _first(self) -> int:
        """The row of the ring at which the basis begins: after the gradient at hand and those that are held."""
        return 1 + (0 if self.held is None else len(self.held))

    def _open_rows(self, basis: Tensor) -> None:
        held = basis[:0] if self.held is None else self.held
        self._rows = torch.cat([torch.zeros_like(basis[:1]), held, basis])

    def _relative(self, metric: Tensor) -> Tensor:
        """A diagonal over its mean, whatever the units; ones where all of it is zero."""
        size = metric.new_full((), float(len(metric)))
        total, count = self._processes.sum_parts(torch.stack([metric.sum(), size]))
        mean = total / count
        return torch.where(mean > 0, metric / torch.where(mean > 0, mean, 1.0), 1.0)


def curvature(optimizer: torch.optim.Optimizer, values: Tensor) -> Tensor | None:
    """The diagonal H of an adaptive optimiser whose step is -rate x (mean gradient) / H, after that step. Shape: [n].

    None for one without second moments, whose own metric is the Euclidean. A constant factor is left out.
    """
    group, state = optimizer.param_groups[0], optimizer.state[values]
    moments = state.get(OPTIMIZERS[type(optimizer).__name__])
    if moments is None:
        return None
    # Adam divides by the bias-corrected moments, which matters beside eps.
    correction = 1 - group["betas"][1] ** float(state["step"]) if "betas" in group else 1.0
    return (moments / correction).sqrt() + group["eps"]


def make_optimizer(values: torch.nn.Parameter, settings: UnlearnConfig) -> torch.optim.Optimizer:
    """The configured optimiser over one flat parameter."""
    kind: Any = getattr(torch.optim, settings.optimizer)
    momentum = {"momentum": settings.momentum} if settings.optimizer in WITH_MOMENTUM else {}
    return kind([values], lr=settings.learning_rate, weight_decay=settings.weight_decay, **momentum)
