"""What keeps earlier requests of a chain forgotten: held gradients, and items that are rehearsed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.methods.base import Method
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.pipeline.examples import examples
from duolearn_cli.pipeline.laboratory import LoadedModel
from duolearn_cli.pipeline.study import EarlierRequest
from duolearn_cli.training.answer_form import AnswerForm
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.forward import Example
from duolearn_cli.training.gradients import Batching
from duolearn_cli.training.held import held_gradient, read_held, write_held
from duolearn_cli.training.task import UnlearningTask


def held_before(model: LanguageModel, config: RunConfig, coordinates: Coordinates) -> Tensor | None:
    """The held gradients of earlier requests, over the coordinates that may change [k, n]; None without any."""
    if not config.after or not config.unlearn.hold:
        return None
    vectors = list(read_held(Path(config.after), model.named_adapter).values())
    return coordinates.take(torch.stack(vectors)) if vectors else None


def hold_requests(
    unlearned: LoadedModel, task: UnlearningTask, processes: Processes, folder: Path, *, is_main: bool
) -> None:
    """Write the held gradients of all requests into the adapter's `folder`, for requests that follow.

    Those of earlier requests are taken anew, at the model as it is now: a gradient of three requests ago no longer
    points to where the answers come back (docs/lab-notes.md). Where the items are gone, the old one is kept.
    """
    display, model, after = unlearned.display, unlearned.model, unlearned.study.config.after
    if processes.sharded:
        display.note("no gradient of this request is held for later ones: runtime.sharding cuts it; allowed: none")
        return
    requests = unlearned.study.requests
    display.stage(f"Hold the gradients of {len(requests) + 1} requests for later ones")
    size = task.settings.micro_batch or task.settings.batch_size
    batching, labels = Batching(size, task.pack_to), task.method.labels
    vectors = read_held(Path(after), model.named_adapter) if after else {}
    for number, request in enumerate(requests, start=1):
        if again := _examples(unlearned, request, task.method, None):
            vectors[str(number)] = held_gradient(model, again, labels, processes, batching)
    vectors[str(len(requests) + 1)] = held_gradient(model, task.forget, labels, processes, batching)
    if is_main:
        write_held(folder, model.named_adapter, vectors)


def rehearsed_examples(target: LoadedModel, method: Method, form: AnswerForm | None) -> list[Example]:
    """Return the forget items of all earlier requests as examples, each with the token classes of its request."""
    return [one for request in target.study.requests for one in _examples(target, request, method, form)]


def _examples(loaded: LoadedModel, request: EarlierRequest, method: Method, form: AnswerForm | None) -> list[Example]:
    items = loaded.study.items_of(request)
    return examples(loaded, items, True, method.labels, method.attention, form, request.target) if items else []
