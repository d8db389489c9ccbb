"""duolearn unlearn: the main job."""

from __future__ import annotations

import time
from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.commands.common import Invocation, dry_run, prepared
from duolearn_cli.run import Run


def run(config: DictConfig, invocation: Invocation) -> str:
    """Make target and gold where they are missing, unlearn, evaluate all four; return the run folder."""
    existing = Run.open(Path(config.resume)) if config.resume else None
    if existing:
        config = existing[1]
    study = prepared(config)
    if config.dry_run:
        dry_run(study)
        return ""
    opened = existing[0] if existing else Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    print_mend = f"continue with: duolearn unlearn resume={opened.folder}"
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
            answers = {}
            for name in ("base", "target", "gold"):
                lab.load(name)
                answers[name] = lab.answers(name)
            if config.runtime.num_processes > 1:
                experiment.unlearn_in_workers(lab)
            else:
                experiment.unlearn_stage(lab)
            answers["unlearned"] = lab.answers("unlearned")
            metrics = experiment.conclude(lab, answers, started)
    except KeyboardInterrupt:
        display.note(f"interrupted; {print_mend}")
        raise
    display.show(measures_table(metrics))
    display.note(f"written to {opened.folder}: report.html, metrics.json, adapter/")
    return str(opened.folder)
