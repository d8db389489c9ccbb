"""Activation checkpointing: layers only store their inputs, and the backward computes what lies between again."""

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
    """Checkpoint the forward of every decoder layer while the context lasts (Chen et al. 2016; non-reentrant).

    Backwards through graphs that were built inside may run outside, and more than once.

    Raises:
        ModelError: the architecture, called `name` in the message, has no layers that transformers could checkpoint.
    """
    # transformers has a switch of its own, but it only works in training mode. There some architectures apply dropout,
    # which the unlearning loop must not do.
    layers = _layers(decoder)
    if not layers:
        raise ModelError(
            f"unlearn.checkpointing=true: {name} has no layers that can be computed again; allowed: false. Fix: "
            "a smaller unlearn.micro_batch saves memory too."
        )
    # A layer may have a forward on the instance already, which must come back afterwards.
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
    """Return the outermost modules that transformers marks as suited for checkpointing."""
    if isinstance(module, GradientCheckpointingLayer):
        return [module]
    return [layer for child in module.children() for layer in _layers(child)]


def _forward(forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    # The random state need not be restored: the network is in evaluation mode, so the forward draws nothing.
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False, **named)
