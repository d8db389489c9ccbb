"""Interleaving: every step as often as asked, warm-up first, none always after the same one."""

import torch

from duolearn_cli.benchmarks.speed.timing import Step, interleaved, num_runs

CPU = torch.device("cpu")


def test_rounds_run_every_step_and_turn_around():
    ran = []
    steps = {name: Step(lambda name=name: ran.append(name), warm_up=warm) for name, warm in (("a", 1), ("b", 2))}
    told = []
    seconds = interleaved(steps, 3, CPU, told.append)
    assert ran == ["a", "b", "b", "a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert sum(told) == num_runs(steps, 3) == len(ran)
    assert all(value >= 0 for values in seconds.values() for value in values)
