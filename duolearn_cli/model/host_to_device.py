"""From the host to the device and never back, so that a step can be laid out while the device is still computing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`, without waiting for what that is doing."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        # Out of memory that may be swapped a copy waits for all that the device was given before, and what does not lie
        # in one piece is copied into such memory first.
        return tensor.contiguous().pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def checked_mask(mask: Tensor) -> Tensor:
    """`mask` itself. Raises TypeError where it is none on the host: how many it chooses only a device would know."""
    if mask.dtype != torch.bool or mask.device.type != "cpu":
        raise TypeError(f"a mask of {mask.dtype} on {mask.device}; wanted: booleans on the host, made of labels.")
    return mask


def places(mask: Tensor, device: torch.device) -> Tensor:
    """Where a mask on the host is true, as indices on `device`. Shapes: [n] -> [m]."""
    return send(checked_mask(mask).nonzero().squeeze(1), device)


@dataclass(frozen=True, eq=False)
class Rows:
    """Matrices that stand for one, their rows one below the other; ``rows[mask]`` gives those of a mask on the host.

    A gradient of what was taken reaches those parts alone that it was taken from, unless they are `linked`.
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
        return any(part.requires_grad for part in self.parts)

    def joined(self) -> Tensor:
        """All rows, without a gradient."""
        return torch.cat([part.detach() for part in self.parts])
