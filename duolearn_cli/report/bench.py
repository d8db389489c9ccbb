"""What `duolearn bench` found, as tables: the content of bench.json in."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from duolearn_cli.report.tables import DASH, Table

MEGABYTE = 2**20
HEADER = ("Variant", "What it is", "Time (ms)", "Over", "Time over that [quartiles]")
WITH_MEMORY = ("Peak memory (MiB)", "Memory over that")


def bench_table(found: Mapping[str, Any]) -> Table:
    """One row a ratio, and one for each variant that is compared with nothing."""
    variants: Mapping[str, Any] = found["variants"]
    has_memory = any("peak_bytes" in one for one in variants.values())
    by_key = {(one["what"], one["of"], one["over"], one["times"]): one for one in found["ratios"]}
    rows: list[tuple[str, ...]] = []
    for name, one in variants.items():
        own = [key for key in by_key if key[:2] == ("time", name)] or [("time", name, "", 1)]
        for place, (_, _, over, times) in enumerate(own):
            first = (name, one["about"], f"{1000 * statistics.median(one['seconds']):.0f}") if not place else ("",) * 3
            time = by_key.get(("time", name, over, times))
            memory = by_key.get(("memory", name, over, times))
            peak = f"{one['peak_bytes'] / MEGABYTE:.0f}" if "peak_bytes" in one and not place else ""
            last = (peak or DASH if not place else "", f"{memory['ratio']:.2f}" if memory else DASH)
            shown = _ratio(time) if time else DASH
            rows.append((*first, _over(over, times), shown, *(last if has_memory else ())))
    header = (*HEADER, *(WITH_MEMORY if has_memory else ()))
    return Table(_title(found), header, tuple(rows), num_text=2)


def goals_table(found: Mapping[str, Any]) -> Table | None:
    """The goals that were measured; None where none was."""
    if not found["goals"]:
        return None
    rows = tuple(
        (
            goal["of"],
            f"{goal['what']} over {_over(goal['over'], goal['times'])}",
            f"{goal['most']:.2f}",
            f"{goal['found']:.2f}",
            "met" if goal["met"] else "missed",
        )
        for goal in found["goals"]
    )
    return Table("Goals", ("Variant", "What", "At most", "Found", "Goal"), rows, num_text=2)


def _title(found: Mapping[str, Any]) -> str:
    items, tokens = found["items"], found["tokens"]
    return (
        f"{found['model']}, vocabulary {found['vocabulary']:,}, {items['forget']} forget and {items['retain']} retain "
        f"texts ({tokens['all']:,} tokens), {found['precision']} on {found['device']} ({found['device_name']}), "
        f"{found['threads']} threads, {found['repeats']} repeats"
    )


def _over(name: str, times: int) -> str:
    return f"{times} x {name}" if times != 1 else name


def _ratio(time: Mapping[str, Any]) -> str:
    return f"{time['ratio']:.2f} [{time['low']:.2f}, {time['high']:.2f}]"
