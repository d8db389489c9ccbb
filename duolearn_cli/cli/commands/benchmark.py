"""duolearn benchmark: methods tuned with equally many tries on validation facts, compared on test facts."""

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
from duolearn_cli.methods.base import search_of
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.planning.fitting import fit
from duolearn_cli.pipeline.planning.plan import adapter_bytes, checkpoint_bytes, read_shape
from duolearn_cli.pipeline.privacy_plan import plan_unlearning
from duolearn_cli.pipeline.run_folder import Run, check_space
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.tables import Table
from duolearn_cli.report.terminal import Display

# What a benchmark that is gone on with takes from the command line; all else is its own.
CHANGEABLE = ("resume", "dry_run")
# What a run leaves beside its adapter: answers to every item, history, report.
FILES_BYTES = 10_000_000


def run(config: DictConfig, invocation: Invocation) -> str:
    """Do all runs that are left, write benchmark.json, .md and pareto.svg, show the table; return the folder."""
    only_plan, opened, overrides = config.dry_run, None, list(invocation.overrides)
    if config.resume:
        refuse_changes(overrides, CHANGEABLE, "a benchmark that is resumed")
        opened, config = reopen(Path(config.resume), overrides, "benchmark", invocation.config_dir)
        overrides = granted(_saved(opened), overrides)
    shared, display = common(overrides), Display()
    if config.benchmark.learn_seeds and any(is_of(key_of(text), "learn.seed") for text in shared):
        raise ConfigError(
            "learn.seed is given and benchmark.learn_seeds=true, which sets it: leave out one of the two."
        )
    study = prepared(config, display)
    display.stage("Check every method's tries")
    planned = _tries(config, shared, invocation.config_dir)
    # Which they are is settled here, whatever is added to the folders later.
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
    from duolearn_cli.report.benchmark import benchmark_table, write_page

    settings = runner.study.config.benchmark
    epochs = settings.epochs or [runner.study.config.unlearn.epochs]
    seed, learns = runner.study.config.seed, settings.learn_seeds
    session = Session(opened.folder, planned, seed, settings.seeds, epochs, runner.perform, display, learns)
    display.stage(f"{session.num_jobs} runs; others may share them: duolearn benchmark resume={opened.folder}")
    try:
        session.complete()
    finally:  # of a benchmark that was broken off, as far as it has come
        answered = session.answered()
        found = session.results(runner.study.config, answered)
        write_record(opened.folder / FILE, found, answered)
        write_json(opened.folder / "benchmark.json", found)
        write_page(opened.folder, found)
    opened.update(status="finished")
    display.show(benchmark_table(found))
    display.note(f"written to {opened.folder}: benchmark.md, benchmark.json, pareto.svg, {FILE}")
    return str(opened.folder)


def _saved(opened: Run) -> list[str]:
    """The overrides that a benchmark was begun with. Raises RunError where run.json has none."""
    found = opened.info.get("overrides")
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise RunError(f"{opened.folder / 'run.json'}: `overrides` is no list of words: begin the benchmark anew.")
    return found


def _tries(config: DictConfig, shared: Sequence[str], config_dir: str | None) -> dict[str, list[dict[str, Value]]]:
    """Every method's tries, each composed and checked: what is wrong with one is known before anything runs."""
    options = groups(Path(config_dir) if config_dir else None)["method"]
    found: dict[str, list[dict[str, Value]]] = {}
    for method in config.benchmark.methods or options:
        own = _composed(trial(method, 0, {}, config.seed), shared, config_dir)
        search = config.benchmark.search.get(method) or search_of(component_class(own.method, own.plugins))
        found[method] = tries(own, search, config.benchmark.trials, shared, config.seed)
        for place, settings in enumerate(found[method][1:], start=1):
            _composed(trial(method, place, settings, config.seed), shared, config_dir)
    return found


def _composed(job: Job, shared: Sequence[str], config_dir: str | None) -> DictConfig:
    """A job's configuration. Raises ConfigError, naming the job."""
    try:
        return compose("unlearn", [*shared, *job.overrides], config_dir)
    except ConfigError as error:
        said = " ".join(f"{key}={value}" for key, value in job.settings.items()) or "defaults"
        raise ConfigError("\n".join(f"{job.method} ({said}): {line}" for line in str(error).splitlines())) from error


def _check_space(config: RunConfig, planned: Mapping[str, Sequence[Mapping[str, Value]]]) -> None:
    """Raise RunError if there is no room for what all runs leave, and for the checkpoints of the one at work."""
    shape, asked = read_shape(find_weights(config.model, config.cache_dir)), config.benchmark
    if shape:
        runs = sum(map(len, planned.values())) + len(planned) * len(asked.seeds) * max(1, len(asked.epochs))
        each = adapter_bytes(config, shape) + FILES_BYTES
        check_space(Path(config.output_dir), NEEDED_BYTES + 2 * checkpoint_bytes(config, shape) + runs * each)


def _plan(planned: Mapping[str, Sequence[Mapping[str, Value]]]) -> Table:
    """The tries that would be made."""
    rows = tuple(
        (method, str(place), " ".join(f"{key}={value}" for key, value in settings.items()) or "defaults")
        for method, own in planned.items()
        for place, settings in enumerate(own)
    )
    return Table("Tries", ("Method", "Try", "Settings"), rows, num_text=3)


@dataclass(frozen=True, eq=False)
class _Runner:
    """Does a benchmark's runs in this process, on the data that it has read once."""

    study: Study
    folder: Path
    shared: Sequence[str]
    config_dir: str | None

    def perform(self, job: Job) -> None:
        """Begin a job's run or go on with it. That it diverged is left in its folder; other errors are raised."""
        folder, given, opened = self.folder / job.folder, [*self.shared, *job.overrides], None
        config = _composed(job, self.shared, self.config_dir)
        if (folder / "run.json").is_file():
            if status_of(folder, job.overrides) == OTHER:
                raise RunError(f"{folder}: this run has other settings; delete the folder, and it is done anew.")
            opened, _ = Run.open(folder)
        study = replace(self.study, config=cast(RunConfig, config))
        notes = fit(study)
        opened = opened or unlearn.begin(study, plan_unlearning(study), Invocation(given, folder))
        # That it diverged is in the run's run.json and log.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, suppress(DivergedError):
            unlearn.complete(study, opened, _silent(nowhere), notes)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # some hundred runs are kept


def _silent(file: Any) -> Display:
    """A display that shows nothing: what a run says is in its log."""
    from rich.console import Console

    return Display(Console(file=file))
