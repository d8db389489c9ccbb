"""Figures about the conflict between forgetting and keeping, and about the change of weights. See `figures`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from duolearn_cli.report.figures import (
    BASE,
    FORGET,
    HEIGHT,
    RETAIN,
    ROW_HEIGHT,
    History,
    Line,
    curve_panels,
    panels,
    points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

OPPOSED = "#E69F00"
# Colour-blind readers can distinguish vermilion and blue. One-sided maps vary in lightness alone.
BOTH_SIDES, ONE_SIDE = (FORGET, "#f7f7f7", RETAIN), ("#f7f7f7", "#E69F00", "#5b2400")
# Every cell is a path of its own in the SVG, so more columns make the page heavier.
COLUMNS = 40
# Odd, so that zero has a colour of its own. Below 50: from there on, matplotlib draws a colour bar as a bitmap, which
# the page does not allow.
COLOURS = 33
LAYER_HEIGHT = 0.14
LABELLED_LAYERS = 16


def gradient_curves(history: History) -> Figure | None:
    """Draw cosine, opposed share and removed share over the steps, and below them the conflict rate up to each step."""
    entries = list(history)
    lines = [
        Line("cosine", "unlearn", "cosine", RETAIN),
        Line("opposed share", "unlearn", "opposed", OPPOSED, "--"),
        Line("removed share", "unlearn", "removed", FORGET),
    ]
    rate = Line("conflict rate so far", "unlearn", "conflict", BASE)
    conflicts = points(entries, rate)
    sums = accumulate(value for _, value in conflicts)
    running = [(step, total / i) for i, ((step, _), total) in enumerate(zip(conflicts, sums, strict=True), 1)]
    shares = [(line, points(entries, line)) for line in lines]
    figure = curve_panels([("cosine, share", shares), ("conflict rate", [(rate, running)])])
    if figure is not None and running:
        figure.axes[-1].set_ylim(-0.02, 1.02)
    return figure


def gradient_maps(history: History) -> Figure | None:
    """Draw cosine and removed share with layers down and steps across. More than `COLUMNS` steps are averaged."""
    entries = list(history)
    cosine, removed = (_by_layer(entries, key) for key in ("cosine_by_layer", "removed_by_layer"))
    draws = []
    if cosine is not None:
        # The limits are symmetric, so that zero has the neutral colour in the middle.
        limit = float(np.abs(cosine[1]).max()) or 1.0
        draws.append(partial(_steps_map, "cosine", cosine, BOTH_SIDES, (-limit, limit)))
    if removed is not None:
        draws.append(partial(_steps_map, "removed share", removed, ONE_SIDE, (0.0, float(removed[1].max()) or 1.0)))
    if not draws:
        return None
    layers = max(len(means[1]) for means in (cosine, removed) if means is not None)
    height = max(HEIGHT / 2, LAYER_HEIGHT * layers)
    return panels(draws, 0.5 + height * len(draws), _over_steps)


def _over_steps(axes: Axes) -> None:
    axes.set_xlabel("step")


def _by_layer(history: History, key: str) -> tuple[np.ndarray, np.ma.MaskedArray] | None:
    """Return the edges of columns of steps [columns + 1] and their means [layers, columns]; None without values."""
    by_step = {e["step"]: e[key] for e in history if e.get("stage") == "unlearn" and e.get(key)}
    steps = sorted(by_step)
    values = np.ma.masked_invalid(np.array([by_step[step] for step in steps], dtype=float))
    if not values.count():
        return None
    width = -(-len(steps) // COLUMNS)
    starts = range(0, len(steps), width)
    edges = np.array([*(steps[start] for start in starts), steps[-1] + 1]) - 0.5
    return edges, np.ma.stack([values[start : start + width].mean(0) for start in starts], 1)


def _steps_map(
    label: str,
    columns: tuple[np.ndarray, np.ma.MaskedArray],
    colours: tuple[str, ...],
    limits: tuple[float, float],
    axes: Axes,
) -> None:
    from matplotlib.ticker import MaxNLocator

    edges, values = columns
    _map(axes, edges, values, colours, limits, label)
    axes.set_ylabel("layer")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _map(
    axes: Axes,
    edges: np.ndarray,
    values: np.ma.MaskedArray,
    colours: tuple[str, ...],
    limits: tuple[float, float],
    label: str,
) -> None:
    """Draw `values` [rows, columns] as cells, the first row on top, with a colour bar."""
    from matplotlib.colors import LinearSegmentedColormap

    colormap: Colormap = LinearSegmentedColormap.from_list(label, colours, N=COLOURS)
    rows = np.arange(len(values) + 1) - 0.5
    cells = axes.pcolormesh(edges, rows, values, cmap=colormap, vmin=limits[0], vmax=limits[1])
    # Cells need an edge: browsers let the page shine through between cells that merely touch.
    cells.set(edgecolor="face", linewidth=0.3)
    axes.invert_yaxis()
    axes.figure.colorbar(cells, ax=axes, label=label)


def change_map(metrics: Mapping[str, Any]) -> Figure | None:
    """Draw the norm of the change of each adapted weight, with modules down and layers across."""
    layers = (metrics.get("change") or {}).get("layers") or []
    modules = sorted({name for layer in layers for name in layer["modules"]})
    norms = [[(layer["modules"].get(name) or {}).get("norm") for layer in layers] for name in modules]
    values = np.ma.masked_invalid(np.array(norms, dtype=float))
    if not values.count():
        return None

    def draw(axes: Axes) -> None:
        limits = (0.0, float(values.max()) or 1.0)
        _map(axes, np.arange(len(layers) + 1) - 0.5, values, ONE_SIDE, limits, "norm of the change")
        axes.set_yticks(range(len(modules)), modules)
        shown = range(0, len(layers), -(-len(layers) // LABELLED_LAYERS))
        axes.set_xticks(shown, [str(layers[i]["layer"]) for i in shown])
        axes.set_xlabel("layer")

    return panels([draw], 1.2 + ROW_HEIGHT * len(modules))
