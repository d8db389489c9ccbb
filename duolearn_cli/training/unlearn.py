"""The unlearning loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.data.order import pairs
from duolearn_cli.errors import DivergedError
from duolearn_cli.methods.base import Method
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training.diagnostics import measure
from duolearn_cli.training.forward import Example
from duolearn_cli.training.gradients import gradients
from duolearn_cli.training.private.step import PrivateSteps
from duolearn_cli.training.update import Update


def unlearn(
    model: LanguageModel,
    forget: Sequence[Example],
    retain: Sequence[Example],
    method: Method,
    settings: UnlearnConfig,
    seed: int,
    update: Update,
    first_step: int,
    after_step: Callable[[int, Mapping[str, Any]], bool],
    pack_to: int | None = None,
    private: PrivateSteps | None = None,
) -> None:
    """Unlearn in place, from `first_step` on; `after_step` is told the step's number (from 1) and its values,
    and says whether the loop ends with it.

    Two gradients are taken through one forward of each item, to forget or to retain. The optimiser moves along their
    sum; what in its executed step would raise the preserve loss is taken back, if the method asks for that. With
    `pack_to`, texts share rows of so many tokens. `private` steps have units and gradients of their own, and end with
    their budget.

    Raises:
        DivergedError: a step is not finite.
        ModelError: the method's key biases, or packing, need masks that the model does not take; or the first step
            gives some modules of the adapter no gradient.
    """
    order = list(pairs(len(forget), len(retain), settings.batch_size, settings.epochs, seed))
    steps = private.num_steps if private else len(order)
    squares = update.constraint.settings.needs_fisher
    for step in range(first_step + 1, steps + 1):
        with model.recomputed(settings.checkpointing):
            if private:
                found = private.gradients(step)
            else:
                forgets, retains = order[step - 1]
                items, size = [forget[i] for i in forgets] + [retain[i] for i in retains], settings.micro_batch
                found = gradients(model, items, method, update.coordinates, update.processes, size, pack_to, squares)
        if found is None:
            return
        if step == first_step + 1:
            model.check_reached(update.coordinates.reached)
        move = update.apply(step, learning_rate(step, steps, settings), found)
        values = measure(found, move, update)
        if not math.isfinite(values["step_norm"]):
            rate = settings.learning_rate
            raise DivergedError(f"unlearning diverged at step {step}; give a lower unlearn.learning_rate than {rate}.")
        if after_step(step, values):
            return


def learning_rate(step: int, steps: int, settings: UnlearnConfig) -> float:
    """Linear warm-up, then linear decay; of the step alone, so that a resumed run needs no schedule state."""
    warm = settings.warmup * steps
    return settings.learning_rate * min(step / max(1.0, warm), (steps + 1 - step) / max(1.0, steps - warm), 1.0)
