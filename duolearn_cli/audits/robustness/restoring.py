"""Restoring an adapter bit for bit after an attack has changed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from duolearn_cli.model.language_model import LanguageModel


@contextmanager
def adapter_restored(model: LanguageModel) -> Iterator[None]:
    """On leaving the block, even by an error, restore the adapter's weights and put the network in evaluation mode.

    Gradients are dropped as well.
    """
    # Copies, since optimisers change parameters in place.
    before, mark = [parameter.detach().clone() for parameter in model.adapter], model.mark
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(model.adapter, before, strict=True):
                parameter.copy_(value)
                parameter.grad = None
        # The weights are those of the handle again, so it may be used again.
        model.mark = mark
        model.network.eval()
