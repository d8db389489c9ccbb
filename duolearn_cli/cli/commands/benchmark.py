"""duolearn benchmark: tune methods with equally many tries on validation facts, and compare them on test facts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from duolearn_cli.benchmarks.methods.jobs import Job, Value, common, granted, is_of, trial, tries
from duolearn_cli.benchmarks.methods.status import OTHER, status_of
from duolearn_cli.cli.commands import unlearn
from duolearn_cli.cli.commands.common import NEEDED_BYTES, Invocation, prepared, readable, refuse_changes, reopen
from duolearn_cli.config.components import component_class
from duolearn_cli.config.compose import compose
from duolearn_cli.config.explain import key_of
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import ConfigError, DivergedError, RunError
from duolearn_cli.files import groups, write_json
from duolearn_cli.methods.base import Method
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.planning.fitting import fit
from duolearn_cli.pipeline.planning.plan import adapter_bytes, checkpoint_bytes, read_shape
from duolearn_cli.pipeline.privacy_plan import plan_unlearning
from duolearn_cli.pipeline.run_folder import Run, check_space
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.tables import Table
from duolearn_cli.report.terminal import Display

# Settings of the command line that a resumed benchmark uses; all others are its own.
CHANGEABLE = ("resume", "dry_run")
# The files of a run apart from its adapter: answers to every item, history, report.
FILES_BYTES = 10_000_000


def run(config: DictConfig, invocation: Invocation) -> str:
    """Perform all missing runs, write benchmark.json, .html and .md and pareto.svg, and show the table. Return the
    folder.
    """
    only_plan, opened, overrides = config.dry_run, None, list(invocation.overrides)
    if config.resume:
        refuse_changes(overrides, CHANGEABLE, "a benchmark that is resumed")
        opened, config = reopen(Path(config.resume), overrides, "benchmark", invocation.config_dir)
        overrides = granted(_saved(opened), overrides)
    shared, display = common(overrides), Display()
    if config.benchmark.learn_seeds and any(is_of(key_of(text), "learn.seed") for text in shared):
        raise ConfigError(
            "learn.seed conflicts with benchmark.learn_seeds=true, which sets it: leave out one of the two."
        )
    study = prepared(config, display)
    display.stage("Check every method's tries")
    # All tries are composed now: an invalid one must not appear after hours of runs.
    planned = _tries(config, shared, invocation.config_dir)
    # Saved with the benchmark: methods that are installed later must not join it on resume.
    config.benchmark.methods = list(planned)
    if only_plan:
        display.show(_plan(planned))
        return ""
    study = readable(study, display)
    if not opened:
        _check_space(study.config, planned)
        opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    runner = _Runner(study, opened.folder, shared, invocation.config_dir)
    opened.update(status="running")
    try:
        return _complete(opened, planned, runner, display)
    except KeyboardInterrupt:
        opened.update(status="interrupted")
        print(f"continue with: duolearn benchmark resume={opened.folder}")
        raise


def _complete(
    opened: Run, planned: Mapping[str, Sequence[Mapping[str, Value]]], runner: _Runner, display: Display
) -> str:
    from duolearn_cli.benchmarks.methods.record import FILE, write_record
    from duolearn_cli.benchmarks.methods.session import Session
    from duolearn_cli.report.benchmark import benchmark_table, sentence, write_page

    settings = runner.study.config.benchmark
    epochs = settings.epochs or [runner.study.config.unlearn.epochs]
    seed, learns = runner.study.config.seed, settings.learn_seeds
    session = Session(opened.folder, planned, seed, settings.seeds, epochs, runner.perform, display, learns)
    display.stage(f"{session.num_jobs} runs; others may share them: duolearn benchmark resume={opened.folder}")
    try:
        session.complete()
    finally:  # an interrupted benchmark gets a report too, of the runs so far
        answered = session.answered()
        results = session.results(runner.study.config, answered)
        write_record(opened.folder / FILE, results, answered)
        write_json(opened.folder / "benchmark.json", results)
        write_page(opened.folder, results)
    opened.update(status="finished")
    display.show(benchmark_table(results))
    display.note(sentence(results))
    display.path(opened.folder / "benchmark.html")
    return str(opened.folder)


def _saved(opened: Run) -> list[str]:
    """Return the overrides that a benchmark was begun with. Raises RunError if run.json has none."""
    overrides = opened.info.get("overrides")
    if not isinstance(overrides, list) or not all(isinstance(text, str) for text in overrides):
        raise RunError(f"{opened.folder / 'run.json'}: `overrides` is not a list of words; start a new benchmark.")
    return overrides


def _tries(config: DictConfig, shared: Sequence[str], config_dir: str | None) -> dict[str, list[dict[str, Value]]]:
    """Return the tries of every method. Each is composed and checked, so that errors appear before anything runs."""
    options = groups(Path(config_dir) if config_dir else None)["method"]
    by_method: dict[str, list[dict[str, Value]]] = {}
    for method in config.benchmark.methods or options:
        own = _composed(trial(method, 0, {}, config.seed), shared, config_dir)
        owner = cast(type[Method], component_class(own.method, own.plugins))
        search = config.benchmark.search.get(method) or owner.search
        by_method[method] = tries(own, search, config.benchmark.trials, shared, config.seed)
        for number, settings in enumerate(by_method[method][1:], start=1):
            _composed(trial(method, number, settings, config.seed), shared, config_dir)
    return by_method


def _composed(job: Job, shared: Sequence[str], config_dir: str | None) -> DictConfig:
    """Return the configuration of a job. Raises ConfigError with the name of the job."""
    try:
        return compose("unlearn", [*shared, *job.overrides], config_dir)
    except ConfigError as error:
        named = " ".join(f"{key}={value}" for key, value in job.settings.items()) or "defaults"
        raise ConfigError("\n".join(f"{job.method} ({named}): {line}" for line in str(error).splitlines())) from error


def _check_space(config: RunConfig, planned: Mapping[str, Sequence[Mapping[str, Value]]]) -> None:
    """Raise RunError unless the disk has room for the files of all runs and the checkpoints of one."""
    shape, benchmark = read_shape(find_weights(config.model, config.cache_dir)), config.benchmark
    if shape:
        runs = sum(map(len, planned.values())) + len(planned) * len(benchmark.seeds) * max(1, len(benchmark.epochs))
        each = adapter_bytes(config, shape) + FILES_BYTES
        check_space(Path(config.output_dir), NEEDED_BYTES + 2 * checkpoint_bytes(config, shape) + runs * each)


def _plan(planned: Mapping[str, Sequence[Mapping[str, Value]]]) -> Table:
    """Return the table of the tries that would be made."""
    rows = tuple(
        (method, str(number), " ".join(f"{key}={value}" for key, value in settings.items()) or "defaults")
        for method, own in planned.items()
        for number, settings in enumerate(own)
    )
    return Table("Tries", ("Method", "Try", "Settings"), rows, num_text=3)


@dataclass(frozen=True, eq=False)
class _Runner:
    """Performs the runs of a benchmark in this process, on data that was read once."""

    study: Study
    folder: Path
    shared: Sequence[str]
    config_dir: str | None

    def perform(self, job: Job) -> None:
        """Begin or resume the run of a job. A diverged run counts as done; other errors are raised."""
        folder, overrides, opened = self.folder / job.folder, [*self.shared, *job.overrides], None
        config = _composed(job, self.shared, self.config_dir)
        if (folder / "run.json").is_file():
            if status_of(folder, job.overrides) == OTHER:
                raise RunError(f"{folder}: this run has other settings; delete the folder to perform it again.")
            opened, _ = Run.open(folder)
        study = replace(self.study, config=cast(RunConfig, config))
        notes = fit(study)
        opened = opened or unlearn.begin(study, plan_unlearning(study), Invocation(overrides, folder))
        # run.json and the log say that a run diverged, which the benchmark reports as its result.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, suppress(DivergedError):
            unlearn.complete(study, opened, _silent(nowhere), notes)
        # A benchmark may have hundreds of runs: their checkpoints would fill the disk.
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _silent(file: Any) -> Display:
    """Return a display that shows nothing. The messages of a run are in its log."""
    from rich.console import Console

    return Display(Console(file=file))
