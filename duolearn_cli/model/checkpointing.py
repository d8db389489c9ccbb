"""Activation checkpointing: layers keep their inputs alone, and what lies between is computed again in the backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from duolearn_cli.errors import ModelError


@contextmanager
def recomputed(decoder: nn.Module, name: str) -> Iterator[None]:
    """Checkpoint every decoder layer's forward (non-reentrant; Chen et al. 2016), as long as the context lasts.

    Graphs that were made inside may be gone through outside, and more than once. transformers has a switch of its own,
    which works on layers in training mode only; in that mode some architectures drop units out, and the loop must not.

    Raises:
        ModelError: the architecture, here called `name`, has no layers that transformers would checkpoint.
    """
    layers = _layers(decoder)
    if not layers:
        raise ModelError(
            f"unlearn.checkpointing=true: {name} has no layers that can be computed again; allowed: false. Mend: "
            "a smaller unlearn.micro_batch saves memory too."
        )
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        layer.forward = partial(_forward, layer.forward)
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            del layer.forward
            if own is not None:
                layer.forward = own


def _layers(module: nn.Module) -> list[nn.Module]:
    """The outermost layers that transformers marks as fit for it."""
    if isinstance(module, GradientCheckpointingLayer):
        return [module]
    return [layer for child in module.children() for layer in _layers(child)]


def _forward(forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    # Nothing is drawn at random: the network is in evaluation mode.
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False, **named)
