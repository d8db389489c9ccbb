"""The lights of a verdict as pages and terminals show them: words, numbers, and the places of marks on a scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.verdict import verdict_limits
from duolearn_cli.evaluation.verdict import verdict
from duolearn_cli.report.measures import DASH

# Colour alone tells nothing to readers who do not see it, nor on paper.
SIGNS = {"green": "✓", "amber": "?", "red": "✗", "off": "-"}
WORDS = {"green": "yes", "amber": "not decided", "red": "no", "off": "not asked for"}
MARKS = {"target": "before", "gold": "gold", "chance": "chance", "limit": "limit"}
BLIND = "sees nothing"


@dataclass(frozen=True, slots=True)
class Mark:
    """A value on a scale: `kind` is ``now`` or a key of `MARKS`; `place` is in per cent of the scale's length."""

    kind: str
    name: str
    text: str
    place: float


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of a light. `interval` holds both ends in per cent of its length, None without an interval."""

    label: str
    marks: tuple[Mark, ...]
    interval: tuple[float, float] | None

    @property
    def sentence(self) -> str:
        """The scale in words, for readers who do not see it."""
        return f"{self.label}: " + ", ".join(f"{mark.name} {mark.text}" for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Shown:
    """One light in words."""

    key: str
    name: str
    state: str
    sign: str
    word: str
    reason: str
    number: str
    scale: Scale | None


def lights_of(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, list[Shown]]:
    """The verdict's sentence and lights: as metrics.json has them, or computed for a run of an earlier version.

    Both are empty if nothing was unlearned.
    """
    found = metrics.get("verdict") or verdict(metrics, verdict_limits(config))
    if not found:
        return "", []
    return found["sentence"], [_shown(light) for light in found["lights"]]


def _shown(light: Mapping[str, Any]) -> Shown:
    state, scale = light["state"], scale_of(light["bar"]) if light["bar"] else None
    # The bar shows accuracy, which everyone understands; what decides may be a ratio, which the reason tells.
    now = scale.marks[0].text if scale and scale.marks and scale.marks[0].kind == "now" else DASH
    return Shown(light["key"], light["name"], state, SIGNS[state], WORDS[state], light["reason"], now, scale)


def scale_of(bar: Mapping[str, Any]) -> Scale:
    """The places of a bar's values."""
    most, percent = bar["most"], bar["percent"]
    ends = [bar[key] for key in ("low", "high")]
    interval = None if None in ends else (_place(ends[0], most), _place(ends[1], most))
    marks = []
    if bar["value"] is not None:
        brackets = "" if interval is None else f" [{', '.join(_number(end, percent) for end in ends)}]"
        marks.append(Mark("now", "now", f"{_text(bar['value'], percent)}{brackets}", _place(bar["value"], most)))
    for kind, value in bar["marks"].items():
        name = BLIND if kind == "chance" and not percent else MARKS[kind]
        marks.append(Mark(kind, name, _text(value, percent), _place(value, most)))
    return Scale(bar["label"], tuple(marks), interval)


def _place(value: float, most: float) -> float:
    return round(100 * min(1.0, max(0.0, value / most)), 2)


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.1f}" if percent else f"{value:.3g}"


def _text(value: float, percent: bool) -> str:
    return _number(value, percent) + (" %" if percent else "")
