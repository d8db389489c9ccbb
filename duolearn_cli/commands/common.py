"""What several commands share: how they were called, the cheap checks, the dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from omegaconf import DictConfig

from duolearn_cli.config import RunConfig
from duolearn_cli.run import check_space
from duolearn_cli.study import Study, prepare
from duolearn_cli.weights import find_weights

# Checkpoints, adapters and per-item results of a small model; large adapters are a small part of their model.
NEEDED_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a command was called: its overrides, and the folder that a sweep made for this job."""

    overrides: Sequence[str] = ()
    sweep_folder: Path | None = None


def prepared(config: DictConfig) -> Study:
    """Check data, hierarchy, forget target, weights and disk space: all that costs no model."""
    study = prepare(cast(RunConfig, config))
    find_weights(study.config.model, study.config.cache_dir)
    check_space(Path(config.output_dir), NEEDED_BYTES)
    return study


def dry_run(study: Study) -> None:
    """Print what the run would do."""
    from duolearn_cli.plan import plan
    from duolearn_cli.report.terminal import Display

    Display().show(plan(study))
