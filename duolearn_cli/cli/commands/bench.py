"""duolearn bench: the time and memory of steps and evaluation, compared with plain implementations of the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig

from duolearn_cli.benchmarks.speed.results import missed, read_result, worse
from duolearn_cli.benchmarks.speed.variants import Variant, chosen_variants
from duolearn_cli.cli.commands.common import Invocation, prepared, readable
from duolearn_cli.errors import RunError
from duolearn_cli.files import write_json, write_text
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.tables import DASH, Table
from duolearn_cli.report.terminal import Display


def run(config: DictConfig, invocation: Invocation) -> str:
    """Measure, write bench.json and bench.md, and show the tables. Return the run folder.

    Raises:
        RunError: a ratio is worse than in ``bench.compare`` by more than the tolerance, or a goal is missed; one line
            each.
    """
    chosen, settings = chosen_variants(config), config.bench
    # Read first, so that a wrong path is reported before minutes of measuring.
    earlier = read_result(settings.compare) if settings.compare else None
    study, display = prepared(config), Display()
    if config.dry_run:
        display.show(listed(chosen))
        return ""
    study = readable(study, display)
    from duolearn_cli.benchmarks.speed.session import measure
    from duolearn_cli.report.bench import bench_table, goals_table

    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    with opened.active():
        results = measure(study, chosen, display, invocation.overrides, earlier)
        tables = [table for table in (bench_table(results), goals_table(results)) if table]
        write_json(opened.folder / "bench.json", results)
        write_text(opened.folder / "bench.md", "\n\n".join(f"{t.title}\n\n{t.markdown()}" for t in tables) + "\n")
    for table in tables:
        display.show(table)
    display.note(f"written to {opened.folder}: bench.json, bench.md")
    # Last: a result that misses a goal is written and shown all the same.
    if problems := list(_problems(config, results, earlier)):
        raise RunError("\n".join(problems))
    return str(opened.folder)


def listed(chosen: Mapping[str, Variant]) -> Table:
    """Return the table of the variants that would be measured."""
    rows = tuple((one.name, one.about, ", ".join(map(str, one.over)) or DASH) for one in chosen.values())
    return Table("Variants", ("Variant", "What it is", "Over"), rows, num_text=3)


def _problems(config: DictConfig, results: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterator[str]:
    if earlier:
        yield from worse(earlier, results["ratios"], config.bench.tolerance, config.bench.compare)
    if config.bench.goals:
        yield from missed(results["goals"])
