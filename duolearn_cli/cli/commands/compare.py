"""duolearn compare: finished runs side by side, with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, reopen
from duolearn_cli.config.components import is_embedded
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.items import Item
from duolearn_cli.errors import UserError
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.run_folder import free_folder
from duolearn_cli.report.terminal import Display


def run(config: DictConfig, invocation: Invocation) -> str:
    """Write compare.html, compare.md, compare.json and pareto.svg. Return their folder.

    Raises:
        RunError: see `chosen_folders` and `read_compared`; or the folder cannot be made.
    """
    # Here, since intervals need SciPy and figures matplotlib, which no check must wait for.
    from duolearn_cli.pipeline.comparing import chosen_folders, read_compared
    from duolearn_cli.report.comparison import Comparison
    from duolearn_cli.report.comparison_page import sentence, terminal_tables, write_comparison

    display = Display()
    folders, notes = chosen_folders(config.compare.runs)
    for note in notes:
        display.note(note)
    runs = read_compared(folders)
    if config.dry_run:
        display.note(f"would compare {', '.join(map(str, runs))}")
        return ""
    found = Comparison.of(runs, lambda: shown_items(folders[0], config, invocation.overrides, display))
    folder = free_folder(config.run_dir, config.output_dir, "compare")
    written = write_comparison(folder, found)
    for table in terminal_tables(found):
        display.table(table)
    for line in (sentence(found), *found.as_dict()["remarks"]):
        display.note(line)
    display.path(written[0])
    return str(folder)


def shown_items(
    folder: Path, config: DictConfig, overrides: Sequence[str], display: Display
) -> Mapping[str, Item] | None:
    """The items of a run by id, if their texts may be shown; None if they may not, or cannot be read any more."""
    try:
        saved = cast(RunConfig, reopen(folder, overrides, purged=True)[1])
        if not (is_embedded(saved) or saved.report.show_items or config.report.show_items):
            return None
        return {item.id: item for item in prepare(saved).items}
    except UserError as error:
        # The numbers do not need the texts.
        display.note(f"the texts of changed items are left out: {error}")
        return None
