"""Timing several steps side by side, so that whatever else a machine does slows them all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Step:
    """Something to time: `run` does it once; after `warm_up` of them each costs as much as the next."""

    run: Callable[[], object]
    warm_up: int = 2


def interleaved(
    steps: Mapping[str, Step], repeats: int, device: torch.device, advance: Callable[[int], None] = lambda n: None
) -> dict[str, list[float]]:
    """Seconds of each step in each of `repeats` rounds; a round runs all of them once, every other one backwards.

    `advance` is told how many steps are done, those that warm up among them.
    """
    for step in steps.values():
        for _ in range(step.warm_up):
            step.run()
            advance(1)
    found: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats):
        # What ran before leaves its traces in caches: no variant should always follow the same one.
        for name in list(steps)[:: 1 if turn % 2 == 0 else -1]:
            began = now(device)
            steps[name].run()
            found[name].append(now(device) - began)
            advance(1)
    return found


def num_runs(steps: Mapping[str, Step], repeats: int) -> int:
    """How often `interleaved` runs a step."""
    return sum(step.warm_up + repeats for step in steps.values())


def now(device: torch.device) -> float:
    """Seconds on a clock; a GPU has finished what it was given by then."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
