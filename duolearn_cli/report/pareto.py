"""The figure of what was kept over what was forgotten: its marks, for benchmarks and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from duolearn_cli.evaluation.measures.central import FORGETTING, KEEPING
from duolearn_cli.report.figures import BASE, FORGET, GOLD, INK, panels
from duolearn_cli.report.measures import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^vD<>Phd*X"
HEIGHT = 4.2


def looks(names: Sequence[str], first: str) -> dict[str, tuple[Any, str]]:
    """The colour and marker of each name; `first` has the colour of forgetting."""
    from matplotlib import colormaps

    colors = colormaps["tab20"]
    return {
        name: (FORGET if name == first else colors(place % 20), MARKERS[place % len(MARKERS)])
        for place, name in enumerate(names)
    }


def reference(scores: Mapping[str, Any], is_target: bool) -> tuple[float, float] | None:
    """Forgetting and keeping in per cent; of the target, which is what both are measured from, 0 and 100."""
    if is_target:
        return (0.0, 100.0)
    values = [number((scores.get(one.key) or {}).get("value")) for one in (FORGETTING, KEEPING)]
    return None if None in values else (100 * values[0], 100 * values[1])  # type: ignore[operator]


def mark(axes: Axes, scores: Mapping[str, Any], color: Any, marker: str) -> None:
    """Draw the point of a run with both of its intervals; nothing if it lacks a value."""
    across, up = (scores.get(measure.key) for measure in (FORGETTING, KEEPING))
    if not across or not up or None in (number(across.get("value")), number(up.get("value"))):
        return
    axes.plot(100 * across["value"], 100 * up["value"], marker, color=color, markersize=7)
    for one, other, is_across in ((across, up, True), (up, across, False)):
        low, high = number(one.get("low")), number(one.get("high"))
        if low is not None and high is not None:
            span, at = [100 * low, 100 * high], [100 * other["value"]] * 2
            axes.plot(*((span, at) if is_across else (at, span)), color=color, linewidth=1)


def finish(axes: Axes) -> None:
    """Add to each panel a line at 100 % of forgetting, which is chance, and a grid; name the lowest panel's axis."""
    for one in axes.figure.axes:
        one.axvline(100, color=INK, linewidth=0.6, alpha=0.5)
        one.grid()
    axes.set_xlabel(f"{FORGETTING.label}; 100: chance")


def pareto_of_runs(runs: Mapping[str, Mapping[str, Any]], golds: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Draw keeping over forgetting of each run with intervals, the target, and the gold models.

    Args:
        runs: the scores of each run's unlearned model, by label.
        golds: the scores of the gold models.
    """
    known = {name: own for name, own in runs.items() if reference(own, is_target=False)}
    if not known:
        return None

    def draw(axes: Axes) -> None:
        for name, (color, marker) in looks(list(known), next(iter(known))).items():
            mark(axes, known[name], color, marker)
            axes.plot([], [], marker, color=color, linestyle="", label=name)
        # Runs that share a gold would draw its star several times.
        points = dict.fromkeys(point for own in golds if (point := reference(own, is_target=False)))
        for place, point in enumerate(points):
            axes.plot(*point, "*", color=GOLD, markersize=13, linestyle="", label="gold" if not place else None)
        axes.plot(*(0.0, 100.0), "*", color=BASE, markersize=13, linestyle="", label="target")
        axes.set_ylabel(KEEPING.label)
        axes.figure.legend(loc="outside right upper")

    return panels([draw], HEIGHT, finish)
