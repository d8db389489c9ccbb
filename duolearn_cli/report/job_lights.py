"""The verdicts of a sweep's jobs: a narrow table for terminals, and one sentence about all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.report.jobs import Job, heading, shown, varying
from duolearn_cli.report.lights import SIGNS
from duolearn_cli.report.tables import DASH, Table, number

# By light: the heading of its column, and what a green one says of a job.
COLUMNS = {
    "forgotten": ("Forgotten", "forgotten"),
    "kept": ("Kept", "other knowledge kept"),
    "attacks": ("Attacks", "not found by attacks"),
    "privacy": ("Privacy", "privacy guaranteed"),
}


def lights_table(jobs: Sequence[Job]) -> Table:
    """One row a job: the settings that vary, and of each light its sign and number."""
    settings = varying(jobs)
    rows = tuple(
        (*(shown(job, key) for key in settings), *(_cell(_lights(job).get(key)) for key in COLUMNS), _name(job))
        for job in jobs
    )
    header = (*map(heading, settings), *(name for name, _ in COLUMNS.values()), "job")
    return Table("Verdicts: ✓ yes, ? not decided, ✗ no, - not asked for", header, rows, num_text=len(settings))


def count_lights(jobs: Sequence[Job]) -> str:
    """How many jobs reach each green light."""
    finished = [job for job in jobs if job.scores is not None]
    states = {key: [(_lights(job).get(key) or {}).get("state") for job in finished] for key in COLUMNS}
    parts = [
        f"{said} in {states[key].count('green')}"
        for key, (_, said) in COLUMNS.items()
        if set(states[key]) - {"off", None}
    ]
    failed = len(jobs) - len(finished)
    whole = f"{len(jobs)} runs" + (f", {failed} failed" if failed else "")
    return f"{whole}: {'; '.join(parts)}." if parts else f"{whole}."


def _lights(job: Job) -> dict[str, Mapping[str, Any]]:
    return {light["key"]: light for light in (job.verdict or {}).get("lights", ())}


def _cell(light: Mapping[str, Any] | None) -> str:
    if light is None:
        return DASH
    value = number(light["value"])
    if value is None:
        return SIGNS[light["state"]]
    text = f"{100 * value:.0f} %" if light["key"] in ("forgotten", "kept") else f"{value:.2g}"
    return f"{SIGNS[light['state']]} {text}"


def _name(job: Job) -> str:
    return f"{job.name}, failed" if job.scores is None else job.name
