"""The results of a finished run on a terminal: a narrow table, the verdict, every warning, and the report's path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from duolearn_cli.report.inputs import read_history
from duolearn_cli.report.lights import lights_of
from duolearn_cli.report.requests import requests_table
from duolearn_cli.report.tables import FLAGGED, measures_table, short_table
from duolearn_cli.report.terminal import Display
from duolearn_cli.report.verdict import verdict, warnings


def show_results(folder: Path, metrics: Mapping[str, Any], info: Mapping[str, Any], display: Display) -> None:
    """Print table, verdict and warnings, for users who do not open the report. `info` is run.json."""
    display.show(measures_table(metrics) if display.plain else short_table(metrics))
    if table := requests_table(metrics.get("requests") or ()):
        display.show(table)
    for line in _verdict(metrics):
        display.note(line)
    sentences, advice = warnings(metrics, read_history(folder / "history.jsonl"), info), metrics.get("advice") or {}
    if sentences:
        display.note(f"warnings ({len(sentences)}); rows of the table that they concern are marked{FLAGGED}:")
    for said in sentences:
        display.note(f"- {said}" + (f" What to do: {advice[said]}" if said in advice else ""))


def show_path(folder: Path, has_report: bool, display: Display) -> None:
    """Print the report's full path as the last line, or the folder's if the run wrote no report."""
    display.path(folder / "report.html" if has_report else folder)


def _verdict(metrics: Mapping[str, Any]) -> Iterator[str]:
    found, lights = lights_of(metrics, {})
    if found:
        yield found
    for light in lights:
        beside = [f"{mark.name} {mark.text}" for mark in light.scale.marks if mark.kind != "now"] if light.scale else []
        now = f", {light.number} {light.scale.label}" if light.scale else ""
        yield f"{light.sign} {light.name}: {light.word}{now}" + (f" ({', '.join(beside)})" if beside else "")
    yield verdict(metrics)
