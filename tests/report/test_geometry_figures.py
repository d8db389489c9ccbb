"""Figures of conflict and change: the values that are drawn, on axes that say what they are."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from duolearn_cli.report.figures import to_svg
from duolearn_cli.report.geometry_figures import COLUMNS, change_map, gradient_curves, gradient_maps


def step(number, **values):
    return {"stage": "unlearn", "step": number, **values}


def cells(axes):
    """The values of a map [rows, columns] as drawn, and its limits."""
    (mesh,) = (found for found in axes.collections if hasattr(found, "get_coordinates"))
    return np.ma.filled(mesh.get_array().astype(float), np.nan), mesh.get_clim()


def test_every_figure_is_vector_svg_and_the_same_for_the_same_data(metrics, history):
    def draw():
        return [to_svg(f) for f in (gradient_curves(history), gradient_maps(history), change_map(metrics))]

    first = draw()
    assert first == draw()
    for svg in first:
        # The page loads nothing, not even a bitmap that it carries.
        assert ElementTree.fromstring(svg).tag.endswith("svg") and "<image" not in svg and "data:" not in svg


def test_curves_and_the_running_conflict_rate():
    history = [
        step(1, cosine=0.5, opposed=0.0, removed=0.0, conflict=0.0),
        step(2, cosine=-0.9, opposed=0.9, removed=0.9, conflict=0.0),
        step(2, cosine=-0.2, opposed=0.2, removed=0.1, conflict=1.0),
        step(2, forget_accuracy=0.3),
        step(3, cosine=-0.4, opposed=0.4, removed=0.3, conflict=0.5),
    ]
    above, below = gradient_curves(history).axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in above.lines}
    assert drawn == {
        "cosine": [0.5, -0.2, -0.4],
        "opposed share": [0.0, 0.2, 0.4],
        "removed share": [0.0, 0.1, 0.3],
    }
    (rate,) = below.lines
    assert list(rate.get_ydata()) == [0.0, 0.5, 0.5] and below.get_ylim() == (-0.02, 1.02)
    assert below.get_xlabel() == "step" and not above.get_xlabel()


def test_an_older_run_has_one_panel():
    (axes,) = gradient_curves([step(1, cosine=0.5, removed=0.2)]).axes
    assert [line.get_label() for line in axes.lines] == ["cosine", "removed share"] and axes.get_xlabel() == "step"
    assert axes.get_ylim() != (-0.02, 1.02)


def test_maps_have_layers_down_and_steps_across():
    history = [
        step(1, cosine_by_layer=[0.9, 0.9], removed_by_layer=[0.0, 0.9]),
        step(2, cosine_by_layer=[-0.4, 0.3], removed_by_layer=[0.2, None]),
        step(1, cosine_by_layer=[0.1, 0.2], removed_by_layer=[0.0, 0.1]),
    ]
    figure = gradient_maps(history)
    above, below = figure.axes[:2]
    values, limits = cells(above)
    assert values == pytest.approx(np.array([[0.1, -0.4], [0.2, 0.3]])) and limits == (-0.4, 0.4)
    values, limits = cells(below)
    assert values == pytest.approx(np.array([[0.0, 0.2], [0.1, math.nan]]), nan_ok=True) and limits == (0.0, 0.2)
    assert all(axes.yaxis_inverted() and axes.get_ylabel() == "layer" for axes in (above, below))
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == ["cosine", "removed share"]


def test_zero_is_neutral_and_the_sides_differ():
    figure = gradient_maps([step(s, cosine_by_layer=[value]) for s, value in enumerate((-0.2, 0.0, 0.1), 1)])
    (mesh,) = (found for found in figure.axes[0].collections if hasattr(found, "get_coordinates"))
    red, green, blue, _ = mesh.to_rgba(0.0)
    assert red == green == blue > 0.9
    against, _, along, _ = (mesh.to_rgba(value) for value in (-0.2, 0.0, 0.2, 0.1))
    assert against[0] > against[2] and along[2] > along[0]


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1, 7 * COLUMNS + 3])
def test_many_steps_are_averaged_in_columns(count):
    history = [step(s, cosine_by_layer=[s / 1000]) for s in range(1, count + 1)]
    axes = gradient_maps(history).axes[0]
    values, _ = cells(axes)
    width = math.ceil(count / COLUMNS)
    assert values.shape == (1, math.ceil(count / width)) and values.shape[1] <= COLUMNS
    first = list(range(1, min(width, count) + 1))
    assert values[0, 0] == pytest.approx(sum(first) / len(first) / 1000)
    assert axes.get_xlim() == (0.5, count + 0.5)


def test_a_run_without_removal_is_drawn_in_the_colour_of_zero():
    values, limits = cells(gradient_maps([step(1, removed_by_layer=[0.0, 0.0])]).axes[0])
    assert limits == (0.0, 1.0) and not values.any()


def test_norms_by_module_and_layer(metrics):
    axes = change_map(metrics).axes[0]
    values, limits = cells(axes)
    assert values == pytest.approx(np.array([[3.0, 1.5], [4.0, math.nan]]), nan_ok=True) and limits == (0.0, 4.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["q_proj", "up_proj"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1"]


def test_many_layers_are_not_all_labelled(metrics):
    layer = metrics["change"]["layers"][0]
    metrics["change"]["layers"] = [layer | {"layer": i} for i in range(40)]
    labels = [label.get_text() for label in change_map(metrics).axes[0].get_xticklabels()]
    assert labels == [str(i) for i in range(0, 40, 3)]


@pytest.mark.parametrize(
    "history", [[], [{"stage": "unlearn", "step": 1, "target": 0.5}], [{"stage": "learn", "step": 1}]]
)
def test_no_data_no_figure(history):
    assert gradient_curves(history) is None and gradient_maps(history) is None


def test_values_that_are_no_numbers_give_no_figure(metrics):
    assert gradient_maps([step(1, cosine_by_layer=[None, None], removed_by_layer=[])]) is None
    assert gradient_curves([step(1, cosine=None, conflict=None)]) is None
    assert change_map({}) is None and change_map({"change": {"layers": []}}) is None
    for layer in metrics["change"]["layers"]:
        layer["modules"] = {name: {"norm": None, "parameters": 1} for name in layer["modules"]}
    assert change_map(metrics) is None
