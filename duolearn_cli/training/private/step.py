"""The gradients of a private step. Each protected unit's gradient is clipped, and noise is added to their sum.

Nothing else sees a protected gradient before that. A unit's contribution depends on its own items, on the model that
the run began with, and on what earlier steps released, but on no other unit. All later uses of the noisy gradients
(momentum, projection, basis, Fisher) are post-processing (Dwork and Roth 2014, proposition 2.1). docs/privacy.md has
the proof and lists every access to data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from duolearn_cli.methods.base import Method
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.host_to_device import send
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.privacy.ledger import Ledger
from duolearn_cli.privacy.mechanism import Mechanism, clipped_sum, unit_means
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.forward import SIDES, TOKEN_CLASSES, Example, labels_of, named_losses, predict
from duolearn_cli.training.gradients import Gradients, cut
from duolearn_cli.training.per_example import GradientRows

# The side that the clipped vectors of a protected set are added to.
SIDE = {"forget": "forget", "retain": "preserve"}


@dataclass(frozen=True, eq=False)
class Unit:
    """What privacy protects as a whole: one example, or the examples of one fact or patient that the run uses.

    A unit with a `canary` (coordinate, length) has no examples. The privacy audit inserts such units: the gradient has
    that length along that coordinate and is zero elsewhere.
    """

    set_name: str
    examples: Sequence[Example] = ()
    canary: tuple[int, float] | None = None


@dataclass(eq=False)
class Sums:
    """One process's sums over the units of a step.

    Attributes:
        clipped: the sum of clipped vectors [n], by protected set.
        raw: the sum of the gradients of unprotected units [n], by side.
        norms: the norms of vectors before clipping, by protected set.
        figures: what `Forward.figures` gives, by forward.
    """

    clipped: dict[str, Tensor]
    raw: dict[str, Tensor]
    norms: dict[str, list[Tensor]]
    figures: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class PrivateSteps:
    """The private steps of a run.

    A unit's loss is the mean over its examples of the method's losses, each computed on that example alone. A protected
    unit gives one vector, the gradient of the sum of both losses, which counts for the side of its set: the accounting
    needs one clipped vector per unit. An unprotected unit gives its two gradients separately.

    Attributes:
        units: the units of each set, forget first.
        batches: the indices of the units in each step, for unprotected sets. The mechanism samples protected ones.
        micro_batch: the maximum number of units in one forward; None: all units of the step.
        pack_to: the length in tokens of rows that several texts share; None: one text per row.
        needs_fisher: also compute squares of the preserve gradient.
    """

    model: LanguageModel
    method: Method
    coordinates: Coordinates
    processes: Processes
    units: Mapping[str, Sequence[Unit]]
    batches: Mapping[str, Sequence[Sequence[int]]]
    mechanism: Mechanism
    ledger: Ledger
    micro_batch: int | None = None
    pack_to: int | None = None
    needs_fisher: bool = False

    @property
    def num_steps(self) -> int:
        """The number of planned steps."""
        return self.ledger.account.num_steps

    def gradients(self, step: int) -> Gradients | None:
        """Return both gradients of a step after clipping and noise, or None if the ledger has no step left.

        A step without units is noise alone. `squares` are those of the noisy gradient: per-example squares would be raw
        data.
        """
        # The ledger records the step before anything is computed: after a crash, a lost step counts as taken.
        if not self.ledger.begin(step):
            return None
        units, names, zero = self.chosen(step), list(self.mechanism.terms), torch.zeros_like(self.coordinates.values)
        sums = Sums({n: zero.clone() for n in names}, {s: zero.clone() for s in SIDES}, {n: [] for n in names})
        for part in cut(units, self.micro_batch, self.processes):
            if part:
                self._add(part, sums)
        num_unprotected = sum(unit.set_name not in names for unit in units)
        by_side = {side: self.processes.sum_gradients(raw) / max(1, num_unprotected) for side, raw in sums.raw.items()}
        statistics: dict[str, Tensor] = {}
        for name in names:
            # Sum over processes first, then add noise once: the processes share the key of the noise.
            total = self.processes.sum_gradients(sums.clipped[name])
            by_side[SIDE[name]] += self.mechanism.privatise(name, step, total)
            statistics |= self._statistics(name, total, sums.norms[name])
        squares = by_side["preserve"].square() if self.needs_fisher else None
        return Gradients(by_side["forget"], by_side["preserve"], squares, self._losses(units, sums) | statistics)

    def chosen(self, step: int) -> list[Unit]:
        """Return the units of a step, over all processes. The units of one set are consecutive."""
        chosen: list[Unit] = []
        for name, units in self.units.items():
            protected = name in self.mechanism.terms
            joins = self.mechanism.sample(name, step) if protected else self.batches[name][step - 1]
            chosen += [units[i] for i in joins]
        return chosen

    def _add(self, part: Sequence[Unit], sums: Sums) -> None:
        """Run one forward over some units, and add their gradients to `sums`."""
        protected = [unit for unit in part if unit.set_name in sums.clipped]
        rows = self._rows(part, protected, sums)
        for i, unit in enumerate(protected):
            if unit.canary is not None:
                coordinate, length = unit.canary
                rows[i, coordinate] = length
        for name in sums.clipped:
            own = _as_slice([unit.set_name == name for unit in protected])
            total, norms = clipped_sum(rows[own], self.mechanism.max_grad_norm, self.mechanism.clipping)
            sums.clipped[name] += total
            sums.norms[name].append(norms)

    def _rows(self, part: Sequence[Unit], protected: Sequence[Unit], sums: Sums) -> Tensor:
        """Return the gradient of each protected unit [protected, n]; add those of the others to ``sums.raw``."""
        examples = [example for unit in part for example in unit.examples]
        if not examples:
            return self.coordinates.values.new_zeros(len(protected), len(self.coordinates.values)).detach()
        model, method, recorder = self.model, self.method, GradientRows(self.model.network, self.coordinates.parameters)
        with recorder.recording():
            forward = predict(model, examples, method.labels, method.attention, self.pack_to).item_by_item()
        objective = method.objective(forward.tokens)
        sums.figures.append(forward.figures(objective))
        raw = {side: forward.reached(getattr(objective, side)) for side in SIDES}
        both = forward.reached(objective.forget + objective.preserve)
        is_protected = {id(example): unit.set_name in sums.clipped for unit in part for example in unit.examples}
        by_group: list[Tensor] = []
        for i, group in enumerate(forward.groups):
            own = [k for k, example in enumerate(group.examples) if is_protected[id(example)]]
            others = [k for k, example in enumerate(group.examples) if not is_protected[id(example)]]
            with recorder.rows(group.batch, own, others) as (rows, total):
                # One backward of both losses, unless the group has unprotected examples: those need one for each side.
                for side, pulled in {side: raw[side][i] for side in SIDES}.items() if others else [("", both[i])]:
                    if pulled:
                        recorder.backward(*pulled)
                    if others:
                        sums.raw[side] += self.coordinates.take(total)
                        total.zero_()
            self.coordinates.mark(recorder.received)
            by_group.append(self.coordinates.take(rows))
        rows = torch.cat(by_group)
        # Units of one example each are the common case: their rows are the result already.
        if all(len(unit.examples) == 1 for unit in protected):
            return rows
        owner = torch.tensor([i for i, unit in enumerate(protected) for _ in unit.examples], dtype=torch.long)
        return unit_means(rows, send(owner, model.device), len(protected))

    def _statistics(self, name: str, total: Tensor, norms: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return a set's figures for the history: number of units, share clipped, norm of the sum over the noise's.

        They are computed from raw gradients and not covered by the guarantee; only the operator sees them.
        """
        every = torch.cat([*norms, total.new_zeros(0)])
        longer = (every > self.mechanism.max_grad_norm).sum()
        count, clipped = self.processes.sum_items(torch.stack([longer.new_full((), len(every)), longer]).float())
        # The norm of the noise is close to its standard deviation times the square root of the dimension.
        noise = self.mechanism.noise(name) * math.sqrt(len(total))
        return {
            f"units_{name}": count,
            f"clip_rate_{name}": clipped / count,
            f"signal_to_noise_{name}": total.norm() / noise,
        }

    def _losses(self, units: Sequence[Unit], sums: Sums) -> dict[str, Tensor]:
        """Return the losses of the step by name, as means over its examples; nothing for a step without examples."""
        examples = [example for unit in units for example in unit.examples]
        if not examples:
            return {}
        size = len(SIDES) + len(TOKEN_CLASSES) + (self.method.attention.kept_layers > 0)
        figures = torch.stack([*sums.figures, torch.zeros(size, device=self.model.device)]).sum(0)
        figures = self.processes.sum_items(figures)
        # In private steps losses are sums over items; the history shows means, as without privacy.
        figures[:2] /= len(examples)
        return named_losses(figures, labels_of(examples, self.method.labels))


def _as_slice(chosen: Sequence[bool]) -> slice:
    """Return the slice of the true entries, which are consecutive: `PrivateSteps.chosen` keeps sets together."""
    start = chosen.index(True) if any(chosen) else 0
    run = slice(start, start + sum(chosen))
    if not all(chosen[run]):
        raise ValueError(f"the chosen entries are not consecutive: {list(chosen)}")
    return run
