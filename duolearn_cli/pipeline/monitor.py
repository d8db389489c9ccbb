"""What happens after each step of the unlearning loop: record it, evaluate now and then, save, end the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from duolearn_cli.errors import DivergedError
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.early_stopping import NEAR, Goal, Look, between_looks, look
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.processes import agreed
from duolearn_cli.report.terminal import Advance
from duolearn_cli.training.forward import TOKEN_CLASSES


@dataclass(frozen=True, eq=False)
class Monitor:
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
        return between_looks(self.lab.study.config, self.steps)

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
