"""The evaluation stage of a run: score the models, compute the metrics, write metrics.json and the report."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.environment import environment
from duolearn_cli.config.version import __version__
from duolearn_cli.data.earlier import came_back
from duolearn_cli.evaluation import guessing, lm_eval, members, requests, summary, warnings
from duolearn_cli.evaluation.likeness import likeness
from duolearn_cli.evaluation.measures.added import add_measures
from duolearn_cli.evaluation.metrics import change, conflict
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.files import write_json
from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.lora import ADAPTER_FILE
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline import assessment
from duolearn_cli.pipeline.answers import evaluation_splits
from duolearn_cli.pipeline.assessment import Assessment, assess
from duolearn_cli.pipeline.item_files import write_item_files
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.learn import STAGES
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.privacy import account_summary
from duolearn_cli.privacy.account import Account, read_account
from duolearn_cli.report.inputs import read_history
from duolearn_cli.report.page import write_report

# By name of the model.
Assessments = dict[str, Assessment]


def assess_cached(lab: Laboratory, names: Sequence[str]) -> Assessments:
    """Evaluate the models `names` out of ``base``, ``target`` and ``gold``. Uncached models are learned first.

    Their learning curves are copied into the history of the run.
    """
    assessed: Assessments = {}
    for name in names:
        assessed[name] = assess(lab.load(name))
        if name in STAGES:
            # A resumed run comes here again. Without this its history would hold the learning curve twice.
            lab.run.forget_history_after(STAGES[name], 0)
            for line in lab.cache.history(name):
                lab.run.record(line)
    return assessed


def conclude(
    lab: Laboratory, assessed: Assessments, started: float, original: Mapping[str, Answer] | None = None
) -> dict[str, Any]:
    """Write predictions, metrics and report of a run. Return the metrics.

    Args:
        started: the value of `time.monotonic` at the beginning of the run.
        original: in a chain of requests, the answers by item id of the target that it began with.
    """
    answers = {name: one.answers for name, one in assessed.items()}
    run, study = lab.run, lab.study
    lab.display.stage("Measure and report")
    levels = summary.Levels(study.item_levels(), study.config.evaluation.hmta_weights)
    write_item_files(run.folder, assessed, levels)
    # Before `summarise`: chance-corrected forgetting and HMTA are measured from this floor, which may be gold's answers
    # instead of 1 / number of options (docs/metrics.md, "Chance").
    floor = guessing.floor(answers, evaluation_splits(lab.study))
    models = summary.summarise(answers, study.target.labels, levels, floor.of_item)
    guesses = without_knowledge(lab)
    added = add_measures(study.config, answers, models)
    for name, one in assessed.items():
        models[name] |= assessment.summarise(one)
    if alike := likeness(answers):
        models["unlearned"]["gold"]["forget"]["likeness"] = alike
    if (of_forget := guesses["majority"].get("forget")) and of_forget["above_chance"]:
        for name, one in guessing.above_majority(answers, of_forget["value"]).items():
            models[name]["scores"]["forgetting_above_majority"] = one
    chance, check, data = summary.mean_chance(answers), members.membership_check(answers), study.summary()
    retain_chance = summary.mean_chance(answers, "retain")
    asked = warnings.Context(data["heldout"] or "phrasings", retain_chance, floor=floor.as_dict(), **guesses)
    raised, returned = warnings.flags(models, chance, check, asked), came_back(models)
    learned = [name for name in STAGES if name in models]
    elsewhere = [warning for name in learned if (warning := lab.cache.environment_warning(name, lab.model.device))]
    metrics = {
        **identity(lab, "unlearned" in models),
        "models": models,
        **added,
        "chance": chance,
        "floor": floor.as_dict(),
        **guesses,
        "flags": [*study.warnings(), *elsewhere, *(flag.sentence for flag in raised), *returned.values()],
        "flagged": [*warnings.flagged(raised), *returned],
        "membership_check": check,
        "roc": members.roc_curves(answers),
        "environment": {"here": environment(lab.model.device)} | {name: lab.cache.made_in(name) for name in learned},
        "harness": general_ability(lab, "unlearned" in models),
        "cost": cost(lab, started),
        "data": data,
    }
    if "unlearned" in models:
        metrics |= what_unlearning_did(lab)
    if study.requests:
        named = [(one.name, one.facts) for one in study.requests]
        metrics["requests"] = requests.summarise(named, answers, original or {})
        metrics["kept_of_original"] = requests.kept_of_original(answers["unlearned"], original or {})
    if account := account_of(lab):
        metrics["account"] = account_summary.summarise(account)
    # The report is made from this file alone, so that `write_report` can make it again without a model.
    write_json(run.folder / "metrics.json", metrics)
    if study.config.evaluation.report:
        write_report(run.folder)
    return metrics


def without_knowledge(lab: Laboratory) -> dict[str, Any]:
    """Return how well the items can be answered without knowledge: ``majority``, ``by_options`` and ``by_place``.

    See `evaluation.guessing`.
    """
    items = evaluation_splits(lab.study)
    # Only the letter prompt shows the options in an order that could give the answer away.
    by_place = guessing.by_place(items) if lab.study.config.prompt.form == "letter" else {}
    return {"majority": guessing.majority(items), "by_options": guessing.by_options(items), "by_place": by_place}


def identity(lab: Laboratory, is_unlearned: bool) -> dict[str, Any]:
    """Return what identifies a run in metrics.json: forget target, model, data, method, seed."""
    config, target = lab.study.config, lab.study.target
    return {
        "schema": 1,
        "duolearn": __version__,
        "forget": target.name,
        "forget_subjects": sorted(target.labels),
        "model": config.model.name,
        "dataset": dataset_name(config.dataset),
        "method": str(config.method._target_).rpartition(".")[2] if is_unlearned else config.command,
        "seed": config.seed,
        "privacy": config.privacy.name,
        "part": config.evaluation.part,
        "stopped": lab.run.info.get("stopped"),
    }


def cost(lab: Laboratory, started: float) -> dict[str, Any]:
    """Return seconds since `started`, peak memory (bytes), and the number and share of trained parameters."""
    return {
        "seconds": time.monotonic() - started,
        "trainable_parameters": lab.model.num_adapter_parameters,
        "trainable_fraction": lab.model.num_adapter_parameters / lab.model.num_base_parameters,
        "reached_fraction": lab.model.reach.share,
        "peak_memory_bytes": peak_memory(),
    }


def general_ability(lab: Laboratory, has_adapter: bool) -> dict[str, Any]:
    """Return the lm-evaluation-harness command for the run's model, and the results in ``evaluation.lm_eval``."""
    config = lab.study.config
    weights = find_weights(config.model, config.cache_dir)
    command = lm_eval.command(weights.location, weights.arguments(), adapter_of(lab) if has_adapter else None)
    results = config.evaluation.lm_eval
    return {"command": command, "results": lm_eval.read_results(Path(results)) if results else []}


def what_unlearning_did(lab: Laboratory) -> dict[str, Any]:
    """Return the parts `change` and `geometry` of metrics.json, as far as the run has the files that they need."""
    config, parts = lab.study.config, {}
    # `evaluate run=` scores another run: adapter, history and the name of the target are in that run's folder.
    run = Run(Path(config.run)) if config.run else lab.run
    before = lab.cache.root / "models" / str(run.info.get("target_model")) / ADAPTER_FILE
    after, history = run.folder / "adapter" / ADAPTER_FILE, run.folder / "history.jsonl"
    if before.is_file() and after.is_file():
        changes = change.read_changes(before, after, lab.model.experts)
        parts["change"] = change.summarise(changes, lab.model.num_base_parameters)
    layers = sorted({Place.of(name).layer for name, _ in lab.model.named_adapter})
    if means := conflict.summarise(read_history(history), layers):
        parts["geometry"] = means
    return parts


def account_of(lab: Laboratory) -> Account | None:
    """Return the privacy account of the adapter that the run made or scores, None if it has none."""
    return read_account(adapter_of(lab))


def adapter_of(lab: Laboratory) -> Path:
    """Return the folder of the adapter that the run made or scores.

    That is the adapter of ``run=``, or of ``adapter=`` in `evaluate`, or else the run's own. In every other command
    ``adapter=`` names the model that unlearning begins with.
    """
    config = lab.study.config
    if config.run:
        return Path(config.run) / "adapter"
    return Path(config.adapter) if config.adapter and config.command == "evaluate" else lab.run.folder / "adapter"


def peak_memory() -> int:
    """Return the peak memory of this process in bytes: on the device with CUDA, else the resident set."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource

    # macOS reports ru_maxrss in bytes, Linux in KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
