"""What keeps earlier requests of a chain forgotten: held gradients, and items that are rehearsed."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from duolearn_cli.config.given_target import base_is_target
from duolearn_cli.methods.base import Method
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.examples import examples
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.study import EarlierRequest
from duolearn_cli.training.answer_form import AnswerForm
from duolearn_cli.training.forward import Example
from duolearn_cli.training.gradients import Batching
from duolearn_cli.training.held import held_gradient, read_held, write_held
from duolearn_cli.training.task import UnlearningTask


def held_before(target: LoadedModel, task: UnlearningTask, processes: Processes) -> dict[str, Tensor]:
    """The held gradients of earlier requests when a run begins, by request; empty without any. Shape: [adapter].

    A merged model has none beside it, since its adapter is a new one: they are computed.
    """
    config = target.study.config
    if not config.after or not config.unlearn.hold:
        return {}
    if not base_is_target(config):
        return read_held(Path(config.after), target.model.named_adapter)
    # A private run may not look at earlier records outside of its account.
    if processes.sharded or config.privacy.epsilon is not None:
        target.display.note("earlier requests are not held: a merged model has no held gradients, and none can be made")
        return {}
    target.display.stage(f"Hold the gradients of {len(target.study.requests)} earlier requests, at the merged model")
    return _held_now(target, task, processes)


def hold_requests(
    unlearned: LoadedModel, task: UnlearningTask, processes: Processes, folder: Path, *, is_main: bool
) -> None:
    """Write the held gradients of all requests into the adapter's `folder`, for requests that follow.

    Gradients of earlier requests are computed again on the unlearned model: an old gradient no longer points to where
    the answers come back (docs/history/lab-notes.md). If a request's items are gone, its old gradient is kept.
    """
    display, model, config = unlearned.display, unlearned.model, unlearned.study.config
    if processes.sharded:
        display.note(
            "no held gradient is written, because runtime.sharding splits it over processes; a later request cannot "
            "hold this one. Fix: runtime.sharding=none"
        )
        return
    number = len(unlearned.study.requests) + 1
    display.stage("Hold the gradient of this request for later ones" if number == 1 else f"Hold {number} gradients")
    is_continued = config.after and not base_is_target(config)
    vectors = read_held(Path(str(config.after)), model.named_adapter) if is_continued else {}
    vectors |= _held_now(unlearned, task, processes)
    vectors[str(number)] = held_gradient(model, task.forget, task.method.labels, processes, _batching(task))
    if is_main:
        write_held(folder, model.named_adapter, vectors)


def _held_now(loaded: LoadedModel, task: UnlearningTask, processes: Processes) -> dict[str, Tensor]:
    """The gradients of earlier requests at the model as it is now, by request; without those whose items are gone."""
    found: dict[str, Tensor] = {}
    # What was forgotten in documents is not read again (`document_sides`), so its old gradients stay.
    if loaded.study.documents.learned:
        return found
    for number, request in enumerate(loaded.study.requests, start=1):
        if own := _examples(loaded, request, task.method, None):
            found[str(number)] = held_gradient(loaded.model, own, task.method.labels, processes, _batching(task))
    return found


def _batching(task: UnlearningTask) -> Batching:
    return Batching(task.settings.micro_batch or task.settings.batch_size, task.pack_to)


def rehearsed_examples(target: LoadedModel, method: Method, form: AnswerForm | None) -> list[Example]:
    """Return the forget items of all earlier requests as examples, each with the token classes of its request."""
    return [one for request in target.study.requests for one in _examples(target, request, method, form)]


def _examples(loaded: LoadedModel, request: EarlierRequest, method: Method, form: AnswerForm | None) -> list[Example]:
    items = loaded.study.items_of(request)
    return examples(loaded, items, True, method.labels, method.attention, form, request.target) if items else []
