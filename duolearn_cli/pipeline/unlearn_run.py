"""The unlearning stage of a run: from the target model, or the last checkpoint, to the adapter in the run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from duolearn_cli.config.components import component
from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.data.order import num_steps, passes
from duolearn_cli.errors import DataError
from duolearn_cli.methods.base import Method
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.document_texts import num_forget_texts, window_examples
from duolearn_cli.pipeline.earlier_requests import held_before, hold_requests, rehearsed_examples
from duolearn_cli.pipeline.early_stopping import Goal, between_looks
from duolearn_cli.pipeline.examples import answer_form, examples, trusted
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.monitor import Monitor
from duolearn_cli.pipeline.private_run import private_steps
from duolearn_cli.pipeline.processes import deferred_interrupt
from duolearn_cli.pipeline.result import write_result
from duolearn_cli.training.answer_form import AnswerForm
from duolearn_cli.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.private.step import PrivateSteps
from duolearn_cli.training.selection import choose
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.unlearn import slowdown, unlearn
from duolearn_cli.training.update import Update

CHECKPOINTS = "checkpoints"


def unlearn_stage(lab: Laboratory) -> LoadedModel:
    """Unlearn from the target model, or from the run's last checkpoint. Write the adapter into the run folder.

    Raises:
        KeyboardInterrupt: the run was interrupted; its last step is saved.
        RunError: the checkpoint or the account does not fit the run, or the run diverged.
    """
    config = lab.study.config
    processes = Processes(Accelerator(cpu=lab.model.device.type == "cpu"), sharded=config.runtime.sharding == "fsdp2")
    # The goal loads other models, so it comes before the target is loaded for good.
    goal = _goal(lab)
    target, task = _begin(lab, component(config.method, config.plugins), processes)
    # References need the target's weights: a checkpoint's adapter is loaded only after the task is made.
    update, first = make_update(target, task, processes, lab.run.folder / CHECKPOINTS, lab.cache.signature())
    private = private_steps(lab, task, update, processes)
    steps = private.num_steps if private else _planned_steps(len(task.forget), lab)
    save = _saver(lab, update, processes, private)
    _announce(lab, task, first, steps, private)
    with lab.display.progress("unlearn", steps) as advance, deferred_interrupt() as interrupted:
        advance(n=first)
        after_step = Monitor(lab, processes, steps, save, advance, interrupted, goal)
        unlearn(lab.model, task, update, first, after_step, private)
    unlearned = write_result(lab, task.method, private, save, steps, processes)
    if private:
        lab.display.note("a private run holds no gradient of its forget items for later requests")
    elif config.unlearn.hold:
        hold_requests(unlearned, task, processes, lab.run.folder / "adapter", is_main=lab.is_main)
    if interrupted():  # during the step that ended the loop
        raise KeyboardInterrupt
    return unlearned


def _begin(lab: Laboratory, method: Method, processes: Processes) -> tuple[LoadedModel, UnlearningTask]:
    """Load the target, sharded if it is to be, and make the run's task from it."""
    target = lab.load("target")
    # Before sharding: a process that finds the form in the cache runs no forward, and the others would wait for it.
    form = answer_form(target, method)
    if processes.sharded:
        target = target.shard()
    return target, make_task(target, method, form)


def make_task(target: LoadedModel, method: Method, form: AnswerForm | None = None) -> UnlearningTask:
    """Return the training examples of both sides with references of the target, the method and the loop's settings."""
    config, request, taught = target.study.config, target.study.request, target.study.taught
    forget, retain = (
        examples(target, trusted(target, items), is_forget, method.labels, method.attention, form)
        for items, is_forget in ((taught(request.forget), True), (taught(request.retain), False))
    )
    more = window_examples(target, method) if target.study.documents.learned else ([], [])
    forget, retain = [*forget, *more[0]], [*retain, *more[1]]
    if not retain:
        raise DataError("nothing is left to keep: every document is forgotten as a whole. Forget less, or add data.")
    rehearsed = rehearsed_examples(target, method, form) if config.unlearn.rehearse else []
    pack_to = config.prompt.max_tokens if config.unlearn.packing else None
    return UnlearningTask(forget, retain, method, config.unlearn, config.seed, pack_to, rehearsed)


def make_update(
    target: LoadedModel, task: UnlearningTask, processes: Processes, checkpoints: Path, signature: str
) -> tuple[Update, int]:
    """Return a new update and step 0, or the update and step of the run's last checkpoint.

    The checkpoint's adapter is loaded; `target` is stale then.

    Args:
        checkpoints: the run's folder of checkpoints, which may not exist.
        signature: what a checkpoint must have been made for; see `keys.signature`.
    """
    model, checkpoint = target.model, latest_checkpoint(checkpoints, target.display.note)
    # Before a checkpoint's adapter is loaded: vectors that are computed anew are those of the target.
    earlier = held_before(target, task, processes)
    if checkpoint:
        first, state = load_checkpoint(checkpoint, signature, model, processes)
        index = state.get("index")
    else:
        first, state, index = 0, {}, chosen_coordinates(target, task, processes)
    # A resumed run takes the coordinates of its checkpoint. Chosen anew, from an adapter that has moved, they would be
    # others.
    coordinates = Coordinates(model.named_adapter, None if index is None else index.to(model.device), model.experts)
    held = coordinates.take(torch.stack([*earlier.values()])) if earlier else None
    update = Update(coordinates, task.settings, task.method.geometry, processes, held)
    if checkpoint:
        update.restore(state)
    return update, first


def chosen_coordinates(target: LoadedModel, task: UnlearningTask, processes: Processes) -> Tensor | None:
    """Choose the coordinates that may change, and note how many there are. Return None if all may change."""
    sparse, model, display = task.method.sparsity, target.model, target.display
    if sparse.unit == "none":
        return None
    total = sum(min(sparse.examples, len(side)) for side in (task.forget, task.retain))
    with display.progress("choose coordinates", total) as advance:

        def done(count: int) -> None:
            advance(n=count)

        index = choose(model, task, processes, done)
    count = int(processes.sum_parts(torch.tensor(float(len(index)), device=index.device)))
    display.note(f"{count:,} coordinates may change, {count / model.num_base_parameters:.3%} of the model")
    return index


def _announce(lab: Laboratory, task: UnlearningTask, first: int, steps: int, private: PrivateSteps | None) -> None:
    """Show what the loop is about to do from step `first` on, and drop the history of steps that are taken again."""
    # Steps after the last checkpoint were begun before a crash. They are taken again with other noise, so both count.
    if private and (lost := private.ledger.lost(first)):
        lab.display.note(
            f"{lost} steps were begun and lost; their privacy is spent, so the run ends {lost} steps earlier"
        )
    if lab.is_main:
        lab.run.forget_history_after("unlearn", first)
    kind = "items and windows" if lab.study.documents.learned else "items"
    lab.display.stage(
        f"Unlearn {lab.study.target.name}: {len(task.forget)} forget {kind}, {steps} steps"
        + f" from {first}" * bool(first)
    )
    slower = 1.0 if private else slowdown(len(task.forget), task.settings)
    if said := slower_note(task.settings, slower):
        lab.display.note(said)


def slower_note(settings: UnlearnConfig, slower: float) -> str:
    """Say that the loop takes more passes than configured, each at a lower learning rate; empty if it does not."""
    if slower == 1:
        return ""
    return (
        f"unlearn.min_steps={settings.min_steps}: {slower * settings.epochs:.0f} passes instead of {settings.epochs}, "
        f"so the learning rate is {settings.learning_rate / slower:.3g} instead of {settings.learning_rate:g}. "
        "unlearn.min_steps=1 keeps both"
    )


def _goal(lab: Laboratory) -> Goal | None:
    """Return the goal at which the run may end early, None if it may not. Private runs may not."""
    stop = lab.study.config.unlearn.stop
    if stop == "none":
        return None
    planned = _planned_steps(num_forget_texts(lab.study, lab.encoder), lab)
    return Goal.of(lab, stop, max(1, planned // between_looks(lab.study.config, planned)))


def _planned_steps(num_forget: int, lab: Laboratory) -> int:
    settings = lab.study.config.unlearn
    num_passes = passes(num_forget, settings.batch_size, settings.epochs, settings.min_steps)
    return num_steps(num_forget, settings.batch_size, num_passes)


def _saver(
    lab: Laboratory, update: Update, processes: Processes, private: PrivateSteps | None
) -> Callable[[int], None]:
    """Return the function that saves a checkpoint of a step, with the ledger of a private run beside it."""
    checkpoints, signature = lab.run.folder / CHECKPOINTS, lab.cache.signature()
    beside = private.ledger.write if private else (lambda folder: None)

    def save(step: int) -> None:
        save_checkpoint(checkpoints, step, signature, lab.model, update, processes, beside)

    return save
