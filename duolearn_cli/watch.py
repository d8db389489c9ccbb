"""What is done after each step of the unlearning loop: record it, look at the model now and then, save, and end it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.data.streams import sample
from duolearn_cli.errors import DivergedError
from duolearn_cli.forward import TOKEN_CLASSES
from duolearn_cli.parallel import Processes
from duolearn_cli.protocol import Laboratory
from duolearn_cli.report.terminal import Advance
from duolearn_cli.workers import agreed

# Quick evaluations a run: few to look at, more to end by.
LOOKS, LOOKS_TO_STOP = 5, 20
# Of the retain items that the target answers rightly, the share that a run must still answer so before it may end.
KEPT = 0.99


@dataclass(frozen=True)
class Goal:
    """Where a run may end, on `quick_items` [D]: forget items at least as unlikely as another model finds them and no
    oftener right, and retain items right at least `KEPT` times as often as with the target.

    The mean loss alone would not do: a few items forgotten beyond measure reach it while most are still known, and the
    first steps disturb what is kept before later ones repair it.
    """

    forget_nll: float
    forget_accuracy: float
    retain_accuracy: float

    @classmethod
    def of(cls, lab: Laboratory, which: str) -> Goal:
        """The goal to answer forget items as ``gold`` or ``base`` does; the target is in place afterwards.

        Where that model answers them worse than by chance, chance will do.
        """
        items = quick_items(lab)
        forget, retain = ([asdict(item) | {"concepts": ()} for item in side] for side in items.values())
        found = {}
        for name in (which, "target"):
            lab.load(name)
            found[name] = lab.kept(name, "look", [forget, retain], lambda: look(lab))
        chance = sum(1 / len(item.options) for item in items["forget"]) / len(items["forget"])
        other = found[which]
        kept = KEPT * found["target"]["retain_accuracy"]
        return cls(other["forget_nll"], max(other["forget_accuracy"], chance), kept)

    def is_reached(self, found: Mapping[str, float]) -> bool:
        return (
            found["forget_nll"] >= self.forget_nll
            and found["forget_accuracy"] <= self.forget_accuracy
            and found["retain_accuracy"] >= self.retain_accuracy
        )


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
                self._note_stop(self.goal, step)
                return True
        stopping = agreed(self.interrupted(), self.processes, device)
        if takes_part and (stopping or step % lab.study.config.unlearn.checkpoint_every == 0):
            self.save(step)
        if stopping:
            raise KeyboardInterrupt
        return False

    @property
    def _every(self) -> int:
        looks = LOOKS if self.goal is None else LOOKS_TO_STOP
        return self.lab.study.config.unlearn.evaluate_every or max(1, self.steps // looks)

    def _note_stop(self, goal: Goal, step: int) -> None:
        if self.lab.is_main:
            self.lab.run.update(stopped={"step": step, "of": self.steps, "goal": asdict(goal)})
        which = self.lab.study.config.unlearn.stop
        self.lab.display.note(
            f"ends at step {step} of {self.steps}: forget items are answered as by {which} (loss {goal.forget_nll:.2f} "
            f"or more, accuracy {goal.forget_accuracy:.2f} or less), retain items as by the target"
        )


def quick_items(lab: Laboratory) -> dict[str, tuple[Item, ...]]:
    """A few forget and retain items of the validation part, held-out phrasings where there are any."""
    splits, whole, config = lab.study.evaluated("validation"), lab.study.splits, lab.study.config
    # A side of one fact has no validation part.
    sides = {
        "forget": splits.forget_heldout or splits.forget_train or whole.forget_train,
        "retain": splits.retain_heldout or splits.retain_train or whole.retain_train,
    }
    return {name: sample(items, config.evaluation.quick_items, config.split.seed) for name, items in sides.items()}


def look(lab: Laboratory) -> dict[str, float]:
    """Accuracy and mean loss of the model in place on both sides of `quick_items`."""
    values: dict[str, float] = {}
    for name, items in quick_items(lab).items():
        answers = lab.score(items)
        values[f"{name}_accuracy"] = sum(answer.correct for answer in answers) / len(answers)
        values[f"{name}_nll"] = sum(answer.nll for answer in answers) / len(answers)
    return values


def quick_evaluation(lab: Laboratory, step: int) -> dict[str, float] | None:
    """A `look` after a step, recorded and returned; None where a private run has looked in vain.

    Raises:
        DivergedError: an item's predictions are not finite, and the run is not private.
    """
    try:
        values = look(lab)
    except DivergedError as error:
        if lab.study.config.privacy.epsilon is None:
            raise
        # One raw item must not decide when the adapter is left as it is: the steps go on, which no raw figure ends.
        lab.display.note(f"step {step}: not evaluated: {error}")
        return None
    if lab.is_main:
        lab.run.record({"stage": "unlearn", "step": step, **values})
    lab.display.note(
        f"step {step}: " + ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in values.items())
    )
    return values
