"""duolearn audit robustness: attack an unlearned model to recover forgotten knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.audits.robustness.material import Material
from duolearn_cli.cli.commands.common import (
    LIMITS,
    Invocation,
    check_adapter,
    dry_run,
    prepared,
    readable,
    refuse_changes,
    reopen,
    with_changes,
)
from duolearn_cli.cli.commands.rescored import items_note
from duolearn_cli.errors import RunError, present
from duolearn_cli.files import write_json, write_jsonl
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.terminal import Display

# Settings of the command line that an attack uses; all others are those of the attacked run.
CHANGEABLE = ("run", "audit", "evaluation", "runtime", "output_dir", "run_dir", "cache_dir", "dry_run")


def run(config: DictConfig, invocation: Invocation) -> str:
    """Attack the adapter, the target and the gold model of ``run=``, and write robustness.json and .jsonl.

    Return the new run folder.
    """
    folder = Path(config.run)
    config = _configuration_of_run(config, invocation.overrides)
    check_adapter(folder / "adapter")
    display = Display()
    study = prepared(config, display)
    if config.dry_run:
        dry_run(study, display)
        _show_attacks(study, display)
        return ""
    study = readable(study, display)
    if note := items_note(study, folder):
        display.note(note)
    texts = present(study.texts, "what the tokenizer has read")
    from duolearn_cli.audits.robustness.audit import Planned, robustness
    from duolearn_cli.pipeline.laboratory import Laboratory
    from duolearn_cli.report.robustness import remarks, robustness_table, write_page

    planned = Planned.of(study, texts.encoder.tokenizer)
    opened = Run.create(study.config, invocation.overrides, invocation.sweep_folder)
    with opened.active():
        rows, results = robustness(Laboratory.open(study, display, opened), folder / "adapter", planned)
        write_jsonl(opened.folder / "robustness.jsonl", rows)
        write_json(opened.folder / "robustness.json", results)
        write_page(opened.folder, results)
        display.show(robustness_table(results))
        for remark in remarks(results):
            display.note(remark)
    display.note(f"written to {opened.folder}: robustness.md, robustness.json, robustness.jsonl")
    return str(opened.folder)


def _show_attacks(study: Study, display: Display) -> None:
    settings = study.config.audit.robustness
    material = Material.of(study.splits, settings.max_items, study.config.seed)
    display.note(
        f"attacks: {', '.join(settings.attacks)}, on {len(material.forget)} forget and {len(material.retain)} retain "
        f"items, of target, gold and the adapter of {study.config.run}"
    )


def _configuration_of_run(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return the attacked run's configuration with the `CHANGEABLE` settings of the command line.

    Raises:
        RunError: the command line changes other settings, or the run is no finished run of `duolearn unlearn`.
    """
    # Other data or another method would attack something else than what the run measured.
    refuse_changes(overrides, (*CHANGEABLE, *LIMITS), "a run that is attacked")
    opened, saved = reopen(Path(config.run), overrides)
    if saved.command != "unlearn":
        raise RunError(
            f"run={config.run}: nothing was forgotten in a run of `duolearn {saved.command}`; "
            "give a finished run of `duolearn unlearn`."
        )
    if opened.info.get("status") != "finished":
        raise RunError(
            f"run={config.run}: it is {opened.info.get('status')}; finish it with duolearn unlearn resume={config.run}."
        )
    return with_changes(saved, "audit", config, CHANGEABLE, overrides)
