"""duolearn report: write the report of a finished run again, from the files of its folder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, refuse_changes
from duolearn_cli.errors import RunError
from duolearn_cli.report.terminal import Display


def run(config: DictConfig, invocation: Invocation) -> str:
    """Write report.html, report.md and figures. Nothing is loaded, scored or changed otherwise. Return the folder.

    Raises:
        RunError: run is not set, or a file that the report needs is missing or broken.
    """
    refuse_changes(invocation.overrides, ("run", "dry_run"), "a run whose report is written")
    if not config.run:
        raise RunError("run is not set: which run's report? Give run=FOLDER, of a finished run.")
    # Here: figures need matplotlib, which no check must wait for.
    from duolearn_cli.report.inputs import read_inputs
    from duolearn_cli.report.page import write_report
    from duolearn_cli.report.results import show_path, show_results

    folder, display = Path(config.run), Display()
    inputs = read_inputs(folder)
    if config.dry_run:
        display.note(f"would write {folder / 'report.html'}, report.md and figures")
        return ""
    write_report(folder)
    show_results(folder, inputs.metrics, inputs.run, display)
    show_path(folder, True, display)
    return str(folder)
