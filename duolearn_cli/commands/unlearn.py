"""duolearn unlearn: the main job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.commands.common import Invocation, dry_run, prepared
from duolearn_cli.errors import RunError
from duolearn_cli.run import Run


def run(config: DictConfig, invocation: Invocation) -> str:
    """Make target and gold where they are missing, unlearn, evaluate all four; return the run folder."""
    existing = Run.open(Path(config.resume)) if config.resume else None
    if existing:
        _refuse_changes(invocation.overrides)
        config = existing[1]
    study = prepared(config)
    if config.dry_run:
        dry_run(study)
        return ""
    opened = existing[0] if existing else Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    mend = f"continue with: duolearn unlearn resume={opened.folder}"
    started = time.monotonic()

    from duolearn_cli import experiment
    from duolearn_cli.protocol import Laboratory
    from duolearn_cli.report.tables import measures_table
    from duolearn_cli.report.terminal import Display

    display = Display()
    try:
        with opened.active():
            lab = Laboratory.open(study, display, opened)
            experiment.write_data_files(lab)
            answers = experiment.evaluate(lab, ("base", "target", "gold"))
            if config.runtime.num_processes > 1:
                experiment.unlearn_in_workers(lab)
            else:
                experiment.unlearn_stage(lab)
            answers["unlearned"] = lab.answers("unlearned")
            metrics = experiment.conclude(lab, answers, started)
    except KeyboardInterrupt:
        display.note(f"interrupted; {mend}")
        raise
    display.show(measures_table(metrics))
    display.note(f"written to {opened.folder}: report.html, metrics.json, adapter/")
    return str(opened.folder)


def _refuse_changes(overrides: Sequence[str]) -> None:
    changes = [text for text in overrides if not text.startswith(("resume=", "dry_run="))]
    if changes:
        raise RunError(f"a resumed run keeps its own configuration; leave out: {' '.join(changes)}.")
