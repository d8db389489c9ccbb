"""Figures of what is kept: preservation and forgetting by level of the hierarchy, and loss by class of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from duolearn_cli.concepts.token_classes import CLASS_NAMES
from duolearn_cli.report.figures import BASE, FORGET, GOLD, RETAIN, ROW_HEIGHT, legend, panels, point
from duolearn_cli.report.tables import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDES = {"forget": FORGET, "retain": RETAIN}
EMPTY = "none or too few items"


def level_scores(metrics: Mapping[str, Any], names: Mapping[int, str]) -> Figure | None:
    """Draw preservation and forgetting at each hierarchy level, of the unlearned model (dots) and of gold (bars).

    Each panel has an axis that fits its values, so that small differences are seen. Levels without items say so.
    """
    scores = {model: (metrics["models"].get(model) or {}).get("levels") or {} for model in ("unlearned", "gold")}
    if not scores["unlearned"]:
        return None
    measures = (("preservation", RETAIN), ("forgetting", FORGET))
    draws = [partial(_by_level, scores, names, measure, color) for measure, color in measures]
    return panels(draws, 1.6 + 2 * ROW_HEIGHT * len(names), _level_legend, is_shared=False)


def _by_level(
    scores: Mapping[str, Mapping[str, Any]], names: Mapping[int, str], measure: str, color: str, axes: Axes
) -> None:
    shown = []
    for row, level in enumerate(names):
        own, gold = (scores[model].get(str(level), {}).get(measure) for model in ("unlearned", "gold"))
        point(axes, gold, row, GOLD, "|")
        point(axes, own, row, color)
        shown += [one for one in (own, gold) if one and number(one.get("value")) is not None]
        if not own or number(own.get("value")) is None:
            axes.text(0.01, row, EMPTY, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_xlim(*span(shown))
    axes.set_yticks(range(len(names)), [f"{level} {name}" for level, name in names.items()])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(f"{measure} (%)")
    axes.grid(axis="x")


def span(entries: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """The part of an axis in per cent that holds all values and intervals, with a margin."""
    ends = [number(one.get(key)) for one in entries for key in ("low", "value", "high")]
    known = [100 * end for end in ends if end is not None]
    if not known:
        return 0.0, 100.0
    # At least a point: a single value without an interval still needs an axis.
    margin = max(1.0, 0.05 * (max(known) - min(known)))
    return min(known) - margin, max(known) + margin


def _level_legend(axes: Axes) -> None:
    marks = [("preservation", "o", RETAIN, RETAIN), ("forgetting", "o", FORGET, FORGET), ("gold", "|", GOLD, GOLD)]
    legend(axes, marks)


def class_points(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw the loss of each token class before (hollow), after (filled) and of gold (bar), with 95 % intervals."""
    models = metrics["models"]
    classes = {name: (models.get(name) or {}).get("token_classes") or {} for name in ("target", "unlearned", "gold")}
    rows = [(side, kind) for side in SIDES for kind in CLASS_NAMES if (classes["unlearned"].get(side) or {}).get(kind)]
    if not rows:
        return None
    return panels([partial(_by_class, classes, rows)], 1.2 + ROW_HEIGHT * len(rows))


def _by_class(classes: Mapping[str, Mapping[str, Any]], rows: Sequence[tuple[str, str]], axes: Axes) -> None:
    for row, (side, kind) in enumerate(rows):
        before, after, gold = ((classes[name].get(side) or {}).get(kind) for name in ("target", "unlearned", "gold"))
        point(axes, gold, row, GOLD, "|", scale=1)
        point(axes, before, row - 0.14, SIDES[side], hollow=True, scale=1)
        point(axes, after, row + 0.14, SIDES[side], scale=1)
    axes.set_yticks(range(len(rows)), [f"{side}: {kind.replace('_', ' ')}" for side, kind in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("loss (nats a token)")
    axes.grid(axis="x")
    legend(
        axes,
        [("before (target)", "o", BASE, "none"), ("after (unlearned)", "o", BASE, BASE), ("gold", "|", GOLD, GOLD)],
    )
