"""The unlearning loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from duolearn_cli import geometry
from duolearn_cli.attention import retention
from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.config import UnlearnConfig
from duolearn_cli.data.encoding import Encoded, collate
from duolearn_cli.data.streams import num_steps, pairs
from duolearn_cli.errors import RunError
from duolearn_cli.losses import nll
from duolearn_cli.methods.base import NO_ATTENTION, Attention, Method, Objective, Tokens, attention_of
from duolearn_cli.model import LanguageModel, assign, flatten
from duolearn_cli.references import Reference, attend

# A token whose nll the target had lowered by more than this (nats) against the base counts as memorised in reports.
MEMORISED = -1.0


@dataclass(frozen=True, eq=False)
class Example:
    """One training text with what the loop needs of it.

    Lists and tensors hold one entry a labelled token; `token_kind` is the class of every token.
    """

    text: Encoded
    is_forget: bool
    weight: float
    kind: Sequence[int]
    level_weight: Sequence[float]
    reference: Reference
    token_kind: Sequence[int] = ()


def unlearn(
    model: LanguageModel,
    forget: Sequence[Example],
    retain: Sequence[Example],
    method: Method,
    settings: UnlearnConfig,
    seed: int,
    optimizer: torch.optim.Optimizer,
    first_step: int,
    after_step: Callable[[int, Mapping[str, float]], None],
    pack_to: int | None = None,
) -> None:
    """Unlearn in place, from `first_step` on; `after_step` is told the step's number (from 1) and its values.

    Two gradients are taken through one forward over forget and retain items. The optimiser moves along their sum; what
    in its executed step would raise the preserve loss is taken back, if the method asks for that. With `pack_to`, texts
    share rows of so many tokens.

    Raises:
        RunError: a step is not finite.
        ModelError: the method's key biases, or packing, need masks that the model does not take.
    """
    accelerator = Accelerator(cpu=model.device.type == "cpu")
    batch_size, epochs = settings.batch_size, settings.epochs
    steps = num_steps(len(forget), batch_size, epochs)
    for step, (forgets, retains) in enumerate(pairs(len(forget), len(retain), batch_size, epochs, seed), start=1):
        if step <= first_step:
            continue
        examples = [forget[i] for i in share(accelerator, forgets)] + [retain[i] for i in share(accelerator, retains)]
        tokens = predict(model, examples, method.labels, attention_of(method), pack_to)
        g_forget, g_preserve = gradients(method.objective(tokens), model.adapter, accelerator)

        before = flatten(model.adapter)
        optimise(
            optimizer,
            model.adapter,
            g_forget + g_preserve,
            learning_rate(step, steps, settings),
            settings.max_grad_norm,
        )
        executed = flatten(model.adapter) - before
        allowed = geometry.remove_conflict(executed, g_preserve) if method.constrain_step else executed
        if method.constrain_step:
            assign(model.adapter, before + allowed)

        values = measure(tokens, g_forget, g_preserve, executed, allowed)
        if not math.isfinite(values["step_norm"]):
            raise RunError(f"unlearning diverged at step {step}; lower unlearn.learning_rate={settings.learning_rate}.")
        after_step(step, values)


def share(accelerator: Accelerator, indices: Sequence[int]) -> Sequence[int]:
    """This process's part of a batch. Every process gets at least one index, so that none is left without a loss."""
    mine = indices[accelerator.process_index :: accelerator.num_processes]
    return mine or [indices[accelerator.process_index % len(indices)]]


def predict(
    model: LanguageModel,
    examples: Sequence[Example],
    labels: str,
    attention: Attention = NO_ATTENTION,
    pack_to: int | None = None,
) -> Tokens:
    """One forward over all examples; predictions at their labelled tokens only, beside the cached references."""
    batch = collate([example.text for example in examples], labels, pack_to=pack_to).to(model.device)
    hidden, outputs = attend(model, batch, attention, [example.token_kind for example in examples])

    def stored(name: str, dim: int = 0) -> Tensor:
        return torch.cat([getattr(example.reference, name) for example in examples], dim).to(model.device)

    def logits(name: str) -> Callable[[Tensor], Tensor]:
        return lambda mask: model.head(stored(name)[mask])

    def per_token(values: Sequence[Sequence[float]], dtype: torch.dtype) -> Tensor:
        return torch.tensor([v for row in values for v in row], dtype=dtype, device=model.device)

    answers = [[example.text.is_answer[i] for i in example.text.labels(labels)] for example in examples]
    forgets = torch.tensor([example.is_forget for example in examples], device=model.device)
    weights = torch.tensor([example.weight for example in examples], dtype=torch.float32, device=model.device)
    return Tokens(
        logits=model.head(hidden),
        labels=batch.label,
        base_nll=stored("base_nll"),
        target_nll=stored("target_nll"),
        base_logits=logits("base_hidden"),
        target_logits=logits("target_hidden"),
        kind=per_token([example.kind for example in examples], torch.long),
        level_weight=per_token([example.level_weight for example in examples], torch.float32),
        item_weight=weights[batch.sequence],
        is_forget=forgets[batch.sequence],
        is_answer=per_token(answers, torch.bool),
        sequence=batch.sequence,
        num_sequences=len(examples),
        attention=outputs,
        target_attention=None if outputs is None else stored("target_attention", 1),
    )


def gradients(
    objective: Objective, parameters: list[torch.nn.Parameter], accelerator: Accelerator
) -> tuple[Tensor, Tensor]:
    """Flat gradients of both losses through the same forward. Shapes: [parameters].

    Several processes take the mean of their own gradients. A loss that is a weighted mean over tokens then weighs each
    process alike, however many tokens it holds: the result is close to that of one process, not equal to it.
    """
    forget = torch.autograd.grad(objective.forget, parameters, retain_graph=True)
    preserve = torch.autograd.grad(objective.preserve, parameters)
    both = torch.stack([flatten(forget), flatten(preserve)])
    both = accelerator.reduce(both, reduction="mean")
    return both[0], both[1]


def optimise(
    optimizer: torch.optim.Optimizer,
    parameters: list[torch.nn.Parameter],
    gradient: Tensor,
    rate: float,
    max_norm: float,
) -> None:
    """One optimiser step along a flat gradient, clipped to `max_norm`."""
    gradient = gradient * (max_norm / gradient.norm().clamp(min=1e-12)).clamp(max=1)
    offset = 0
    for parameter in parameters:
        parameter.grad = gradient[offset : offset + parameter.numel()].view_as(parameter).to(parameter.dtype)
        offset += parameter.numel()
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()


def learning_rate(step: int, steps: int, settings: UnlearnConfig) -> float:
    """Linear warm-up, then linear decay; of the step alone, so that a resumed run needs no schedule state."""
    warm = settings.warmup * steps
    return settings.learning_rate * min(step / max(1.0, warm), (steps + 1 - step) / max(1.0, steps - warm), 1.0)


def measure(
    tokens: Tokens, g_forget: Tensor, g_preserve: Tensor, executed: Tensor, allowed: Tensor
) -> dict[str, float]:
    """Mean nll of each token class in the step, and how the two gradients met; NaN for a class without tokens.

    `attention`, where a method keeps any, is how far the attention of P tokens has moved from the target's.
    """
    with torch.no_grad():
        values = nll(tokens.logits, tokens.labels)
        unlearned = tokens.kind == UNLEARN
        classes = {
            "target": unlearned,
            "memorised": unlearned & (tokens.target_nll - tokens.base_nll < MEMORISED),
            "general_medical": tokens.kind == PRESERVE,
            "neutral": tokens.kind == NEUTRAL,
        }
        figures = [values[mask].mean() for mask in classes.values()]
        figures += [
            geometry.cosine(g_forget, g_preserve),
            (executed - allowed).norm() / executed.norm().clamp(min=1e-12),
        ]
        figures += [allowed.norm()]
        names = [*classes, "cosine", "removed", "step_norm"]
        if tokens.attention is not None and tokens.target_attention is not None:
            figures, names = [*figures, retention(tokens.attention, tokens.target_attention)], [*names, "attention"]
    # One transfer for all: each would make the host wait for the device.
    return dict(zip(names, torch.stack(figures).tolist(), strict=True))
