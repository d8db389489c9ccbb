"""Interleaved timing of several steps: whatever else the machine does slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Step:
    """A step to time.

    Attributes:
        run: takes the step once.
        warm_up: how many untimed steps it takes until each costs as much as the next.
    """

    run: Callable[[], object]
    warm_up: int = 2


def interleaved(
    steps: Mapping[str, Step], repeats: int, device: torch.device, advance: Callable[[int], None] = lambda n: None
) -> dict[str, list[float]]:
    """Time the steps in `repeats` rounds. A round runs each step once; every second round runs them in reverse.

    Args:
        steps: the steps by name.
        repeats: the number of rounds.
        device: where the steps compute.
        advance: called with the number of steps just taken, warm-up included.

    Returns:
        For each step, the seconds of each round. Pair the times of one round: they met the same load.
    """
    for step in steps.values():
        for _ in range(step.warm_up):
            step.run()
            advance(1)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats):
        # A step leaves its traces in caches, so no step should always follow the same other one.
        for name in list(steps)[:: 1 if turn % 2 == 0 else -1]:
            start = now(device)
            steps[name].run()
            seconds[name].append(now(device) - start)
            advance(1)
    return seconds


def num_runs(steps: Mapping[str, Step], repeats: int) -> int:
    """How many steps `interleaved` takes in total, warm-up included."""
    return sum(step.warm_up + repeats for step in steps.values())


def now(device: torch.device) -> float:
    """The time in seconds, after a GPU has finished all work submitted so far."""
    if device.type == "cuda":
        # CUDA calls return before the work is done, so without this a step would seem to cost its launch alone.
        torch.cuda.synchronize(device)
    return time.perf_counter()
