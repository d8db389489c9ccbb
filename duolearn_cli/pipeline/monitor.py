"""What is done after each step of the unlearning loop: record it, look at the model now and then, save, and end it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.errors import DivergedError
from duolearn_cli.evaluation.metrics.gold import LEVEL, Way, way
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.processes import agreed
from duolearn_cli.report.terminal import Advance
from duolearn_cli.training.forward import TOKEN_CLASSES

# Quick evaluations a run: few to look at, more to end by.
LOOKS, LOOKS_TO_STOP = 5, 20
# Of the retain items that the target answers rightly, the share that a run must still answer so before it may end.
KEPT = 0.99
# How far from the other model it may be then, as a share of the way there from the target [D].
NEAR = 0.25
# Raise this when what a look finds changes.
LOOK = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What the model in place makes of `quick_items`: of each forget item the loss of its right answer, that answer's
    probability among the options, and its fact; and both sides' mean loss and accuracy.
    """

    means: Mapping[str, float]
    nll: Sequence[float]
    chance: Sequence[float]
    facts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a run may end, on `quick_items` [D]: where it is shown, after all the looks that are had, that forget items
    are answered as by another model, and retain items are right at least `KEPT` times as often as with the target.

    As by another model: the loss of the right answer and its probability have both gone the whole way from the target's
    to that model's, give or take `NEAR` of it on either side. Both are tests of equivalence (`metrics.gold.way`) by
    facts, at `LEVEL` over the number of looks: a run that is further away than that at every look ends by mistake with
    a chance of at most `LEVEL`. That a loss is not below is not enough: methods leap beyond in one step.

    Attributes:
        looks: how often a run is looked at.
    """

    target: Look
    other: Look
    looks: int

    @classmethod
    def of(cls, lab: Laboratory, which: str, looks: int) -> Goal:
        """The goal to answer forget items as ``gold`` or ``base`` does; the target is in place afterwards."""
        items = quick_items(lab)
        forget, retain = ([asdict(item) | {"concepts": ()} for item in side] for side in items.values())
        found = {}
        for name in (which, "target"):
            lab.load(name)
            kept = lab.kept(name, "look", [LOOK, forget, retain], lambda: asdict(look(lab)))
            found[name] = Look(**kept)
        facts = len(set(found[which].facts))
        if facts < FEW_FACTS:
            lab.display.note(
                f"unlearn.stop={which} ends no run early that is looked at with {facts} validation facts: "
                f"it takes {FEW_FACTS} (evaluation.quick_items, split.validation_fraction)"
            )
        return cls(found["target"], found[which], looks)

    def ways(self, found: Look) -> dict[str, Way]:
        """How far forget items have gone from the target to the other model, by what is compared."""
        return {
            name: way(
                getattr(self.target, name),
                getattr(self.other, name),
                getattr(found, name),
                found.facts,
                margin=NEAR,
                level=LEVEL / self.looks,
            )
            for name in ("nll", "chance")
        }

    def is_reached(self, found: Look) -> bool:
        """Whether a run may end at this look."""
        kept = found.means["retain_accuracy"] >= KEPT * self.target.means["retain_accuracy"]
        return kept and all(one.is_shown for one in self.ways(found).values())

    def told(self, found: Look) -> dict[str, Any]:
        """What run.json says about the look that ended the run."""
        ways = {name: [one.value, one.low, one.high] for name, one in self.ways(found).items()}
        return {**ways, "margin": NEAR, "looks": self.looks, "facts": len(set(found.facts))}


@dataclass(frozen=True, eq=False)
class Watch:
    """Called with each step's number (from 1) and values; says whether the loop ends with it.

    With a `goal` it ends at the first quick evaluation that reaches it: of a run that is broken off and resumed at the
    same step as of one that is not, since such a step is never a checkpoint.

    Raises:
        KeyboardInterrupt: some process was `interrupted`; a checkpoint of the step has been saved.
    """

    lab: Laboratory
    processes: Processes
    steps: int
    save: Callable[[int], None]
    advance: Advance
    interrupted: Callable[[], bool]
    goal: Goal | None = None

    def __call__(self, step: int, values: Mapping[str, Any]) -> bool:
        lab, device = self.lab, self.lab.model.device
        if lab.is_main:
            lab.run.record({"stage": "unlearn", "step": step, **values})
            self.advance({name: values.get(name, math.nan) for name in TOKEN_CLASSES})
        # Of a cut model every process has a part in each forward and each checkpoint.
        takes_part = lab.is_main or self.processes.sharded
        found = quick_evaluation(lab, step) if takes_part and step % self._every == 0 else None
        if self.goal is not None and step % self._every == 0:
            is_reached = found is not None and self.goal.is_reached(found)
            if agreed(is_reached, self.processes, device):
                if found is not None:
                    self._note_stop(self.goal, found, step)
                return True
        stopping = agreed(self.interrupted(), self.processes, device)
        if takes_part and (stopping or step % lab.study.config.unlearn.checkpoint_every == 0):
            self.save(step)
        if stopping:
            raise KeyboardInterrupt
        return False

    @property
    def _every(self) -> int:
        return between_looks(self.lab, self.steps)

    def _note_stop(self, goal: Goal, found: Look, step: int) -> None:
        told = goal.told(found)
        if self.lab.is_main:
            self.lab.run.update(stopped={"step": step, "of": self.steps, "goal": told})
        which = self.lab.study.config.unlearn.stop
        ways = (f"{100 * told[name][0]:.0f} %" for name in ("nll", "chance"))
        right = [one.means["retain_accuracy"] for one in (found, goal.target)]
        self.lab.display.note(
            f"ends at step {step} of {self.steps}: of the way from the target to {which} forget items have gone "
            f"{next(ways)} by loss and {next(ways)} by probability, beyond doubt within {100 * NEAR:.0f} % of it "
            f"({told['facts']} facts, {goal.looks} looks); retain accuracy {right[0]:.2f}, of the target {right[1]:.2f}"
        )


def between_looks(lab: Laboratory, steps: int) -> int:
    """Steps from one quick evaluation to the next, in a run of so many steps."""
    looks = LOOKS if lab.study.config.unlearn.stop == "none" else LOOKS_TO_STOP
    return lab.study.config.unlearn.evaluate_every or max(1, steps // looks)


def quick_items(lab: Laboratory) -> dict[str, tuple[Item, ...]]:
    """A few forget and retain items of the validation part, held-out phrasings where there are any."""
    splits, whole, config = lab.study.evaluated("validation"), lab.study.splits, lab.study.config
    # A side of one fact has no validation part.
    sides = {
        "forget": splits.forget_heldout or splits.forget_train or whole.forget_train,
        "retain": splits.retain_heldout or splits.retain_train or whole.retain_train,
    }
    return {name: sample(items, config.evaluation.quick_items, config.split.seed) for name, items in sides.items()}


def look(lab: Laboratory) -> Look:
    """What the model in place makes of both sides of `quick_items`."""
    means: dict[str, float] = {}
    answers = {name: lab.score(items) for name, items in quick_items(lab).items()}
    for name, own in answers.items():
        means[f"{name}_accuracy"] = sum(answer.correct for answer in own) / len(own)
        means[f"{name}_nll"] = sum(answer.nll for answer in own) / len(own)
    forget = answers["forget"]
    chance = [answer.chances[answer.answer] for answer in forget]
    return Look(means, [answer.nll for answer in forget], chance, [answer.fact for answer in forget])


def quick_evaluation(lab: Laboratory, step: int) -> Look | None:
    """A `look` after a step, its means recorded; None where a private run has looked in vain.

    Raises:
        DivergedError: an item's predictions are not finite, and the run is not private.
    """
    try:
        found = look(lab)
    except DivergedError as error:
        if lab.study.config.privacy.epsilon is None:
            raise
        # One raw item must not decide when the adapter is left as it is: the steps go on, which no raw figure ends.
        lab.display.note(f"step {step}: not evaluated: {error}")
        return None
    if lab.is_main:
        lab.run.record({"stage": "unlearn", "step": step, **found.means})
    lab.display.note(
        f"step {step}: " + ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in found.means.items())
    )
    return found
