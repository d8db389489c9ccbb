"""Interleaved timing: each step runs as often as it should, after warm-up, and not always after the same step."""

import torch

from duolearn_cli.benchmarks.speed.timing import Step, interleaved, num_runs

CPU = torch.device("cpu")


def test_every_round_runs_every_step_and_every_second_round_is_reversed():
    ran = []
    steps = {name: Step(lambda name=name: ran.append(name), warm_up=warm) for name, warm in (("a", 1), ("b", 2))}
    advances = []
    seconds = interleaved(steps, 3, CPU, advances.append)
    assert ran == ["a", "b", "b", "a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert sum(advances) == num_runs(steps, 3) == len(ran)
    assert all(value >= 0 for values in seconds.values() for value in values)
