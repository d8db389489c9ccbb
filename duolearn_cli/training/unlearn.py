"""The unlearning loop.

One step, and the module that each part of it is in:

    items of the step       data/order.py       which forget and retain items, by seed and step alone
    encode                  model/encoding.py   texts to one batch, with labels and token classes
    forward                 training/forward.py one forward of each text; references come from a cache
    losses                  methods/METHOD.py   forget loss and preserve loss, from the predictions
    two gradients           training/gradients.py, in private steps training/private/step.py (clipped, with noise)
    the optimiser's step    training/update.py  along the sum of both gradients
    constraint              training/constraint.py, geometry.py: takes back what would raise the preserve loss
    move                    training/coordinates.py: the flat vector of the values that may change
    diagnostics             training/diagnostics.py: losses, conflict, and how much the constraint took
    after the step          `after_step`        pipeline/monitor.py: record, evaluate, save a checkpoint, stop
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.data.order import pairs
from duolearn_cli.errors import DivergedError
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training.diagnostics import measure
from duolearn_cli.training.gradients import Batching, gradients
from duolearn_cli.training.private.step import PrivateSteps
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.update import Update


def unlearn(
    model: LanguageModel,
    task: UnlearningTask,
    update: Update,
    first_step: int,
    after_step: Callable[[int, Mapping[str, Any]], bool],
    private: PrivateSteps | None = None,
) -> None:
    """Unlearn in place, from `first_step` on.

    The optimiser moves along the sum of both gradients. The constraint then takes back the part of the executed step
    that would raise the preserve loss, if the method asks for a constraint.

    Args:
        after_step: receives the number of each step (from 1) and its values; returns whether the loop ends there.
        private: steps with units and gradients of their own, which end with their privacy budget.

    Raises:
        DivergedError: a step is not finite.
        ModelError: the method's key biases, or packing, need masks that the model does not take; or the first step
            leaves modules of the adapter without a gradient.
    """
    settings, method = task.settings, task.method
    order = list(pairs(len(task.forget), len(task.retain), settings.batch_size, settings.epochs, task.seed))
    steps = private.num_steps if private else len(order)
    batching = Batching(settings.micro_batch, task.pack_to)
    squares = update.constraint.settings.needs_fisher
    for step in range(first_step + 1, steps + 1):
        with model.recomputed(settings.checkpointing):
            if private:
                both = private.gradients(step)
            else:
                forgets, retains = order[step - 1]
                items = [task.forget[i] for i in forgets] + [task.retain[i] for i in retains]
                both = gradients(model, items, method, update.coordinates, update.processes, batching, squares)
        if both is None:
            return
        if step == first_step + 1:
            model.check_reached(update.coordinates.reached)
        move = update.apply(step, learning_rate(step, steps, settings), both)
        values = measure(both, move, update)
        if not math.isfinite(values["step_norm"]):
            rate = settings.learning_rate
            raise DivergedError(f"unlearning diverged at step {step}; give a lower unlearn.learning_rate than {rate}.")
        if after_step(step, values):
            return


def learning_rate(step: int, steps: int, settings: UnlearnConfig) -> float:
    """Linear warm-up, then linear decay. It depends on the step alone: a resumed run needs no schedule state."""
    warm = settings.warmup * steps
    return settings.learning_rate * min(step / max(1.0, warm), (steps + 1 - step) / max(1.0, steps - warm), 1.0)
