"""From seconds and bytes to ratios, and what they are held against: goals, and an earlier result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duolearn_cli.benchmarks.speed.variants import Over
from duolearn_cli.errors import RunError

SCHEMA = 1
GOALS = Path(__file__).parent / "goals.json"
# Results that differ in one of these are not of the same thing; threads may differ, and ratios with them.
SAME = ("model", "vocabulary", "device", "items")
KEY = ("what", "of", "over", "times")


def time_ratio(name: str, over: Over, seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Median and quartiles of the paired ratios, and the ratio of the least times, which other work disturbs least."""
    own, other = np.array(seconds[name]), over.times * np.array(seconds[over.name])
    low, middle, high = np.quantile(own / other, [0.25, 0.5, 0.75]).tolist()
    least = float(own.min() / other.min())
    return {**_named("time", name, over), "ratio": middle, "low": low, "high": high, "least": least}


def memory_ratio(name: str, over: Over, memory: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Peak over peak; None where a multiple is compared, which says nothing of memory, or where one is missing."""
    if over.times != 1 or name not in memory or over.name not in memory:
        return None
    return {**_named("memory", name, over), "ratio": memory[name]["peak_bytes"] / memory[over.name]["peak_bytes"]}


def _named(what: str, name: str, over: Over) -> dict[str, Any]:
    return {"what": what, "of": name, "over": over.name, "times": over.times}


def compared(
    pairs: Sequence[tuple[str, Over]],
    seconds: Mapping[str, Sequence[float]],
    memory: Mapping[str, Mapping[str, int]],
) -> list[dict[str, Any]]:
    """Every ratio, of time first."""
    times = [time_ratio(name, over, seconds) for name, over in pairs]
    found = [memory_ratio(name, over, memory) for name, over in pairs]
    return times + [ratio for ratio in found if ratio]


def judged(ratios: Sequence[Mapping[str, Any]], vocabulary: int) -> list[dict[str, Any]]:
    """The goals that were measured, each with what was found. One `from_vocabulary` on is for such models only."""
    by_key = {tuple(ratio[key] for key in KEY): ratio["ratio"] for ratio in ratios}
    goals = json.loads(GOALS.read_text(encoding="utf-8"))["goals"]
    return [
        {**goal, "found": by_key[key], "met": by_key[key] <= goal["most"]}
        for goal in goals
        if (key := tuple(goal[part] for part in KEY)) in by_key and vocabulary >= goal.get("from_vocabulary", 0)
    ]


def missed(goals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each goal that is missed."""
    for goal in goals:
        if not goal["met"]:
            yield (
                f"{goal['of']}: {goal['what']} is {goal['found']:.2f} of {described(goal)}, the goal allows "
                f"{goal['most']:.2f}; {_mend(goal)} bench.goals=false does not fail."
            )


def read_result(path: str) -> dict[str, Any]:
    """An earlier bench.json. Raises RunError where it is none."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        wrong = [ratio for ratio in found["ratios"] if not isinstance(ratio["ratio"], float)]
        if found["schema"] != SCHEMA or wrong or not all(key in ratio for ratio in found["ratios"] for key in KEY):
            raise ValueError(f"schema {found['schema']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = getattr(error, "strerror", None) or f"{error}"
        raise RunError(
            f"bench.compare={path}: no result of `duolearn bench` ({said}); give the bench.json of an earlier run."
        ) from error
    return found


def check_same(path: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises RunError where an earlier result is of another model or device, whose ratios are others."""
    for key in SAME:
        if earlier.get(key) != now[key]:
            raise RunError(
                f"bench.compare={path}: it is of {key} {_shown(earlier.get(key))}, this run of {_shown(now[key])}; "
                "compare with a result of the same."
            )


def _shown(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)


def worse(
    earlier: Mapping[str, Any], ratios: Sequence[Mapping[str, Any]], tolerance: float, path: str
) -> Iterator[str]:
    """One line for each ratio that exceeds the earlier one by more than a share of `tolerance`."""
    before = {tuple(ratio[key] for key in KEY): ratio["ratio"] for ratio in earlier["ratios"]}
    for ratio in ratios:
        known = before.get(tuple(ratio[key] for key in KEY))
        if known is not None and ratio["ratio"] > known * (1 + tolerance):
            yield (
                f"{ratio['of']}: {ratio['what']} is {ratio['ratio']:.2f} of {described(ratio)}, allowed "
                f"{known * (1 + tolerance):.2f} ({known:.2f} in {path}, bench.tolerance={tolerance:g}); {_mend(ratio)} "
                "or raise bench.tolerance."
            )


def described(ratio: Mapping[str, Any]) -> str:
    """What a ratio is over, in words."""
    return str(Over(ratio["over"], ratio["times"]))


def _mend(ratio: Mapping[str, Any]) -> str:
    if ratio["what"] == "memory":
        return "measure again with bench.memory=true;"
    return f"measure again on a quiet machine with more bench.repeats and bench.only=[{ratio['of']}];"
