"""Held gradients: they keep earlier requests forgotten while a later request is unlearned (our definition).

When a request ends, one gradient is taken at the model that it leaves: of minus the mean nll of the targeted answer
tokens of all its forget items, over all adapter values, scaled to length one. This loss rises when the answers come
back. Later requests hold the gradient: the constraint takes from every step the part along which the loss would rise.

The gradient is as large as the adapter and derived from the forgotten data. A private run keeps none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from duolearn_cli.concepts.token_classes import UNLEARN
from duolearn_cli.errors import RunError
from duolearn_cli.methods.base import Method, Objective
from duolearn_cli.methods.tokens import Labels, Tokens
from duolearn_cli.model.adapter_files import CONFIG_FILE, HELD_FILE
from duolearn_cli.model.distributed import Processes, local, shard_like
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.readings import nll_at
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.forward import Example
from duolearn_cli.training.gradients import Batching, gradients

FILE = HELD_FILE
Named = Sequence[tuple[str, nn.Parameter]]


@dataclass
class Recall(Method):
    """How well the model recalls forget answers, as a loss in the form of a method: minus the mean nll.

    The mean is over the targeted tokens of the answers; where no answer has one, over all their tokens.
    """

    # Those of the examples, which a method's class fixes and this loss must follow.
    labels: str = "answer"  # type: ignore[reportIncompatibleVariableOverride]

    def objective(self, tokens: Tokens) -> Objective:
        # The whole step decides, so that all of its micro-batches and processes take the same kind of tokens.
        from_targeted = bool(_targeted(tokens.step or tokens).any())
        where = _targeted if from_targeted else _answers
        (nll,) = tokens.read(nll_at(where(tokens)))
        return Objective(forget=-tokens.mean_over(nll, where), preserve=nll.new_zeros(()))


def _answers(labels: Labels) -> Tensor:
    return labels.is_forget & labels.is_answer


def _targeted(labels: Labels) -> Tensor:
    return _answers(labels) & (labels.kind == UNLEARN)


def held_gradient(
    model: LanguageModel, forget: Sequence[Example], labels: str, processes: Processes, batching: Batching
) -> Tensor:
    """The held gradient of a request at the model as it is now. Shape: [adapter], this process's part; length one.

    Args:
        forget: all trained forget items of the request.
        labels: which tokens of the examples are labelled, ``answer`` or ``text``.
    """
    # All of the adapter, whatever this request may change: a later request may choose other coordinates.
    everything = Coordinates(model.named_adapter, experts=model.experts)
    gradient = gradients(model, forget, Recall(labels), everything, processes, batching).forget
    return gradient / processes.sum_parts(gradient.square().sum()).sqrt().clamp(min=1e-30)


def write_held(folder: Path, named: Named, vectors: Mapping[str, Tensor]) -> None:
    """Write held gradients, by request, beside the adapter in `folder`. The model must not be sharded."""
    tensors = {
        f"{request}/{name}": part.detach().cpu().contiguous()
        for request, vector in vectors.items()
        for name, part in _parts(named, vector).items()
    }
    save_file(tensors, folder / FILE)
    (folder / FILE).chmod((folder / CONFIG_FILE).stat().st_mode)  # as the adapter's, see `lora.save`


def read_held(folder: Path, named: Named) -> dict[str, Tensor]:
    """The held gradients beside the adapter in `folder`, by request; empty where there are none. Shape: [adapter].

    With a sharded model, this process's shard.

    Raises:
        RunError: the file is damaged, or of an adapter of another form.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error
    parameters = dict(named)
    requests = list(dict.fromkeys(name.partition("/")[0] for name in tensors))
    vectors: dict[str, Tensor] = {}
    for request in requests:
        own = {name: tensors.get(f"{request}/{name}") for name in parameters}
        wrong = [n for n, value in own.items() if value is None or value.shape != parameters[n].shape]
        if wrong:
            raise RunError(f"{path}: request {request} was held for an adapter of another form ({wrong[0]}).")
        ordered = Coordinates(named).parameters
        names = {id(parameter): name for name, parameter in parameters.items()}
        vectors[request] = torch.cat(
            [
                local(shard_like(own[names[id(parameter)]], parameter)).reshape(-1).to(local(parameter.detach()))  # type: ignore[arg-type]
                for parameter in ordered
            ]
        )
    return vectors


def _parts(named: Named, vector: Tensor) -> dict[str, Tensor]:
    """A vector over all adapter values as tensors by parameter name."""
    names = {id(parameter): name for name, parameter in named}
    ordered = Coordinates(named).parameters
    parts = vector.split([parameter.numel() for parameter in ordered])
    return {names[id(p)]: part.view_as(p) for p, part in zip(ordered, parts, strict=True)}
