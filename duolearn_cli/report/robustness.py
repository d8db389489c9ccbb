"""The results of `duolearn audit robustness`: a table, remarks, and the curve of relearning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolearn_cli.evaluation.metrics.few import FEW_FACTS
from duolearn_cli.evaluation.warning_text import facts_of
from duolearn_cli.files import write_text
from duolearn_cli.report.figures import FORGET, GOLD, HEIGHT, panels, to_svg
from duolearn_cli.report.tables import DASH, TOO_FEW, Table, cell, markdown_text, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADER = (
    "Attack",
    "Forget items",
    "Forget, unlearned (%)",
    "Recovered (%)",
    "Forget, gold (%)",
    "Gain above gold's (points)",
    "Forget, target (%)",
    "Retain, unlearned (%)",
)
BLIND = (
    "blind: under the attack the model is no better than chance even on retain items, so forgotten knowledge may still "
    "be there although the attack does not find it"
)
NO_PROOF = "An attack that finds nothing proves nothing: another attack, or the same with more effort, may find more."
ROUNDED = "quantise rounds weights to nearest and multiplies as before: it is not a quantised kernel."


def robustness_table(results: Mapping[str, Any]) -> Table:
    """Return the table of attacks: accuracy under each one, and the recovered share of what was forgotten.

    The first row is the model without an attack. `results` is the content of robustness.json. Intervals are 95 %; rows
    with few facts have none, and say so.
    """
    before = results["before"]
    rows = [("no attack", *_cells({"models": before}))]
    rows += [(f"{one['attack']}: {one['variant']}", *_cells(one)) for one in results["attacks"]]
    return Table(f"Attacks on what was forgotten: {results['forget']}, with 95 % intervals", HEADER, tuple(rows))


def write_page(folder: Path, results: Mapping[str, Any]) -> None:
    """Write robustness.md and, if there is a curve of relearning, relearning.svg."""
    parts = [f"# Attacks on {markdown_text(results['forget'])}", robustness_table(results).markdown()]
    parts.append("\n".join(f"- {markdown_text(remark)}" for remark in remarks(results)))
    if curve := relearning_curve(results):
        write_text(folder / "relearning.svg", to_svg(curve))
        parts.append("![Accuracy on facts that were not taught, by the number of taught texts](relearning.svg)")
    write_text(folder / "robustness.md", "\n\n".join(parts) + "\n")


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    models: Mapping[str, Any] = entry["models"]
    unlearned = models["unlearned"]
    count = unlearned["forget"]["accuracy"]["n"]
    gain = (entry.get("above_gold") or {}).get("forget")
    return (
        f"{count}" + (f" ({TOO_FEW})" if facts_of(unlearned["forget"]["accuracy"]) < FEW_FACTS else ""),
        _share(unlearned["forget"]["accuracy"]),
        _share(unlearned["forget"].get("recovered")),
        _share((models.get("gold") or {}).get("forget", {}).get("accuracy")),
        _share(gain),
        _share((models.get("target") or {}).get("forget", {}).get("accuracy")),
        _share(unlearned["retain"]["accuracy"]) + (" (blind)" if entry.get("blind") else ""),
    )


def _share(estimate: Mapping[str, Any] | None) -> str:
    return cell(estimate, scale=100, digits=1) if estimate else DASH


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Return remarks about the table: which attacks were left out and why, and what the others cannot show."""
    lines = [f"{one['attack']}, {one['variant']}: left out, {one['reason']}." for one in results["skipped"]]
    if any(one["attack"] == "quantise" for one in results["attacks"]):
        lines.append(ROUNDED)
    if blind := [f"{one['attack']}, {one['variant']}" for one in results["attacks"] if one["blind"]]:
        lines.append(f"{BLIND}: {'; '.join(blind)}.")
    return [*lines, NO_PROOF]


def relearning_curve(results: Mapping[str, Any]) -> Figure | None:
    """Draw the accuracy on forget items that were not taught again, over the number of taught texts.

    Solid lines: texts about other forget facts. Dotted lines, the control: as many texts about retain facts. Green:
    gold, which never knew the forget facts. Return None without a relearning attack.
    """
    taught = [one for one in results["attacks"] if one["attack"] == "relearn"]
    if not taught:
        return None

    def draw(axes: Axes) -> None:
        for model, color in (("unlearned", FORGET), ("gold", GOLD)):
            for material, dash in (("forget", "-"), ("retain", ":")):
                steps, values = _curve(taught, model, material)
                label = f"{model}, taught {material} items"
                axes.plot(steps, values, dash, color=color, marker="o", markersize=4, label=label, linewidth=1.6)
        axes.set_xlabel("texts taught")
        axes.set_ylabel("forget items not taught (%)")
        axes.set_ylim(-2, 102)
        axes.grid(axis="y")
        axes.figure.legend(loc="outside upper left", ncols=2)

    return panels([draw], HEIGHT)


def _curve(taught: list[Mapping[str, Any]], model: str, material: str) -> tuple[list[int], list[float]]:
    """Return numbers of texts and accuracies in per cent; the first point is the model before the attack."""
    mine = [one for one in taught if one["details"]["material"] == material and model in one["models"]]
    points: dict[int, float] = {}
    for one in mine:
        forget = one["models"][model]["forget"]
        # Nothing was taught before the attack, so all lessons share the point at zero.
        for count, estimate in ((0, forget["before"]), (one["details"]["examples"], forget["accuracy"])):
            value = number(estimate["value"])
            if value is not None:
                points[count] = 100 * value
    return sorted(points), [points[count] for count in sorted(points)]
