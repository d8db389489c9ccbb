"""The common course of learn and retrain."""

from __future__ import annotations

import time

from omegaconf import DictConfig

from duolearn_cli.commands.common import Invocation, dry_run, prepared
from duolearn_cli.run import Run


def learn(config: DictConfig, invocation: Invocation, which: str) -> str:
    """Make the ``target`` or ``gold`` model or take it from the cache, evaluate it, copy its adapter to a folder."""
    study = prepared(config)
    if config.dry_run:
        dry_run(study)
        return ""
    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    started = time.monotonic()

    from duolearn_cli import experiment
    from duolearn_cli.protocol import Laboratory
    from duolearn_cli.report.tables import measures_table
    from duolearn_cli.report.terminal import Display

    display = Display()
    with opened.active():
        lab = Laboratory.open(study, display, opened)
        experiment.write_data_files(lab)
        answers = experiment.evaluate(lab, ("base", which))
        lab.model.save_adapter(opened.folder / "adapter")
        metrics = experiment.conclude(lab, answers, started)
    display.show(measures_table(metrics))
    display.note(f"written to {opened.folder}: report.html, metrics.json, adapter/")
    return str(opened.folder)
