"""Whatever an attack does to an adapter is undone, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from duolearn_cli.model.language_model import LanguageModel


@contextmanager
def kept(model: LanguageModel) -> Iterator[None]:
    """Put the adapter's weights back as they were, and the network into evaluation mode, however the block ends."""
    before = [parameter.detach().clone() for parameter in model.adapter]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(model.adapter, before, strict=True):
                parameter.copy_(value)
                parameter.grad = None
        model.network.eval()
