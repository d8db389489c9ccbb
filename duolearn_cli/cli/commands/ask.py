"""duolearn ask: a question of one's own to the models of a run, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, check_adapter, prepared, refuse_changes, reopen, with_changes
from duolearn_cli.config.following import ASKED
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import RunError
from duolearn_cli.pipeline.record import model_files
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.tables import Table
from duolearn_cli.report.terminal import Display

if TYPE_CHECKING:
    from duolearn_cli.pipeline.asking import Question, Reply

CHANGEABLE = ("run", "ask", "runtime", "cache_dir", "dry_run")


def run(config: DictConfig, invocation: Invocation) -> str:
    """Print what each model answers. Nothing is learned, and nothing is written.

    Raises:
        RunError: run or question is missing, it is no run of `duolearn unlearn`, or a model is no longer cached.
    """
    refuse_changes(invocation.overrides, CHANGEABLE, "a run whose models are asked")
    if not config.run or not config.ask.question:
        missing = "which run? Give run=FOLDER" if not config.run else "which question? Give it in quotes"
        raise RunError(f'{missing}: duolearn ask run=FOLDER "QUESTION".')
    opened, saved = reopen(Path(config.run), invocation.overrides, "unlearn", invocation.config_dir, purged=True)
    # A run remembers its cache, unless the command line names another one.
    if not any(text.startswith("cache_dir=") for text in invocation.overrides):
        config.cache_dir = saved.cache_dir
    settings = with_changes(saved, "ask", config, CHANGEABLE, invocation.overrides)
    adapters = adapters_of(opened, cast(RunConfig, settings), config.ask.models)
    display = Display()
    if config.dry_run:
        display.note(f"would ask {', '.join(adapters)}: {config.ask.question}")
        return ""
    study = prepared(settings, display)
    display.stage("Start PyTorch")
    from duolearn_cli.pipeline.asking import Question, ask
    from duolearn_cli.pipeline.laboratory import Laboratory

    question = Question(config.ask.question, tuple(config.ask.options), config.ask.new_tokens)
    lab = Laboratory.open(study, display, Run(Path()), is_main=False)
    display.show(replies_table(question, list(ask(lab, adapters, question))))
    return ""


def adapters_of(opened: Run, config: RunConfig, models: Sequence[str]) -> dict[str, Path | None]:
    """By model the folder of its adapter, None for the base, in the order of `ASKED`.

    Raises:
        RunError: the run has no adapter, or target or gold are gone from the cache. To learn them again here would ask
            models that the run did not have.
    """
    found: dict[str, Path | None] = {"base": None}
    found |= {name: path.parent for name, path in model_files(opened.info, config).items()}
    if "unlearned" in models:
        check_adapter(opened.folder / "adapter")
        found["unlearned"] = opened.folder / "adapter"
    if missing := [name for name in ASKED if name in models and name not in found]:
        left = [name for name in ASKED if name in found or name == "unlearned"]
        raise RunError(
            f"{' and '.join(missing)} of {opened.folder}: no longer in the cache. `duolearn evaluate "
            f"run={opened.folder}` learns such models again; the others can be asked: ask.models=[{','.join(left)}]."
        )
    return {name: found[name] for name in ASKED if name in models}


def replies_table(question: Question, replies: Sequence[Reply]) -> Table:
    """One row for each model: its words, or the probability of each option with the most likely one marked."""
    if not question.options:
        rows = tuple((reply.model, reply.text or "(nothing)") for reply in replies)
        return Table(question.text, ("Model", "Answer"), rows, num_text=2)
    title = f"{question.text} (how likely each option is beside the others, in %; → the most likely)"
    return Table(title, ("Model", *question.options), tuple(map(_row, replies)))


def _row(reply: Reply) -> tuple[str, ...]:
    best = max(reply.chances)
    return (reply.model, *(f"{'→ ' * (chance == best)}{100 * chance:.1f}" for chance in reply.chances))
