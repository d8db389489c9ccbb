"""Micro-batches: the graph of one is freed before the next is built."""

from __future__ import annotations

import weakref

import pytest

from duolearn_cli.model.distributed import Processes
from duolearn_cli.training import gradients as stepping
from duolearn_cli.training.coordinates import Coordinates
from tests.training.test_unlearn import Accelerator, make_examples, method


@pytest.mark.parametrize("name", ["duolearn", "npo", "graddiff"])
def test_the_graph_of_a_micro_batch_goes_before_the_next_one_comes(fresh, study, name, monkeypatch):
    chosen, original, earlier, alive = method(name), stepping.predict, [], []
    forget, retain = make_examples(fresh, study, chosen.labels)

    def watched(*given, **named):
        alive.append(sum(reference() is not None for reference in earlier))
        forward = original(*given, **named)
        earlier.extend(weakref.ref(group.outputs["hidden"]) for group in forward.groups)
        return forward

    monkeypatch.setattr(stepping, "predict", watched)
    coordinates, processes = Coordinates(fresh.named_adapter), Processes(Accelerator(cpu=True))
    stepping.gradients(fresh, [*forget[:4], *retain[:4]], chosen, coordinates, processes, stepping.Batching(2))
    assert alive == [0, 0, 0, 0]
