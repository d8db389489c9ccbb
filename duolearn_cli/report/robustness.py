"""What the attacks of `duolearn audit robustness` found: a table, remarks, and the curve of relearning."""

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
    "blind: under the attack the model is no better than chance even at what it was to keep, so that what it does not "
    "find may be there all the same"
)
NO_PROOF = "An attack that finds nothing proves nothing: others, or the same with more means, may find more."
ROUNDED = "quantise rounds weights to nearest and multiplies as before: it is no quantised kernel."


def robustness_table(found: Mapping[str, Any]) -> Table:
    """One row an attack, the first without any: accuracy under it, and the share recovered of what was forgotten.

    `found` is the content of robustness.json. Intervals are 95 %; rows of few facts carry none, and say so.
    """
    before = found["before"]
    rows = [("no attack", *_cells({"models": before}))]
    rows += [(f"{one['attack']}: {one['variant']}", *_cells(one)) for one in found["attacks"]]
    return Table(f"Attacks on what was forgotten: {found['forget']}, with 95 % intervals", HEADER, tuple(rows))


def write_page(folder: Path, found: Mapping[str, Any]) -> None:
    """Write robustness.md, for people, and beside it relearning.svg where there is a curve."""
    parts = [f"# Attacks on {markdown_text(found['forget'])}", robustness_table(found).markdown()]
    parts.append("\n".join(f"- {markdown_text(remark)}" for remark in remarks(found)))
    if curve := relearning_curve(found):
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


def remarks(found: Mapping[str, Any]) -> list[str]:
    """What the table does not say: what was left out and why, what rounding is, what no attack can show."""
    said = [f"{one['attack']}, {one['variant']}: left out, {one['reason']}." for one in found["skipped"]]
    if any(one["attack"] == "quantise" for one in found["attacks"]):
        said.append(ROUNDED)
    if blind := [f"{one['attack']}, {one['variant']}" for one in found["attacks"] if one["blind"]]:
        said.append(f"{BLIND}: {'; '.join(blind)}.")
    return [*said, NO_PROOF]


def relearning_curve(found: Mapping[str, Any]) -> Figure | None:
    """Accuracy on forget items that were not taught over the number of texts taught; None without that attack.

    Solid: taught about other forget facts; dotted: as many texts about retain facts. Green: gold, which never knew.
    """
    taught = [one for one in found["attacks"] if one["attack"] == "relearn"]
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
    """Numbers of texts and accuracies in per cent, beginning with the model as it was."""
    mine = [one for one in taught if one["details"]["material"] == material and model in one["models"]]
    points: dict[int, float] = {}
    for one in mine:
        forget = one["models"][model]["forget"]
        for count, estimate in ((0, forget["before"]), (one["details"]["examples"], forget["accuracy"])):
            value = number(estimate["value"])
            if value is not None:
                points[count] = 100 * value
    return sorted(points), [points[count] for count in sorted(points)]
