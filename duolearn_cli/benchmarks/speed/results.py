"""Ratios of times and of memory, and their comparison with goals and with an earlier result."""

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
# Results are comparable only if they agree in these. The number of threads may differ, although ratios depend on it.
SAME = ("model", "vocabulary", "device", "items")
# These identify a ratio: `what` (time, memory) of variant `of` over `times` times that of variant `over`.
KEY = ("what", "of", "over", "times")


def time_ratio(name: str, over: Over, seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The ratio of the times of variant `name` over another: median and quartiles over the rounds.

    `least` is the ratio of the smallest times, which other work on the machine disturbs least.

    Args:
        name: the variant.
        over: what it is compared with.
        seconds: by variant, the time of each round.
    """
    # Paired by round: both met the same load, and the median of the ratios ignores rounds that one of them lost to it.
    own, other = np.array(seconds[name]), over.times * np.array(seconds[over.name])
    low, middle, high = np.quantile(own / other, [0.25, 0.5, 0.75]).tolist()
    least = float(own.min() / other.min())
    return {**_named("time", name, over), "ratio": middle, "low": low, "high": high, "least": least}


def memory_ratio(name: str, over: Over, memory: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """The ratio of the peak memory of variant `name` over another's; None if one was not measured.

    Also None for a comparison with a multiple: two steps one after the other do not need twice the memory.
    """
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
    """All ratios of `pairs`: those of time, then those of memory."""
    of_time = [time_ratio(name, over, seconds) for name, over in pairs]
    of_memory = [memory_ratio(name, over, memory) for name, over in pairs]
    return of_time + [ratio for ratio in of_memory if ratio]


def judged(ratios: Sequence[Mapping[str, Any]], vocabulary: int) -> list[dict[str, Any]]:
    """The goals of goals.json whose ratio was measured, each with the ratio (`found`) and whether it is `met`.

    A goal with `from_vocabulary` applies only to models with at least so many tokens.
    """
    by_key = {tuple(ratio[key] for key in KEY): ratio["ratio"] for ratio in ratios}
    goals = json.loads(GOALS.read_text(encoding="utf-8"))["goals"]
    return [
        {**goal, "found": by_key[key], "met": by_key[key] <= goal["most"]}
        for goal in goals
        if (key := tuple(goal[part] for part in KEY)) in by_key and vocabulary >= goal.get("from_vocabulary", 0)
    ]


def missed(goals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one line for each goal that is missed, with the fix."""
    for goal in goals:
        if not goal["met"]:
            yield (
                f"{goal['of']}: {goal['what']} is {goal['found']:.2f} of {described(goal)}, the goal allows "
                f"{goal['most']:.2f}; {_advice(goal)} bench.goals=false does not fail."
            )


def read_result(path: str) -> dict[str, Any]:
    """Read an earlier bench.json.

    Raises:
        RunError: the file cannot be read, or is not a result of this schema.
    """
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
        wrong = [ratio for ratio in result["ratios"] if not isinstance(ratio["ratio"], float)]
        if result["schema"] != SCHEMA or wrong or not all(key in ratio for ratio in result["ratios"] for key in KEY):
            raise ValueError(f"schema {result['schema']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = getattr(error, "strerror", None) or f"{error}"
        raise RunError(
            f"bench.compare={path}: no result of `duolearn bench` ({cause}); give the bench.json of an earlier run."
        ) from error
    return result


def check_same(path: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that an earlier result is comparable with the header of this run.

    Raises:
        RunError: they differ in one of `SAME`, so that their ratios do too.
    """
    for key in SAME:
        if earlier.get(key) != now[key]:
            raise RunError(
                f"bench.compare={path}: that result is of {key} {_shown(earlier.get(key))}, this run of "
                f"{_shown(now[key])}; compare with a result of the same."
            )


def _shown(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)


def worse(
    earlier: Mapping[str, Any], ratios: Sequence[Mapping[str, Any]], tolerance: float, path: str
) -> Iterator[str]:
    """Yield one line for each ratio that exceeds the earlier one by more than a share of `tolerance`.

    A ratio that the earlier result does not hold is not judged.
    """
    before = {tuple(ratio[key] for key in KEY): ratio["ratio"] for ratio in earlier["ratios"]}
    for ratio in ratios:
        old = before.get(tuple(ratio[key] for key in KEY))
        if old is not None and ratio["ratio"] > old * (1 + tolerance):
            yield (
                f"{ratio['of']}: {ratio['what']} is {ratio['ratio']:.2f} of {described(ratio)}, allowed "
                f"{old * (1 + tolerance):.2f} ({old:.2f} in {path}, bench.tolerance={tolerance:g}); {_advice(ratio)} "
                "or raise bench.tolerance."
            )


def described(ratio: Mapping[str, Any]) -> str:
    """What a ratio is relative to, in words: ``2 x plain/lora_text``."""
    return str(Over(ratio["over"], ratio["times"]))


def _advice(ratio: Mapping[str, Any]) -> str:
    """What to do first about a ratio that is too large: find out whether it was chance."""
    if ratio["what"] == "memory":
        return "measure again with bench.memory=true;"
    return f"measure again on a quiet machine with more bench.repeats and bench.only=[{ratio['of']}];"
