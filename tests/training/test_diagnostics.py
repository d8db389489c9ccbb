"""The diagnostics of a step, compared with numbers computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from duolearn_cli.config.unlearning import GeometryConfig
from duolearn_cli.training.diagnostics import measure
from duolearn_cli.training.gradients import Gradients
from duolearn_cli.training.update import Move
from tests.training.test_update import make


def test_figures_of_the_whole_and_of_two_layers():
    update, _ = make(GeometryConfig())  # layers of 4 and 5 coordinates
    forget, preserve = torch.zeros(2, 9).double()
    forget[0], preserve[0] = 3.0, -4.0  # layer 0: opposite
    forget[4], preserve[5] = 4.0, 3.0  # layer 1: orthogonal
    wanted, allowed = torch.zeros(2, 9).double()
    wanted[0], wanted[5] = 2.0, 1.0  # slopes -8 and 3
    allowed[0], allowed[5] = 2.0, 0.0
    slopes = torch.tensor([[-5.0, 1.0]]).double()
    losses = {"forget_loss": torch.tensor(1.5).double(), "target": torch.tensor(float("nan")).double()}
    line = measure(Gradients(forget, preserve, losses=losses), Move(wanted, allowed, allowed / 2, slopes), update)
    assert line["forget_loss"] == 1.5 and math.isnan(line["target"])
    assert line["conflict"] == 0.5
    assert line["cosine"] == pytest.approx(-12 / 25) and line["opposed"] == pytest.approx(12 / 25)
    assert line["removed"] == pytest.approx(1 / math.sqrt(5)) and line["step_norm"] == pytest.approx(1)
    assert line["cosine_by_layer"] == pytest.approx([-1, 0])
    assert line["opposed_by_layer"] == pytest.approx([1, 0])
    assert line["conflict_by_layer"] == [0, 1]
    assert line["removed_by_layer"] == pytest.approx([0, 1])
    assert line["step_norm_by_layer"] == pytest.approx([1, 0])


def test_nothing_is_divided_by_zero():
    update, _ = make(GeometryConfig())
    zero = torch.zeros(9).double()
    line = measure(Gradients(zero, zero), Move(zero, zero, zero, torch.zeros(1, 1).double()), update)
    assert all(value == 0 for value in line.values() if isinstance(value, float))
    assert all(value == [0, 0] for value in line.values() if isinstance(value, list))
