"""The unlearning loop.

The parts of one step, and where each is:

    items                   data/order.py: which forget and retain items, from seed and step alone
    encoding                model/encoding.py: texts to one batch, with labels and token classes
    forward                 training/forward.py: one forward of each text; references were computed before the loop
    losses                  methods/METHOD.py: forget loss and preserve loss, from the predictions
    two gradients           training/gradients.py, in private steps training/private/step.py (clipped, with noise)
    optimiser's step        training/update.py: along the sum of both gradients
    constraint              training/constraint.py, geometry.py: removes what would raise the preserve loss
    write                   training/coordinates.py: copies the flat vector of values into the model
    diagnostics             training/diagnostics.py: losses, conflict, and how much the constraint removed
    after the step          pipeline/monitor.py (`after_step`): record, evaluate, save a checkpoint, stop
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.data.order import cycled, pairs, passes
from duolearn_cli.errors import DivergedError
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training.diagnostics import measure
from duolearn_cli.training.forward import Example
from duolearn_cli.training.gradients import Batching, Gradients, gradients
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
    """Change the adapter of `model` in place, from step `first_step` + 1 on.

    The optimiser steps along the sum of both gradients. If the method has a constraint, it then removes the part of the
    executed step that would raise the preserve loss.

    Args:
        first_step: the number of steps that are already done: 0, or that of a checkpoint.
        after_step: receives the number of each step (from 1) and its diagnostics; returns True to end the loop.
        private: private steps, which sample their own units and end when the privacy budget is spent.

    Raises:
        DivergedError: a step is not finite.
        ModelError: the model does not accept the masks that the method's key biases or packing need; or some modules of
            the adapter have no gradient in the first step.
    """
    model.renew_mark("an adapter in training")
    settings = task.settings
    steps, gradients_at = (private.num_steps, private.gradients) if private else _plain_steps(model, task, update)
    slower = 1.0 if private else slowdown(len(task.forget), settings)
    for step in range(first_step + 1, steps + 1):
        with model.recomputed(settings.checkpointing):
            both = gradients_at(step)
        # The privacy ledger has no step left: a run that lost steps in a crash ends that many steps earlier.
        if both is None:
            return
        # Checked once, after the first backward of this process, resumed or not.
        if step == first_step + 1:
            model.check_reached(update.coordinates.reached)
        rate = learning_rate(step, steps, settings) / slower
        move = update.apply(step, rate, both)
        values = {**measure(both, move, update), "learning_rate": rate}
        # The norm of the step is among the values that reach the host anyway, and NaN in any gradient shows in it.
        if not math.isfinite(values["step_norm"]):
            peak = settings.learning_rate
            raise DivergedError(f"unlearning diverged at step {step}; give a lower unlearn.learning_rate than {peak}.")
        if after_step(step, values):
            return


def _plain_steps(
    model: LanguageModel, task: UnlearningTask, update: Update
) -> tuple[int, Callable[[int], Gradients | None]]:
    """Return the number of steps of a run without privacy, and the function that computes a step's gradients."""
    settings = task.settings
    # The order follows from the seed alone, so a resumed run goes on in it without saved state.
    sizes = len(task.forget), len(task.retain), settings.batch_size
    order = list(pairs(*sizes, _passes(task), task.seed, settings.retain_batch_size))
    again = _rehearsals(task, len(order))
    batching = Batching(settings.micro_batch, task.pack_to)
    squares = update.constraint.settings.needs_fisher

    def gradients_at(step: int) -> Gradients:
        forgets, retains = order[step - 1]
        items = [task.forget[i] for i in forgets] + again[step - 1] + [task.retain[i] for i in retains]
        both = gradients(model, items, task.method, update.coordinates, update.processes, batching, squares)
        if settings.keep_weight == 1:
            return both
        # The gradient of a weighted loss is the weighted gradient.
        return replace(both, preserve=settings.keep_weight * both.preserve)

    return len(order), gradients_at


def slowdown(num_forget: int, settings: UnlearnConfig) -> float:
    """Return the factor by which `min_steps` lowers the learning rate: more steps lead as far, each by less."""
    return passes(num_forget, settings.batch_size, settings.epochs, settings.min_steps) / settings.epochs


def _passes(task: UnlearningTask) -> int:
    settings = task.settings
    return passes(len(task.forget), settings.batch_size, settings.epochs, settings.min_steps)


def _rehearsals(task: UnlearningTask, steps: int) -> list[list[Example]]:
    """Return the examples of earlier requests that join each step: all in turn, in a seeded order."""
    size = min(task.settings.rehearse, len(task.rehearsed))
    chosen = cycled(len(task.rehearsed), [size] * steps, task.seed, "rehearse")
    return [[task.rehearsed[i] for i in own] for own in chosen]


def learning_rate(step: int, steps: int, settings: UnlearnConfig) -> float:
    """Return the rate of a step (from 1): linear warm-up, then linear decay, which would reach zero after the last one.

    It depends on the step alone, so a resumed run needs no schedule state.
    """
    warm = settings.warmup * steps
    return settings.learning_rate * min(step / max(1.0, warm), (steps + 1 - step) / max(1.0, steps - warm), 1.0)
