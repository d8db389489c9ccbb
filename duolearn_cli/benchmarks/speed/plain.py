"""Plain references: training as one would write it with PEFT and transformers alone.

Nothing here uses this project's forward, losses, caches or update, so that what these save shows. The tokens, the
adapter, the optimiser and the precision are the same as ours.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from peft import get_peft_model
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.model.encoding import Encoded
from duolearn_cli.model.loading import choose_device, choose_precision
from duolearn_cli.model.lora import lora_config
from duolearn_cli.model.pretrained import load_base
from duolearn_cli.model.weights import find_weights

IGNORED = -100
# Small, so that a model that takes thousands of timed steps stays where it was.
LEARNING_RATE = 1e-6
ADAPTER_SCALE = 0.02


@dataclass(frozen=True, eq=False)
class Plain:
    """A network and where and in which precision it computes."""

    network: Any
    device: torch.device
    precision: str

    @property
    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()


def load_plain(config: RunConfig, *, adapter: bool = True) -> Plain:
    """The configured model as transformers loads it, with PEFT's LoRA on it, or with every weight trained."""
    weights, device = find_weights(config.model, config.cache_dir), choose_device(config.runtime.device)
    dtype = torch.bfloat16 if device.type == "cuda" and config.runtime.precision != "fp32" else torch.float32
    base = load_base(weights, config.model.name, dtype)
    precision = choose_precision(config.runtime.precision, base, device)
    if not adapter:
        return Plain(base.to(device).train(), device, precision)
    with warnings.catch_warnings():
        # PEFT asks transformers for a property by its older name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        network = get_peft_model(base, lora_config(config.model.adapter, base))
    scatter(network)
    return Plain(network.to(device).train(), device, precision)


@torch.no_grad()
def scatter(network: nn.Module, seed: int = 0) -> None:
    """Give every LoRA matrix random values that follow from its name's place and the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if "lora_" in name:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * ADAPTER_SCALE)


def padded(texts: Sequence[Encoded], labels: str, device: torch.device) -> dict[str, Tensor]:
    """What a model of transformers takes: ids, mask and labels, padded on the right. Shapes: [texts, length]."""
    ids = [torch.tensor(text.ids) for text in texts]
    places = [set(text.labels(labels)) for text in texts]
    wanted = [
        torch.tensor([token if i in own else IGNORED for i, token in enumerate(text.ids)])
        for text, own in zip(texts, places, strict=True)
    ]
    found = {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
        "labels": pad_sequence(wanted, batch_first=True, padding_value=IGNORED),
    }
    return {name: tensor.to(device) for name, tensor in found.items()}


def training_step(model: Plain, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Forward, backward and AdamW over what is trained."""
    optimizer = torch.optim.AdamW(model.trained, lr=LEARNING_RATE, weight_decay=0.0)

    def step() -> None:
        with model.autocast():
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def language_model_loss(model: Plain, texts: Sequence[Encoded], labels: str) -> Callable[[], Tensor]:
    """The loss that transformers computes itself, of all texts in one batch."""
    return lambda: model.network(**padded(texts, labels, model.device), use_cache=False).loss


def reference_of(network: nn.Module) -> nn.Module:
    """The peer's reference: a frozen copy of the whole network."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def npo_loss(
    model: Plain,
    reference: nn.Module,
    forget: Sequence[Encoded],
    retain: Sequence[Encoded],
    beta: float,
    retain_weight: float,
) -> Tensor:
    """NPO with descent on retain answers (Zhang et al. 2024, eq. 3) in the peer's way of computing it.

    The live reference and the model each go over the forget batch, the model over the retain batch too; every forward
    gives the logits of all tokens. Returns the scalar ``mean(-2/beta log sigmoid(beta (nll - nll_ref))) + w nll_kept``.
    """
    batch = padded(forget, "answer", model.device)
    nll = sequence_nll(model.network, batch)
    with torch.no_grad():
        reference_nll = sequence_nll(reference, batch)
    forgotten = -2 / beta * F.logsigmoid(beta * (nll - reference_nll)).mean()
    kept = model.network(**padded(retain, "answer", model.device), use_cache=False).loss
    return forgotten + retain_weight * kept


def sequence_nll(network: Any, batch: dict[str, Tensor]) -> Tensor:
    """Sum over each text's labels of their negative log-likelihood, in nats. Shape: [texts]."""
    logits = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    shifted, labels = logits[..., :-1, :].contiguous(), batch["labels"][..., 1:].contiguous()
    return F.cross_entropy(shifted.transpose(-1, -2), labels, ignore_index=IGNORED, reduction="none").sum(-1)
