import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from duolearn_cli.report import figures, level_figures


def draw_all(metrics, history):
    return [
        figures.subject_accuracy(metrics, {"Surgery"}),
        level_figures.level_scores(metrics, {1: "foundation"}),
        figures.class_losses(history),
        figures.quick_accuracy(history),
        figures.training_losses(history),
    ]


def test_every_figure_is_well_formed_svg_without_header(metrics, history):
    for figure in draw_all(metrics, history):
        svg = figures.to_svg(figure)
        assert svg.startswith("<svg") and "<?xml" not in svg and "DOCTYPE" not in svg
        assert "<metadata>" not in svg and figures.INK not in svg
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_the_same_data_give_the_same_bytes(metrics, history):
    first, second = (list(map(figures.to_svg, draw_all(metrics, history))) for _ in range(2))
    assert first == second


def test_figures_on_one_page_share_no_group_ids(metrics, history):
    svgs = list(map(figures.to_svg, draw_all(metrics, history)))
    assert not any(re.search(r'<g id="', svg) for svg in svgs)


@pytest.mark.parametrize("draw", [figures.class_losses, figures.quick_accuracy, figures.training_losses])
def test_no_data_no_figure(draw):
    assert draw([]) is None
    assert draw([{"stage": "unlearn", "step": 1, "target": None}, {"stage": "learn", "step": 1}]) is None


def test_subjects_without_values_give_no_figure(metrics):
    assert figures.subject_accuracy({"models": {}}) is None
    for model in metrics["models"].values():
        model["subjects"] = {"Surgery": {"value": float("nan"), "low": None, "high": None, "n": 0}}
    assert figures.subject_accuracy(metrics) is None


def test_subjects_forgotten_ones_first_in_their_colours(metrics):
    axes = figures.subject_accuracy(metrics, {"Surgery"}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Surgery", "Anatomy", "Skin|ENT"]
    colors = {line.get_ydata()[0].round(): line.get_color() for line in axes.lines if line.get_marker() == "o"}
    assert colors == {0: figures.FORGET, 1: figures.RETAIN, 2: figures.RETAIN}


def test_curves_follow_the_history_and_skip_gaps(history):
    lines = {line.get_label(): line for line in figures.class_losses(history).axes[0].lines}
    assert list(lines) == ["target concepts", "memorised", "general medical", "neutral"]
    assert list(lines["target concepts"].get_ydata()) == pytest.approx([0.5 + s / 10 for s in range(1, 41)])
    assert max(lines["memorised"].get_xdata()) == 20
    assert lines["target concepts"].get_color() == figures.FORGET


def test_a_step_computed_again_counts_once():
    history = [{"stage": "learn", "step": s, "loss": loss} for s, loss in ((1, 3.0), (2, 9.0), (2, 2.0))]
    assert list(figures.training_losses(history).axes[0].lines[0].get_ydata()) == [3.0, 2.0]


def test_names_are_not_read_as_formulas_or_markup(metrics):
    metrics["models"]["target"]["subjects"] = {"a $x_$ <b>": {"value": 0.5, "low": None, "high": None, "n": 40}}
    svg = figures.to_svg(figures.subject_accuracy(metrics))
    assert "a $x_$ &lt;b&gt;" in svg


def test_drawing_needs_no_pyplot():
    code = (
        "import sys; from duolearn_cli.report.figures import *; "
        "to_svg(training_losses([{'stage': 'learn', 'step': 1, 'loss': 1.0}])); "
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_levels_are_drawn_where_they_were_scored(metrics):
    kept, forgotten = level_figures.level_scores(metrics, {1: "foundation", 3: "specialty", 4: "focused"}).axes
    assert [label.get_text() for label in kept.get_yticklabels()] == ["1 foundation", "3 specialty", "4 focused"]
    # Two preservations and one forgetting, each a dot and an interval; a level without any says so.
    assert (len(kept.lines), len(forgotten.lines)) == (4, 2)
    assert [text.get_position()[1] for text in kept.texts] == [1]
    assert [text.get_text() for text in forgotten.texts] == ["none or too few items"] * 2
    # The axis shows the part with values: from 80 to 100 %, not from 0 %.
    assert 70 < kept.get_xlim()[0] < 81 and 100 <= kept.get_xlim()[1] < 110
    del metrics["models"]["unlearned"]["levels"]
    assert level_figures.level_scores(metrics, {}) is None


def test_losses_of_token_classes_before_and_after(metrics):
    assert level_figures.class_points(metrics) is None
    for name, loss in (("target", 0.2), ("gold", 1.8), ("unlearned", 1.9)):
        own = {"value": loss, "low": loss - 0.1, "high": loss + 0.1, "n": 90}
        metrics["models"][name]["token_classes"] = {"forget": {"target": own}, "retain": {"neutral": own}}
    (axes,) = level_figures.class_points(metrics).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["forget: target", "retain: neutral"]
    assert {line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"} == {0.2, 1.9}
