"""The stages of a run around the unlearning: score the models, measure, write everything down."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from duolearn_cli import __version__, assessment, flags, guessing, harness, summary
from duolearn_cli.adapters import ADAPTER_FILE
from duolearn_cli.assessment import Assessment, assess
from duolearn_cli.components import dataset_name
from duolearn_cli.environment import environment
from duolearn_cli.metrics import change, conflict
from duolearn_cli.places import Place
from duolearn_cli.privacy import told
from duolearn_cli.privacy.account import Account, read_account
from duolearn_cli.protocol import STAGES, Laboratory
from duolearn_cli.report.inputs import read_history
from duolearn_cli.report.page import write_report
from duolearn_cli.run import Run, write_json, write_jsonl
from duolearn_cli.weights import find_weights

# By model.
Assessments = dict[str, Assessment]


def evaluate(lab: Laboratory, names: Sequence[str]) -> Assessments:
    """Assess base, target or gold, each learned first where the cache has none; the last one stays in place."""
    found: Assessments = {}
    for name in names:
        lab.load(name)
        # A fresh adapter adds exact zeros: the base model says the same without it, in two thirds of the time.
        with lab.model.without_adapter() if name == "base" else nullcontext():
            found[name] = assess(lab, name)
        if name in STAGES:
            lab.run.forget_history_after(STAGES[name], 0)
            for line in lab.history(name):
                lab.run.record(line)
    return found


def conclude(lab: Laboratory, assessed: Assessments, started: float) -> dict[str, Any]:
    """Write predictions, metrics and report; return the metrics."""
    answers = {name: one.answers for name, one in assessed.items()}
    config, run, study = lab.study.config, lab.run, lab.study
    lab.display.stage("Measure and report")
    levels = summary.Levels(study.item_levels(), config.evaluation.hmta_weights)
    write_item_files(run.folder, assessed, levels)
    models = summary.summarise(answers, study.target.labels, levels)
    for name, one in assessed.items():
        models[name] |= assessment.summarise(one)
    chance, check = summary.mean_chance(answers), summary.membership_check(answers)
    items = lab.evaluation_splits()
    common, data = guessing.majority(items), study.summary()
    if (of_forget := common.get("forget")) and of_forget["above_chance"]:
        for name, one in guessing.above_majority(answers, of_forget["value"]).items():
            models[name]["scores"]["forgetting_above_majority"] = one
    asked = flags.Asked(data["heldout"] or "phrasings", summary.mean_chance(answers, "retain"), common)
    raised = flags.flags(models, chance, check, asked)
    learned = [name for name in STAGES if name in models]
    elsewhere = [warning for name in learned if (warning := lab.elsewhere(name))]
    metrics = {
        "schema": 1,
        "duolearn": __version__,
        "forget": study.target.name,
        "forget_subjects": sorted(study.target.labels),
        "model": config.model.name,
        "dataset": dataset_name(config.dataset),
        "method": str(config.method._target_).rpartition(".")[2] if "unlearned" in models else config.command,
        "seed": config.seed,
        "privacy": config.privacy.name,
        "part": config.evaluation.part,
        "stopped": run.info.get("stopped"),
        "models": models,
        "chance": chance,
        "majority": common,
        "flags": [*study.warnings(), *elsewhere, *(flag.sentence for flag in raised)],
        "flagged": flags.flagged(raised),
        "membership_check": check,
        "roc": summary.roc_curves(answers),
        "environment": {"here": environment(lab.model.device)} | {name: lab.made_in(name) for name in learned},
        "harness": general_ability(lab, "unlearned" in models),
        "cost": {
            "seconds": time.monotonic() - started,
            "trainable_parameters": lab.model.num_adapter_parameters,
            "trainable_fraction": lab.model.num_adapter_parameters / lab.model.num_base_parameters,
            "reached_fraction": lab.model.reach.share,
            "peak_memory_bytes": peak_memory(),
        },
        "data": data,
    }
    if "unlearned" in models:
        metrics |= what_unlearning_did(lab)
    if account := account_of(lab):
        metrics["account"] = told.summarise(account)
    write_json(run.folder / "metrics.json", metrics)
    if config.evaluation.report:
        write_report(run.folder)
    return metrics


def general_ability(lab: Laboratory, has_adapter: bool) -> dict[str, Any]:
    """The command of lm-evaluation-harness for the model that the run is about, and the results that were given."""
    config = lab.study.config
    weights = find_weights(config.model, config.cache_dir)
    found = harness.command(weights.location, weights.arguments(), adapter_of(lab) if has_adapter else None)
    given = config.evaluation.lm_eval
    return {"command": found, "results": harness.read_results(Path(given)) if given else []}


def write_item_files(folder: Path, assessed: Assessments, levels: summary.Levels) -> None:
    """predictions.jsonl, written.jsonl and plain.jsonl: every figure of metrics.json can be made from them again."""
    pairs = summary.member_pairs({name: one.answers for name, one in assessed.items()})
    number = {fact: i for i, pair in enumerate(pairs) for fact in pair}
    rows = [
        {"model": model, "split": split, **answer.as_dict(), "correct": bool(answer.correct)}
        | {"level": levels.of_item.get(answer.id)}
        | {"pair": number.get(answer.fact) if split in ("forget_train", "forget_unseen") else None}
        for model, one in assessed.items()
        for split, found in one.answers.items()
        for answer in found
    ]
    write_jsonl(folder / "predictions.jsonl", rows)
    for name in ("written", "plain"):
        rows = [{"model": model, **asdict(row)} for model, one in assessed.items() for row in getattr(one, name)]
        write_jsonl(folder / f"{name}.jsonl", rows)


def what_unlearning_did(lab: Laboratory) -> dict[str, Any]:
    """`change` and `geometry` of metrics.json, each only where the files are there that tell it.

    A run that is scored again keeps adapter, history and the name of its target in its own folder.
    """
    config, found = lab.study.config, {}
    run = Run(Path(config.run)) if config.run else lab.run
    before = lab.cache / "models" / str(run.info.get("target_model")) / ADAPTER_FILE
    after, history = run.folder / "adapter" / ADAPTER_FILE, run.folder / "history.jsonl"
    if before.is_file() and after.is_file():
        changes = change.read_changes(before, after, lab.model.experts)
        found["change"] = change.summarise(changes, lab.model.num_base_parameters)
    layers = sorted({Place.of(name).layer for name, _ in lab.model.named_adapter})
    if means := conflict.summarise(read_history(history), layers):
        found["geometry"] = means
    return found


def account_of(lab: Laboratory) -> Account | None:
    """The account of the model that the run is about: that which it left, or that of the adapter it scored."""
    return read_account(adapter_of(lab))


def adapter_of(lab: Laboratory) -> Path:
    """The adapter that the run is about: the scored run's, the one that `evaluate adapter=` scores, else its own.

    To every other command `adapter` is the model to begin with.
    """
    config = lab.study.config
    if config.run:
        return Path(config.run) / "adapter"
    return Path(config.adapter) if config.adapter and config.command == "evaluate" else lab.run.folder / "adapter"


def peak_memory() -> int:
    """Peak memory of this process in bytes: of the device on CUDA, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def write_data_files(lab: Laboratory) -> None:
    """Rejected rows, doubtful labels and duplicates, so that nothing disappears silently; what the target covers."""
    study = lab.study
    if study.loaded.rejected:
        write_jsonl(lab.run.folder / "rejected.jsonl", [asdict(row) for row in study.loaded.rejected])
    if doubts := (*study.filled, *study.request.doubts):
        write_jsonl(lab.run.folder / "doubts.jsonl", [asdict(doubt) for doubt in doubts])
    write_json(lab.run.folder / "target.json", study.coverage().as_dict())
    if study.duplicates:
        write_jsonl(lab.run.folder / "duplicates.jsonl", [asdict(pair) for pair in study.duplicates])
