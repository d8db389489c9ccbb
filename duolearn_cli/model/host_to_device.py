"""Transfers from the host to the device, never back. So the host can lay out a step while the device still computes.

Reading a value from the device makes the host wait for it. Everything that depends on which tokens there are (masks,
weights, which texts a loss needs) is therefore decided on the host and sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return `tensor` on `device`, without waiting for the device's current work."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        # A copy from pageable memory waits for all earlier work of the device, so the tensor is moved to page-locked
        # memory. It must be contiguous: otherwise the copy first makes it so, in pageable memory.
        return tensor.contiguous().pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def checked_mask(mask: Tensor) -> Tensor:
    """Return `mask` if it is a boolean mask on the host.

    Raises:
        TypeError: it is not. The number of tokens that a mask on a device selects is only known to the device.
    """
    if mask.dtype != torch.bool or mask.device.type != "cpu":
        raise TypeError(f"a mask of {mask.dtype} on {mask.device}; needed: booleans on the host, made from labels.")
    return mask


def places(mask: Tensor, device: torch.device) -> Tensor:
    """Return the indices at which a mask on the host is true, on `device`. Shapes: [n] -> [m]."""
    return send(checked_mask(mask).nonzero().squeeze(1), device)


@dataclass(frozen=True, eq=False)
class Rows:
    """Several matrices as one, with their rows below each other. ``rows[mask]`` selects rows with a mask on the host.

    The gradient of a selection only reaches the matrices (`parts`) it has rows from; with `linked` it reaches all.
    """

    parts: Sequence[Tensor]
    linked: bool = False

    def __getitem__(self, mask: Tensor) -> Tensor:
        own = checked_mask(mask).split([len(part) for part in self.parts])
        taken = [
            part[places(chosen, part.device)]
            for part, chosen in zip(self.parts, own, strict=True)
            if self.linked or chosen.any()
        ]
        return torch.cat(taken) if taken else self.parts[0][:0].detach()

    @property
    def requires_grad(self) -> bool:
        """Whether some part has a gradient."""
        return any(part.requires_grad for part in self.parts)

    def joined(self) -> Tensor:
        """Return all rows as one matrix, without a gradient."""
        return torch.cat([part.detach() for part in self.parts])
