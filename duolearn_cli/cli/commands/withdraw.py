"""duolearn withdraw: show, and with yes=true run, what takes an earlier request out of a chain."""

from __future__ import annotations

import importlib
import shlex
import shutil
from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import TRUST, Invocation, refuse_changes
from duolearn_cli.cli.jobs import checked_job
from duolearn_cli.errors import RunError
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.withdrawal import Step, Withdrawal, plan_withdrawal
from duolearn_cli.report.terminal import Display

CHANGEABLE = ("run", "request", "verify.chain", "yes", "dry_run", "cache_dir")


def run(config: DictConfig, invocation: Invocation) -> str:
    """Print the commands, and run them after yes=true. Return the folder of the last one, empty after a preview.

    Raises:
        RunError: run or request is not set, or see `plan_withdrawal`.
        UserError: a command refuses.
    """
    refuse_changes(invocation.overrides, CHANGEABLE, "a chain that a request is taken out of")
    if not (config.run and config.request):
        raise RunError("give run=FOLDER, the run that the chain ends with, and request=NAME, the request to take out.")
    display = Display()
    opened, saved = Run.open(Path(config.run))
    plan = plan_withdrawal(opened.folder, saved.after, config.request, config.verify.chain)
    # Trust and the cache are this command's, not those of a recorded command line.
    common = [text for text in invocation.overrides if text.startswith((*TRUST, "cache_dir="))]
    _show(plan, common, display)
    if config.dry_run or not config.yes:
        if plan.steps and not config.dry_run:
            display.note("nothing has been run; yes=true runs these commands one after another")
        return ""
    # An adapter lies in its run folder, a merged model in a folder of its own.
    folder = str(plan.before.parent if plan.before.name == "adapter" else plan.before) if plan.before else ""
    for step in plan.steps:
        folder = _run(step, common, invocation.config_dir, display)
    return folder


def _show(plan: Withdrawal, common: list[str], display: Display) -> None:
    began = plan.before or ("the target model, which has learned everything" if plan.steps else "the model you gave")
    display.note(f"request {plan.number} ({plan.name}) began with {began}")
    if not plan.steps:
        display.note("no request follows it, so there is nothing to do again: that model has not forgotten it")
    for step in plan.steps:
        seconds = f" (took {step.seconds:.0f} s)" if step.seconds is not None else ""
        display.note(f"to do again: {step.name}{seconds}")
        print(shlex.join(["duolearn", step.command, *_words(step, common)]))
    if plan.seconds is not None and plan.steps:
        display.note(f"together about {plan.seconds:.0f} s, as the first time")
    if plan.steps and not plan.before:
        display.note("the first of these learns its target and gold model, unless they are in the cache")


def _words(step: Step, common: list[str]) -> list[str]:
    given = {text.partition("=")[0] for text in common}
    return [*(text for text in step.words if text.partition("=")[0] not in given), *common]


def _run(step: Step, common: list[str], config_dir: str | None, display: Display) -> str:
    """Run a step, or the rest of it, unless an earlier call has finished it. Return its run folder."""
    status, words = step.done_before(), _words(step, common)
    if status == "finished":
        display.note(f"{step.folder} is finished already")
        return str(step.folder)
    if status and step.command == "unlearn":
        display.note(f"{step.folder} was interrupted and goes on")
        words = [f"resume={step.folder}", *(text for text in common if text.startswith(TRUST))]
    elif status:
        # Learning goes into the cache. The folder has nothing to go on with.
        shutil.rmtree(step.folder)
    settings = checked_job(step.command, words, config_dir)
    # Imported by name, as the command line does: the other commands are not needed.
    module = importlib.import_module(f"duolearn_cli.cli.commands.{step.command}")
    return module.run(settings, Invocation(words, None, config_dir))
