"""The unlearning stage of a run: from the target model, or the last checkpoint, to the adapter in the run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from duolearn_cli.config.components import component
from duolearn_cli.config.learning import base_is_target
from duolearn_cli.data.order import num_steps
from duolearn_cli.methods.base import Method, attention_of, geometry_of, sparsity_of
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.early_stopping import Goal, between_looks
from duolearn_cli.pipeline.examples import answer_form, examples, trusted
from duolearn_cli.pipeline.laboratory import Laboratory, LoadedModel
from duolearn_cli.pipeline.monitor import Monitor
from duolearn_cli.pipeline.private_run import private_steps
from duolearn_cli.pipeline.processes import deferred_interrupt
from duolearn_cli.pipeline.result import write_result
from duolearn_cli.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.gradients import Batching
from duolearn_cli.training.held import held_gradient, read_held, write_held
from duolearn_cli.training.private.step import PrivateSteps
from duolearn_cli.training.selection import choose
from duolearn_cli.training.task import UnlearningTask
from duolearn_cli.training.unlearn import unlearn
from duolearn_cli.training.update import Update


def unlearn_stage(lab: Laboratory) -> LoadedModel:
    """Unlearn from the target model, or from the run's last checkpoint. Write the adapter into the run folder.

    Raises:
        KeyboardInterrupt: the run was interrupted; its last step is saved.
        RunError: the checkpoint or the account does not fit the run, or the run diverged.
    """
    config, run = lab.study.config, lab.run
    processes = Processes(Accelerator(cpu=lab.model.device.type == "cpu"), sharded=config.runtime.sharding == "fsdp2")
    method = component(config.method, config.plugins)
    # The goal loads other models, so it comes before the target is loaded for good.
    goal = _goal(lab)
    task = make_task(lab.load("target"), method, processes)
    # References need the target's weights: a checkpoint's adapter is loaded only after `make_task`.
    update, first = make_update(lab, task, processes)
    private = private_steps(lab, task, update, processes)
    steps = private.num_steps if private else _planned_steps(len(task.forget), lab)
    save = _saver(lab, update, processes, private)
    # Steps after the last checkpoint were begun before a crash. They are taken again with other noise, so both count.
    if private and (lost := private.ledger.lost(first)):
        lab.display.note(
            f"{lost} steps were begun and lost; their privacy is spent, so the run ends {lost} steps earlier"
        )
    if lab.is_main:
        run.forget_history_after("unlearn", first)
    lab.display.stage(
        f"Unlearn {lab.study.target.name}: {len(task.forget)} forget items, {steps} steps"
        + f" from {first}" * bool(first)
    )
    with lab.display.progress("unlearn", steps) as advance, deferred_interrupt() as interrupted:
        advance(n=first)
        after_step = Monitor(lab, processes, steps, save, advance, interrupted, goal)
        unlearn(lab.model, task, update, first, after_step, private)
    unlearned = write_result(lab, method, private, save, steps, processes)
    if private:
        lab.display.note("a private run holds no gradient of its forget items for later requests")
    else:
        hold_request(lab, task, processes)
    if interrupted():  # during the step that ended the loop
        raise KeyboardInterrupt
    return unlearned


def make_task(target: LoadedModel, method: Method, processes: Processes) -> UnlearningTask:
    """Return the training examples of both sides with references of the target, the method and the loop's settings."""
    config, request = target.study.config, target.study.request
    # Before sharding: a process that finds the form in the cache runs no forward, and the others would wait for it.
    form = answer_form(target, method)
    if processes.sharded:
        target = target.shard()
    forget, retain = (
        examples(target, trusted(target, items), is_forget, method.labels, attention_of(method), form)
        for items, is_forget in ((request.forget, True), (request.retain, False))
    )
    pack_to = config.prompt.max_tokens if config.unlearn.packing else None
    return UnlearningTask(forget, retain, method, config.unlearn, config.seed, pack_to)


def make_update(lab: Laboratory, task: UnlearningTask, processes: Processes) -> tuple[Update, int]:
    """Return a new update and step 0, or the update and step of the run's last checkpoint after loading its adapter."""
    model, checkpoint = lab.model, latest_checkpoint(lab.run.folder / "checkpoints")
    # Before a checkpoint's adapter is loaded: vectors that are computed anew are those of the target.
    earlier = held_by(lab, task, processes) if lab.study.config.unlearn.hold else {}
    if checkpoint:
        first, state = load_checkpoint(checkpoint, lab.cache.signature(), model, processes)
        index = state.get("index")
    else:
        first, state, index = 0, {}, chosen_coordinates(lab, task, processes)
    # A resumed run takes the coordinates of its checkpoint. Chosen anew, from an adapter that has moved, they would be
    # others.
    coordinates = Coordinates(model.named_adapter, None if index is None else index.to(model.device), model.experts)
    held = coordinates.take(torch.stack([*earlier.values()])) if earlier else None
    update = Update(coordinates, task.settings, geometry_of(task.method), processes, held)
    if checkpoint:
        update.restore(state)
    return update, first


def held_by(lab: Laboratory, task: UnlearningTask, processes: Processes) -> dict[str, Tensor]:
    """The held gradients of earlier requests, by request; empty without any. Shape: [adapter]."""
    config = lab.study.config
    if not config.after:
        return {}
    if base_is_target(config):
        return held_anew(lab, task, processes)
    return read_held(Path(config.after), lab.model.named_adapter)


def held_anew(lab: Laboratory, task: UnlearningTask, processes: Processes) -> dict[str, Tensor]:
    """The held gradients of earlier requests at a merged model, which has none of its own: its adapter is a new one."""
    study, loaded = lab.study, lab.loaded
    # A private run may not look at earlier records outside of its account.
    if loaded is None or processes.sharded or study.config.privacy.epsilon is not None:
        lab.display.note("earlier requests are not held: a merged model has no held gradients, and none can be made")
        return {}
    lab.display.stage(f"Hold the gradients of {len(study.requests)} earlier requests anew, at the merged model")
    batching = Batching(task.settings.micro_batch or task.settings.batch_size, task.pack_to)
    found: dict[str, Tensor] = {}
    for number, request in enumerate(study.requests, start=1):
        if items := [item for item in study.earlier if item.fact_id in request.facts]:
            own = examples(loaded, items, True, task.method.labels, task.method.attention)
            found[str(number)] = held_gradient(lab.model, own, task.method.labels, processes, batching)
    return found


def hold_request(lab: Laboratory, task: UnlearningTask, processes: Processes) -> None:
    """Write the held gradients of all requests beside the adapter, with this request's, for requests that follow."""
    config, model = lab.study.config, lab.model
    if not config.unlearn.hold:
        return
    if processes.sharded:
        lab.display.note("no gradient of this request is held for later ones: runtime.sharding cuts it; allowed: none")
        return
    lab.display.stage(f"Hold the gradient of {len(task.forget)} forget items for later requests")
    earlier = held_by(lab, task, processes)
    size = task.settings.micro_batch or task.settings.batch_size
    own = held_gradient(model, task.forget, task.method.labels, processes, Batching(size, task.pack_to))
    if lab.is_main:
        write_held(lab.run.folder / "adapter", model.named_adapter, {**earlier, str(len(lab.study.requests) + 1): own})


def chosen_coordinates(lab: Laboratory, task: UnlearningTask, processes: Processes) -> Tensor | None:
    """Choose the coordinates that may change, and note how many there are. Return None if all may change."""
    sparse, model = sparsity_of(task.method), lab.model
    if sparse.unit == "none":
        return None
    total = sum(min(sparse.examples, len(side)) for side in (task.forget, task.retain))
    with lab.display.progress("choose coordinates", total) as advance:

        def done(count: int) -> None:
            advance(n=count)

        index = choose(model, task, processes, done)
    count = int(processes.sum_parts(torch.tensor(float(len(index)), device=index.device)))
    lab.display.note(f"{count:,} coordinates may change, {count / model.num_base_parameters:.3%} of the model")
    return index


def _goal(lab: Laboratory) -> Goal | None:
    """Return the goal at which the run may end early, None if it may not. Private runs may not."""
    stop = lab.study.config.unlearn.stop
    if stop == "none":
        return None
    planned = _planned_steps(len(lab.study.request.forget), lab)
    return Goal.of(lab, stop, max(1, planned // between_looks(lab.study.config, planned)))


def _planned_steps(num_forget: int, lab: Laboratory) -> int:
    settings = lab.study.config.unlearn
    return num_steps(num_forget, settings.batch_size, settings.epochs)


def _saver(
    lab: Laboratory, update: Update, processes: Processes, private: PrivateSteps | None
) -> Callable[[int], None]:
    """Return the function that saves a checkpoint of a step, with the ledger of a private run beside it."""
    checkpoints, signature = lab.run.folder / "checkpoints", lab.cache.signature()
    beside = private.ledger.write if private else (lambda folder: None)

    def save(step: int) -> None:
        save_checkpoint(checkpoints, step, signature, lab.model, update, processes, beside)

    return save
