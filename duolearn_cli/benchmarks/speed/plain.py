"""Plain references: the same training written with PEFT and transformers alone.

None of this project's forward pass, losses, caches or update is used, so that a comparison shows what they save. The
tokens, the adapter's configuration, the optimiser and the precision are the same.
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

IGNORED = -100  # the label that transformers leaves out of its loss
# So small that the model hardly changes over the timed steps: all of them do the same work.
LEARNING_RATE = 1e-6
ADAPTER_SCALE = 0.02  # standard deviation of the random LoRA weights


@dataclass(frozen=True, eq=False)
class Plain:
    """A network with its device and precision (``fp32``, ``bf16``)."""

    network: Any
    device: torch.device
    precision: str

    @property
    def trained(self) -> list[nn.Parameter]:
        """The trainable parameters."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass in the model's precision."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()


def load_plain(config: RunConfig, *, adapter: bool = True) -> Plain:
    """Load the configured model with transformers and add PEFT's LoRA. Without `adapter`, every weight is trained."""
    weights, device = find_weights(config.model, config.cache_dir), choose_device(config.runtime.device)
    dtype = torch.bfloat16 if device.type == "cuda" and config.runtime.precision != "fp32" else torch.float32
    base = load_base(weights, config.model.name, dtype)
    precision = choose_precision(config.runtime.precision, base, device)
    if not adapter:
        return Plain(base.to(device).train(), device, precision)
    with warnings.catch_warnings():
        # PEFT reads this property of transformers by its old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        network = get_peft_model(base, lora_config(config.model.adapter, base))
    scatter(network)
    return Plain(network.to(device).train(), device, precision)


@torch.no_grad()
def scatter(network: nn.Module, seed: int = 0) -> None:
    """Fill every LoRA matrix with normal values of standard deviation `ADAPTER_SCALE`, in the order of the parameters.

    Two networks with the same parameters get the same adapter. A newly made LoRA would not do: one of its two matrices
    is zero, and so are then the gradients of the other.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if "lora_" in name:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * ADAPTER_SCALE)


def padded(texts: Sequence[Encoded], labels: str, device: torch.device) -> dict[str, Tensor]:
    """A batch for a model of transformers: ids, attention mask and labels, padded on the right.

    Args:
        texts: the texts of the batch.
        labels: which tokens are labels, ``answer`` or ``text`` (all).
        device: where the batch goes.

    Returns:
        `input_ids`, `attention_mask` and `labels`. Shape of each: [texts, length], int64.
    """
    ids = [torch.tensor(text.ids) for text in texts]
    labelled = [set(text.labels(labels)) for text in texts]
    label_ids = [
        torch.tensor([token if i in own else IGNORED for i, token in enumerate(text.ids)])
        for text, own in zip(texts, labelled, strict=True)
    ]
    batch = {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
        "labels": pad_sequence(label_ids, batch_first=True, padding_value=IGNORED),
    }
    return {name: tensor.to(device) for name, tensor in batch.items()}


def training_step(model: Plain, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A function that takes one training step on `loss`: forward, backward, AdamW over the trainable parameters."""
    optimizer = torch.optim.AdamW(model.trained, lr=LEARNING_RATE, weight_decay=0.0)

    def step() -> None:
        with model.autocast():
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def language_model_loss(model: Plain, texts: Sequence[Encoded], labels: str) -> Callable[[], Tensor]:
    """The loss that transformers itself computes, over all texts in one batch: the mean over labels, in nats."""
    return lambda: model.network(**padded(texts, labels, model.device), use_cache=False).loss


def reference_of(network: nn.Module) -> nn.Module:
    """A frozen deep copy of the whole network, as the peer keeps its reference model."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def npo_loss(
    model: Plain,
    reference: nn.Module,
    forget: Sequence[Encoded],
    retain: Sequence[Encoded],
    beta: float,
    retain_weight: float,
) -> Tensor:
    """NPO with descent on retain answers (Zhang et al. 2024, eq. 3), computed as the peer (open-unlearning) does.

    A live reference model runs at every step. Both models run over the forget batch and the model also over the retain
    batch; every forward pass computes the logits of all tokens.

    Returns:
        The scalar ``mean(-2 / beta * log sigmoid(beta * (nll - nll_ref))) + retain_weight * nll_retain``.
    """
    batch = padded(forget, "answer", model.device)
    nll = sequence_nll(model.network, batch)
    with torch.no_grad():
        reference_nll = sequence_nll(reference, batch)
    forget_loss = -2 / beta * F.logsigmoid(beta * (nll - reference_nll)).mean()
    retain_loss = model.network(**padded(retain, "answer", model.device), use_cache=False).loss
    return forget_loss + retain_weight * retain_loss


def sequence_nll(network: Any, batch: dict[str, Tensor]) -> Tensor:
    """The negative log-likelihood of each text's labels, summed over its labels, in nats. Shape: [texts]."""
    logits = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    # The logits of a token predict the next one.
    shifted, labels = logits[..., :-1, :].contiguous(), batch["labels"][..., 1:].contiguous()
    return F.cross_entropy(shifted.transpose(-1, -2), labels, ignore_index=IGNORED, reduction="none").sum(-1)
