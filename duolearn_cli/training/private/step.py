"""The gradients of a private step: what protected units contribute is clipped and noised before anything else sees it.

With the model that a run begins with as a given, an item's contribution depends on that item and on what was released
before, on no other item. All that is made of these gradients later (momentum, projection, basis, Fisher) is
post-processing. docs/privacy.md lists every access to data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from duolearn_cli.methods.base import Method, attention_of
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.host_to_device import send
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.privacy.ledger import Ledger
from duolearn_cli.privacy.mechanism import Mechanism, clipped_sum, unit_means
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.forward import SIDES, TOKEN_CLASSES, Example, labels_of, named_losses, predict
from duolearn_cli.training.gradients import Gradients, cut
from duolearn_cli.training.per_example import GradientRows

# Which of the two gradients the units of a set are for.
SIDE = {"forget": "forget", "retain": "preserve"}


@dataclass(frozen=True, eq=False)
class Unit:
    """What is protected as a whole: one example, or those of one fact or patient that are used.

    A unit with a `canary` has no example: its gradient is this long, and along one coordinate (see audit.py).
    """

    set_name: str
    examples: Sequence[Example] = ()
    canary: tuple[int, float] | None = None


@dataclass(eq=False)
class Sums:
    """What a process has of a step: `clipped` and `norms` by protected set, `raw` by side, the losses' `figures`."""

    clipped: dict[str, Tensor]
    raw: dict[str, Tensor]
    norms: dict[str, list[Tensor]]
    figures: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class PrivateSteps:
    """All steps of a run, by number.

    A unit's loss is the mean over its examples of the method's losses, each taken over that example alone. A protected
    unit gives one vector, of both losses, which counts for its set's side; of other units the two gradients stay apart.

    Attributes:
        units: by set, forget first.
        batches: the units that join each step, by set, for those that are not protected.
        needs_fisher: whether squares of the preserve gradient are wanted.
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
        """How many steps are planned."""
        return self.ledger.account.num_steps

    def gradients(self, step: int) -> Gradients | None:
        """Both gradients of a step, privatised; None where the ledger has no step left.

        Without any unit there is noise alone. `squares` are those of the privatised gradient: its units' were raw data.
        """
        if not self.ledger.begin(step):
            return None
        units, names, zero = self.chosen(step), list(self.mechanism.terms), torch.zeros_like(self.coordinates.values)
        sums = Sums({n: zero.clone() for n in names}, {s: zero.clone() for s in SIDES}, {n: [] for n in names})
        for part in cut(units, self.micro_batch, self.processes):
            if part:
                self._add(part, sums)
        bare = sum(unit.set_name not in names for unit in units)
        found = {side: self.processes.sum_gradients(raw) / max(1, bare) for side, raw in sums.raw.items()}
        told: dict[str, Tensor] = {}
        for name in names:
            total = self.processes.sum_gradients(sums.clipped[name])
            found[SIDE[name]] += self.mechanism.privatise(name, step, total)
            told |= self._told(name, total, sums.norms[name])
        squares = found["preserve"].square() if self.needs_fisher else None
        return Gradients(found["forget"], found["preserve"], squares, self._losses(units, sums) | told)

    def chosen(self, step: int) -> list[Unit]:
        """The units of a step, over all processes."""
        found: list[Unit] = []
        for name, units in self.units.items():
            protected = name in self.mechanism.terms
            joins = self.mechanism.sample(name, step) if protected else self.batches[name][step - 1]
            found += [units[i] for i in joins]
        return found

    def _add(self, part: Sequence[Unit], sums: Sums) -> None:
        """One forward over some units, and what comes of them."""
        protected = [unit for unit in part if unit.set_name in sums.clipped]
        rows = self._rows(part, protected, sums)
        for i, unit in enumerate(protected):
            if unit.canary is not None:
                place, length = unit.canary
                rows[i, place] = length
        for name in sums.clipped:
            own = _run([unit.set_name == name for unit in protected])
            total, norms = clipped_sum(rows[own], self.mechanism.max_grad_norm, self.mechanism.clipping)
            sums.clipped[name] += total
            sums.norms[name].append(norms)

    def _rows(self, part: Sequence[Unit], protected: Sequence[Unit], sums: Sums) -> Tensor:
        """The gradient of each protected unit [protected, n]; those of the others go to the raw sums."""
        examples = [example for unit in part for example in unit.examples]
        if not examples:
            return self.coordinates.values.new_zeros(len(protected), len(self.coordinates.values)).detach()
        model, method, watch = self.model, self.method, GradientRows(self.model.network, self.coordinates.parameters)
        with watch.watching():
            forward = predict(model, examples, method.labels, attention_of(method), self.pack_to).item_by_item()
        objective = method.objective(forward.tokens)
        sums.figures.append(forward.figures(objective))
        raw = {side: forward.reached(getattr(objective, side)) for side in SIDES}
        both = forward.reached(objective.forget + objective.preserve)
        is_own = {id(example): unit.set_name in sums.clipped for unit in part for example in unit.examples}
        found: list[Tensor] = []
        for i, group in enumerate(forward.groups):
            own = [k for k, example in enumerate(group.examples) if is_own[id(example)]]
            bare = [k for k, example in enumerate(group.examples) if not is_own[id(example)]]
            with watch.rows(group.batch, own, bare) as (rows, total):
                # A protected unit has one vector; of others the two gradients stay apart.
                for side, pulled in {side: raw[side][i] for side in SIDES}.items() if bare else [("", both[i])]:
                    if pulled:
                        watch.backward(*pulled)
                    if bare:
                        sums.raw[side] += self.coordinates.take(total)
                        total.zero_()
            self.coordinates.mark(watch.received)
            found.append(self.coordinates.take(rows))
        rows = torch.cat(found)
        if all(len(unit.examples) == 1 for unit in protected):
            return rows
        owner = torch.tensor([i for i, unit in enumerate(protected) for _ in unit.examples], dtype=torch.long)
        return unit_means(rows, send(owner, model.device), len(protected))

    def _told(self, name: str, total: Tensor, norms: Sequence[Tensor]) -> dict[str, Tensor]:
        """For the history: how many units came, the share that was clipped, the sum's norm over the noise's."""
        every = torch.cat([*norms, total.new_zeros(0)])
        longer = (every > self.mechanism.max_grad_norm).sum()
        count, clipped = self.processes.sum_items(torch.stack([longer.new_full((), len(every)), longer]).float())
        noise = self.mechanism.noise(name) * math.sqrt(len(total))
        return {
            f"units_{name}": count,
            f"clip_rate_{name}": clipped / count,
            f"signal_to_noise_{name}": total.norm() / noise,
        }

    def _losses(self, units: Sequence[Unit], sums: Sums) -> dict[str, Tensor]:
        """The step's losses by name, means over its examples; NaN where there are none."""
        examples = [example for unit in units for example in unit.examples]
        if not examples:
            return {}
        size = len(SIDES) + len(TOKEN_CLASSES) + (attention_of(self.method).kept_layers > 0)
        figures = torch.stack([*sums.figures, torch.zeros(size, device=self.model.device)]).sum(0)
        figures = self.processes.sum_items(figures)
        figures[:2] /= len(examples)
        return named_losses(figures, labels_of(examples, self.method.labels))


def _run(chosen: Sequence[bool]) -> slice:
    """Where the true ones are: one after the other, as `PrivateSteps.chosen` has the units of a set."""
    start = chosen.index(True) if any(chosen) else 0
    run = slice(start, start + sum(chosen))
    assert all(chosen[run])
    return run
