"""The means of the steps' diagnostics."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.evaluation.metrics.conflict import summarise


def step(number, cosine, by_layer, stage="unlearn"):
    return {
        "stage": stage,
        "step": number,
        "cosine": cosine,
        "cosine_by_layer": by_layer,
        "conflict": float(cosine < 0),
        "conflict_by_layer": [float(value < 0) for value in by_layer],
    }


def test_means_over_steps_as_a_whole_and_by_layer():
    history = [step(1, 0.5, [0.25, 0.75]), step(2, -0.25, [-0.5, 0.25]), step(3, -0.25, [0.25, -0.5])]
    summary = summarise(history, [0, 7])
    assert summary == {
        "steps": 3,
        "conflict": pytest.approx(2 / 3),
        "cosine": 0.0,
        "opposed": None,
        "removed": None,
        "layers": [
            {"layer": 0, "conflict": pytest.approx(1 / 3), "cosine": 0.0, "opposed": None, "removed": None},
            {"layer": 7, "conflict": pytest.approx(1 / 3), "cosine": pytest.approx(1 / 6)}
            | {"opposed": None, "removed": None},
        ],
    }


def test_a_step_computed_again_counts_once_and_other_lines_do_not():
    history = [
        step(1, 0.5, [0.5]),
        step(2, 0.9, [0.9]),
        step(2, 0.1, [0.1]),
        {"stage": "unlearn", "step": 2, "forget_accuracy": 0.5},
        {"stage": "unlearn", "step": 9, "forget_accuracy": 0.5},
        step(3, -1.0, [-1.0], stage="learn"),
    ]
    summary = summarise(history, [0])
    assert summary["steps"] == 2 and summary["cosine"] == pytest.approx(0.3)
    assert summary["layers"][0]["cosine"] == pytest.approx(0.3)


def test_missing_values_and_nan_are_left_out():
    gaps = step(2, 0.1, [0.1, 0.1]) | {"cosine": None, "cosine_by_layer": [None, 0.3]}
    summary = summarise([step(1, 0.5, [0.5, 0.5]), gaps], [0, 1])
    assert summary["steps"] == 2 and summary["cosine"] == 0.5
    assert [layer["cosine"] for layer in summary["layers"]] == [0.5, pytest.approx(0.4)]
    assert summarise([step(1, math.nan, [0.5])], [0])["cosine"] is None


def test_runs_without_the_keys():
    assert summarise([], [0]) is None
    assert summarise([{"stage": "learn", "step": 1, "loss": 1.0}, {"stage": "unlearn", "step": 1}], [0]) is None
    older = summarise([{"stage": "unlearn", "step": 1, "cosine": -0.5, "removed": 0.25}], [0, 1])
    assert older == {"steps": 1, "conflict": None, "cosine": -0.5, "opposed": None, "removed": 0.25, "layers": []}


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=1, max_size=6))
def test_means_lie_within_the_range_of_the_values(rows):
    history = [step(i, row[0], row) for i, row in enumerate(rows)]
    summary = summarise(history, [4, 5, 6])
    for i, layer in enumerate(summary["layers"]):
        values = [row[i] for row in rows]
        assert min(values) - 1e-9 <= layer["cosine"] <= max(values) + 1e-9
        assert layer["conflict"] == pytest.approx(sum(value < 0 for value in values) / len(values))
    assert summary["cosine"] == pytest.approx(summary["layers"][0]["cosine"])


def test_plain_numbers_need_no_torch():
    code = "import sys, duolearn_cli.evaluation.metrics.conflict; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
