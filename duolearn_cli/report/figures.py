"""The figures of a report. Each function takes data and returns a matplotlib Figure, or None without data to draw."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

from duolearn_cli.report.tables import number, ordered_subjects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORGET, RETAIN, GOLD, BASE = "#D55E00", "#0072B2", "#009E73", "#7f7f7f"
# Text and axes get a colour that nothing else has. `to_svg` replaces it by the page's own, for light and dark themes.
INK = "#010203"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    # Names come from the data, and a dollar sign in them must not begin a formula.
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": BASE,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    # Text stays text: it can be searched, takes the font of the page and is shorter than paths.
    "svg.fonttype": "none",
    # matplotlib draws ids at random otherwise, and the same data would not give the same bytes.
    "svg.hashsalt": "duolearn",
}
WIDTH, HEIGHT, ROW_HEIGHT = 5.6, 3.2, 0.3

History = Iterable[Mapping[str, Any]]
Points = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: the `key` of a `stage` in the history that it shows, and its style."""

    label: str
    stage: str
    key: str
    color: str
    dash: str = "-"
    marker: str = ""


Curve = tuple[Line, Points]


def subject_accuracy(metrics: Mapping[str, Any], forget: Collection[str] = ()) -> Figure | None:
    """Draw the accuracy of each subject before (hollow), after (filled) and of gold (bar), with 95 % intervals."""
    models = metrics["models"]
    names = ordered_subjects(metrics, forget)
    subjects = [s for s in names if _value(models, "target", s) or _value(models, "unlearned", s)]
    if not subjects:
        return None

    def draw(axes: Axes) -> None:
        for row, subject in enumerate(subjects):
            color = FORGET if subject in forget else RETAIN
            point(axes, _value(models, "gold", subject), row, GOLD, "|")
            point(axes, _value(models, "target", subject), row - 0.14, color, hollow=True)
            point(axes, _value(models, "unlearned", subject), row + 0.14, color)
        axes.set_yticks(range(len(subjects)), subjects)
        axes.set_ylim(len(subjects) - 0.5, -0.5)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("accuracy (%)")
        axes.grid(axis="x")
        _subject_legend(axes, any(_value(models, "gold", subject) for subject in subjects))

    return panels([draw], 1.2 + ROW_HEIGHT * len(subjects))


def _value(models: Mapping[str, Any], model: str, subject: str) -> Mapping[str, Any] | None:
    entry = ((models.get(model) or {}).get("subjects") or {}).get(subject)
    return entry if entry and number(entry.get("value")) is not None else None


def point(
    axes: Axes,
    entry: Mapping[str, Any] | None,
    row: float,
    color: str,
    marker: str = "o",
    hollow: bool = False,
    scale: float = 100,
) -> None:
    """Draw an estimate as a dot with its interval, or as a bar (marker ``|``) without one."""
    # Some entries have no value: a model that knew nothing before has no forgetting rate.
    if entry is None or number(entry.get("value")) is None:
        return
    low, high = number(entry.get("low")), number(entry.get("high"))
    if marker == "o" and low is not None and high is not None:
        axes.plot([scale * low, scale * high], [row] * 2, color=color, linewidth=1, alpha=0.6)
    face = "none" if hollow else color
    size = 6 if marker == "o" else 14
    axes.plot(scale * entry["value"], row, marker=marker, color=color, markerfacecolor=face, markersize=size)


def _subject_legend(axes: Axes, with_gold: bool) -> None:
    marks = [("before (target)", "o", BASE, "none"), ("after (unlearned)", "o", BASE, BASE), ("gold", "|", GOLD, GOLD)]
    legend(axes, marks if with_gold else marks[:2])


def legend(axes: Axes, marks: Sequence[tuple[str, str, str, str]]) -> None:
    """Add a legend of (label, marker, colour, face) above the axes."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=marker, color=color, markerfacecolor=face, label=label)
        for label, marker, color, face in marks
    ]
    axes.figure.legend(handles=handles, loc="outside upper left", ncols=3)


def class_losses(history: History) -> Figure | None:
    """Draw the mean loss of each token class over the unlearning steps (nats per token)."""
    lines = [
        Line("target concepts", "unlearn", "target", FORGET),
        Line("memorised", "unlearn", "memorised", FORGET, ":"),
        Line("general medical", "unlearn", "general_medical", RETAIN),
        Line("neutral", "unlearn", "neutral", BASE),
    ]
    return _curves(history, lines, "loss (nats a token)")


def quick_accuracy(history: History) -> Figure | None:
    """Draw the accuracy in quick evaluations during unlearning."""
    lines = [
        Line("forget", "unlearn", "forget_accuracy", FORGET, marker="o"),
        Line("retain", "unlearn", "retain_accuracy", RETAIN, marker="o"),
    ]
    figure = _curves(history, lines, "accuracy")
    if figure is not None:
        figure.axes[0].set_ylim(-0.02, 1.02)
    return figure


def training_losses(history: History) -> Figure | None:
    """Draw the loss during the training of the target (learn) and the gold model (retrain)."""
    lines = [Line("target (learn)", "learn", "loss", FORGET), Line("gold (retrain)", "retrain", "loss", GOLD)]
    return _curves(history, lines, "loss (nats a token)")


def _curves(history: History, lines: Sequence[Line], ylabel: str) -> Figure | None:
    entries = list(history)
    return curve_panels([(ylabel, [(line, points(entries, line)) for line in lines])])


def curve_panels(groups: Sequence[tuple[str, Sequence[Curve]]]) -> Figure | None:
    """Draw one panel for each group of curves, with the label of its axis. Curves without points are left out."""
    shown = [(ylabel, drawn) for ylabel, curves in groups if (drawn := [curve for curve in curves if curve[1]])]
    if not shown:
        return None

    def finish(axes: Axes) -> None:
        axes.set_xlabel("step")
        axes.figure.legend(loc="outside upper left", ncols=2)

    return panels([partial(_plot, ylabel, drawn) for ylabel, drawn in shown], HEIGHT * (1 + len(shown)) / 2, finish)


def _plot(ylabel: str, curves: Sequence[Curve], axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    for line, own in curves:
        steps, values = zip(*own, strict=True)
        axes.plot(steps, values, line.dash, color=line.color, marker=line.marker, label=line.label, linewidth=1.6)
    axes.set_ylabel(ylabel)
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def points(history: History, line: Line) -> list[tuple[int, float]]:
    """Return the finite values of a curve by step. If a resume computed a step again, its last value counts."""
    by_step = {e["step"]: number(e[line.key]) for e in history if e.get("stage") == line.stage and line.key in e}
    return [(step, value) for step, value in sorted(by_step.items()) if value is not None]


def panels(
    draws: Sequence[Callable[[Axes], None]],
    height: float,
    finish: Callable[[Axes], None] = lambda axes: None,
    is_shared: bool = True,
) -> Figure:
    """Return a figure of stacked panels, with a common horizontal axis if `is_shared`. Its height is in inches.

    `finish` is called last, with the lowest panel.
    """
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        grid = figure.subplots(len(draws), sharex=is_shared, squeeze=False)[:, 0]
        for draw, axes in zip(draws, grid, strict=True):
            draw(axes)
        finish(grid[-1])
    return figure


def _style() -> AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context(STYLE)


def to_svg(figure: Figure, name: str = "figure") -> str:
    """Return the figure as an ``<svg>`` element for a page. The same data give the same bytes.

    `name` begins its ids, which must differ between the figures of a page.
    """
    buffer = StringIO()
    with _style():
        # None leaves a field out. The date and the version of matplotlib would change the bytes.
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # matplotlib gives groups the same ids in every figure, which would clash on a page with several figures.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    return re.sub(r'( id="|url\(#|href="#)', rf"\1{name}-", svg)
