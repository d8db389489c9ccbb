"""The monitor of the unlearning loop: after each step it records, evaluates, saves a checkpoint or ends the loop."""

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
    """The `after_step` of a run: receives the number (from 1) and diagnostics of each step; True ends the loop.

    With a `goal` the loop ends at the first quick evaluation that reaches it. A step that ends the loop is not saved as
    a checkpoint, so a resumed run evaluates it again and ends at the same step as an unbroken one.

    Attributes:
        steps: the number of planned steps.
        save: saves a checkpoint of a step.
        interrupted: whether this process was interrupted.

    Raises:
        KeyboardInterrupt: a process was interrupted; a checkpoint of the step has been saved.
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
        # If the model is sharded, every process takes part in each forward and in each checkpoint.
        takes_part = lab.is_main or self.processes.sharded
        now = quick_evaluation(lab, step) if takes_part and step % self._every == 0 else None
        if self.goal is not None and step % self._every == 0:
            # Processes that took no look must still ask the others: `agreed` is a collective operation.
            is_reached = now is not None and self.goal.is_reached(now)
            if agreed(is_reached, self.processes, device):
                if now is not None:
                    self._note_stop(self.goal, now, step)
                return True
        # Ctrl-C reaches processes at different moments, so that one may see it a step earlier than another.
        stopping = agreed(self.interrupted(), self.processes, device)
        if takes_part and (stopping or step % lab.study.config.unlearn.checkpoint_every == 0):
            self.save(step)
        if stopping:
            raise KeyboardInterrupt
        return False

    @property
    def _every(self) -> int:
        return between_looks(self.lab.study.config, self.steps)

    def _note_stop(self, goal: Goal, now: Look, step: int) -> None:
        reached = goal.as_dict(now)
        if self.lab.is_main:
            self.lab.run.update(stopped={"step": step, "of": self.steps, "goal": reached})
        which = self.lab.study.config.unlearn.stop
        by_loss, by_probability = (f"{100 * reached[name][0]:.0f} %" for name in ("nll", "chance"))
        accuracy, of_target = (one.means["retain_accuracy"] for one in (now, goal.target))
        self.lab.display.note(
            f"ends at step {step} of {self.steps}: forget items have gone {by_loss} of the way from the target to "
            f"{which} by loss and {by_probability} by probability, significantly within {100 * NEAR:.0f} % of {which} "
            f"({reached['facts']} facts, {goal.looks} looks); retain accuracy {accuracy:.2f}, target {of_target:.2f}"
        )


def quick_evaluation(lab: Laboratory, step: int) -> Look | None:
    """Take a `look` after a step, record its means and show them. Return None if it fails in a private run.

    Raises:
        DivergedError: an item's predictions are not finite, and the run is not private.
    """
    try:
        now = look(lab.model, lab.encoder, lab.study)
    except DivergedError as error:
        if lab.study.config.privacy.epsilon is None:
            raise
        # A private run must not end because of one raw item: the final adapter would then depend on that item.
        lab.display.note(f"step {step}: not evaluated: {error}")
        return None
    if lab.is_main:
        lab.run.record({"stage": "unlearn", "step": step, **now.means})
    lab.display.note(
        f"step {step}: " + ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in now.means.items())
    )
    return now
