"""duolearn evaluate: score a finished run, an adapter or the plain base model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.commands.common import Invocation, check_adapter, dry_run, perform, prepared, reopen
from duolearn_cli.errors import RunError
from duolearn_cli.run import Run

if TYPE_CHECKING:
    from duolearn_cli.experiment import Assessments
    from duolearn_cli.protocol import Laboratory

# What a run that is scored again takes from the command line; all else is the run's own.
CHANGEABLE = ("run", "evaluation", "runtime", "output_dir", "cache_dir", "dry_run")


def run(config: DictConfig, invocation: Invocation) -> str:
    """Score `run`'s adapter beside base, target and gold; `adapter` beside base; or base alone, into a new folder."""
    only_plan, scored = config.dry_run, bool(config.run)
    adapter = Path(config.run) / "adapter" if scored else Path(config.adapter) if config.adapter else None
    if scored:
        config = _configuration_of_run(config, invocation.overrides)
    if adapter:
        check_adapter(adapter)
    study = prepared(config)
    if only_plan:
        dry_run(study)
        return ""

    def stages(lab: Laboratory) -> Assessments:
        from duolearn_cli import experiment
        from duolearn_cli.assessment import assess

        found = experiment.evaluate(lab, ("base", "target", "gold") if scored else ("base",))
        if adapter:
            lab.model.load_adapter(adapter)
            found["unlearned"] = assess(lab, "unlearned")
        return found

    return perform(study, Run.create(study.config, invocation.overrides, invocation.sweep_folder), stages)


def _configuration_of_run(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    allowed = (*(f"{key}{end}" for key in CHANGEABLE for end in "=."), "plugins=", "model.trust_remote_code=")
    changes = [text for text in overrides if not text.startswith(allowed)]
    if changes:
        raise RunError(
            f"a run that is scored again keeps its own configuration; leave out: {' '.join(changes)}. "
            f"What may change: {', '.join(CHANGEABLE)}."
        )
    _, saved = reopen(Path(config.run), overrides)
    return OmegaConf.merge(saved, {"command": "evaluate"}, {key: config[key] for key in CHANGEABLE})  # type: ignore[return-value]
