"""A run from prepared data to report. Each function reads top to bottom, one line per stage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duolearn_cli.config.given_target import given_models
from duolearn_cli.pipeline.assessment import assess
from duolearn_cli.pipeline.evaluate import assess_cached, conclude
from duolearn_cli.pipeline.item_files import write_data_files
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.original import original_answers
from duolearn_cli.pipeline.processes import unlearn_in_workers
from duolearn_cli.pipeline.requests import write_requests
from duolearn_cli.pipeline.requirements import check_method
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.pipeline.unlearn_run import unlearn_stage
from duolearn_cli.privacy.account import read_account
from duolearn_cli.report.terminal import Display


def unlearning_run(study: Study, run: Run, display: Display, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Learn target and gold unless cached, unlearn, score all four models and report. Return the metrics."""
    started = time.monotonic()
    lab = Laboratory.open(study, display, run)
    write_data_files(run.folder, lab.study)
    for note in notes:
        display.note(note)
    check_method(lab)
    # Before unlearning: it loads other weights into the one network.
    original = original_answers(lab)
    # Before unlearning: the answers of these are cached, so a run that breaks off later loses none of them.
    assessed = assess_cached(lab, given_models(study.config))
    in_workers = study.config.runtime.num_processes > 1
    unlearned = unlearn_in_workers(lab) if in_workers else unlearn_stage(lab)
    assessed["unlearned"] = assess(unlearned)
    metrics = conclude(lab, assessed, started, original)
    write_requests(lab.study, run.folder / "adapter", metrics)
    return metrics


def evaluation_run(
    study: Study, run: Run, display: Display, models: Sequence[str], adapter: Path | None
) -> dict[str, Any]:
    """Score cached `models`, and `adapter` as the unlearned model, and report. Return the metrics."""
    started = time.monotonic()
    lab = Laboratory.open(study, display, run)
    write_data_files(run.folder, lab.study)
    assessed = assess_cached(lab, models)
    if adapter:
        assessed["unlearned"] = assess(lab.load_from("unlearned", adapter))
    return conclude(lab, assessed, started)


def learning_run(study: Study, run: Run, display: Display, which: str) -> dict[str, Any]:
    """Learn ``target`` or ``gold`` unless cached, copy its adapter to the run folder and report. Return the metrics."""
    started = time.monotonic()
    lab = Laboratory.open(study, display, run)
    write_data_files(run.folder, lab.study)
    assessed = assess_cached(lab, ("base", which))
    adapter = run.folder / "adapter"
    if account := read_account(lab.cache.folder(which)):  # written before the adapter, as everywhere
        adapter.mkdir()
        account.write(adapter)
    lab.load(which).model.save_adapter(adapter)
    return conclude(lab, assessed, started)
