"""The tables of `duolearn bench`, made from the content of bench.json."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from duolearn_cli.report.tables import DASH, Table

MEGABYTE = 2**20
HEADER = ("Variant", "What it is", "Time (ms)", "Over", "Time over that [quartiles]")
WITH_MEMORY = ("Peak memory (MiB)", "Memory over that")


def bench_table(results: Mapping[str, Any]) -> Table:
    """Return the table of measurements: one row per ratio, and one per variant without a ratio."""
    variants: Mapping[str, Any] = results["variants"]
    has_memory = any("peak_bytes" in one for one in variants.values())
    by_key = {(one["what"], one["of"], one["over"], one["times"]): one for one in results["ratios"]}
    rows: list[tuple[str, ...]] = []
    for name, one in variants.items():
        own = [key for key in by_key if key[:2] == ("time", name)] or [("time", name, "", 1)]
        for line, (_, _, over, times) in enumerate(own):
            # Only the first line of a variant repeats its name and its own figures.
            first = (name, one["about"], f"{1000 * statistics.median(one['seconds']):.0f}") if not line else ("",) * 3
            time = by_key.get(("time", name, over, times))
            memory = by_key.get(("memory", name, over, times))
            peak = f"{one['peak_bytes'] / MEGABYTE:.0f}" if "peak_bytes" in one and not line else ""
            last = (peak or DASH if not line else "", f"{memory['ratio']:.2f}" if memory else DASH)
            shown = _ratio(time) if time else DASH
            rows.append((*first, _over(over, times), shown, *(last if has_memory else ())))
    header = (*HEADER, *(WITH_MEMORY if has_memory else ()))
    return Table(_title(results), header, tuple(rows), num_text=2)


def goals_table(results: Mapping[str, Any]) -> Table | None:
    """Return the table of the goals that were measured, None if there are none."""
    if not results["goals"]:
        return None
    rows = tuple(
        (
            goal["of"],
            f"{goal['what']} over {_over(goal['over'], goal['times'])}",
            f"{goal['most']:.2f}",
            f"{goal['found']:.2f}",
            "met" if goal["met"] else "missed",
        )
        for goal in results["goals"]
    )
    return Table("Goals", ("Variant", "What", "At most", "Found", "Goal"), rows, num_text=2)


def _title(results: Mapping[str, Any]) -> str:
    items, tokens = results["items"], results["tokens"]
    return (
        f"{results['model']}, vocabulary {results['vocabulary']:,}, {items['forget']} forget and {items['retain']} "
        f"retain texts ({tokens['all']:,} tokens), {results['precision']} on {results['device']} "
        f"({results['device_name']}), {results['threads']} threads, {results['repeats']} repeats"
    )


def _over(name: str, times: int) -> str:
    return f"{times} x {name}" if times != 1 else name


def _ratio(time: Mapping[str, Any]) -> str:
    return f"{time['ratio']:.2f} [{time['low']:.2f}, {time['high']:.2f}]"
