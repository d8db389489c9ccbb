"""The evaluation stage of a run: score the models, compute the metrics, write metrics.json and the report."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from duolearn_cli.config.environment import environment
from duolearn_cli.config.given_target import target_is_given
from duolearn_cli.config.verdict import verdict_limits
from duolearn_cli.data.nearness import nearness
from duolearn_cli.evaluation import document_summary, guessing, lm_eval, requests, summary
from duolearn_cli.evaluation.metrics import change, conflict
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.evaluation.verdict import verdict
from duolearn_cli.files import write_json
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.aggregates import Assessments, Context, aggregates, identity
from duolearn_cli.pipeline.answers import evaluation_splits
from duolearn_cli.pipeline.assessment import Assessment, assess
from duolearn_cli.pipeline.earlier_answers import Earlier
from duolearn_cli.pipeline.item_files import write_examples, write_item_files, write_nearness
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.learn import STAGES
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.privacy import account_summary
from duolearn_cli.privacy.account import Account, read_account
from duolearn_cli.report.inputs import read_history
from duolearn_cli.report.page import write_report


def assess_cached(lab: Laboratory, names: Sequence[str]) -> dict[str, Assessment]:
    """Evaluate the models `names` out of ``base``, ``target`` and ``gold``. Uncached models are learned first.

    Their learning curves are copied into the history of the run.
    """
    assessed: dict[str, Assessment] = {}
    for name in names:
        assessed[name] = assess(lab.load(name))
        if name in STAGES:
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
    run, study = lab.run, lab.study
    lab.display.stage("Measure and report")
    learned = [name for name in STAGES if name in assessed]
    elsewhere = [warning for name in learned if (warning := lab.cache.environment_warning(name, lab.model.device))]
    named = [(one.name, one.facts) for one in study.requests]
    answers = {name: one.answers for name, one in assessed.items()}
    context = context_of(study, [*elsewhere, *requests.came_back_by_request(named, answers)])
    write_item_files(run.folder, assessed, context.levels)
    write_examples(run.folder, study, assessed)
    metrics = {
        **identity(study.config, study.target.labels, "unlearned" in assessed, run.info.get("stopped")),
        **aggregates(assessed, context),
        "environment": {"here": environment(lab.model.device)} | {name: lab.cache.made_in(name) for name in learned},
        "harness": general_ability(lab, "unlearned" in assessed),
        "cost": cost(lab, started),
        "data": study.summary(),
    }
    if "unlearned" in assessed:
        metrics |= what_unlearning_did(lab)
    if study.documents.learned:
        metrics["documents"] = of_documents(lab, assessed)
    if study.requests:
        earlier = Earlier(named, original or {})
        metrics |= earlier.figures(answers)
        earlier.write(run.folder, assessed["unlearned"].answers)
    if account := account_of(lab):
        metrics["account"] = account_summary.summarise(account)
    # Last: it judges by the account, too.
    metrics["verdict"] = verdict(metrics, verdict_limits(study.config))
    write_json(run.folder / "metrics.json", metrics)
    if study.config.evaluation.report:
        write_report(run.folder)
    return metrics


def of_documents(lab: Laboratory, assessed: Assessments) -> dict[str, Any]:
    """Return the part `documents` of metrics.json, and write nearness.json, from which it can be computed again."""
    study, splits = lab.study, lab.study.splits
    groups = nearness((*splits.retain_train, *splits.retain_heldout), splits.forget_train, study.documents.learned)
    continuing = {item.id for item in study.items if item.continues}
    write_nearness(lab.run.folder, groups, continuing)
    answers = {name: one.answers for name, one in assessed.items()}
    scores = {name: one.documents for name, one in assessed.items()}
    return document_summary.summarise(scores, answers, groups, continuing)


def context_of(study: Study, elsewhere: Sequence[str] = ()) -> Context:
    """Return what the figures need beside answers. `elsewhere` are warnings of models from other environments."""
    return Context(
        labels=study.target.labels,
        levels=summary.Levels(study.item_levels(), study.config.evaluation.hmta_weights),
        cut=guessing.cut(evaluation_splits(study)),
        guesses=without_knowledge(study),
        heldout=study.summary()["heldout"],
        remarks=[*study.warnings(), *elsewhere],
        config=study.config,
        is_given=target_is_given(study.config),
    )


def without_knowledge(study: Study) -> dict[str, Any]:
    """Return how well the items can be answered without knowledge: ``majority``, ``by_options`` and ``by_place``.

    See `evaluation.guessing`.
    """
    items = evaluation_splits(study)
    # Only the letter prompt shows the options in an order that could give the answer away.
    by_place = guessing.by_place(items) if study.config.prompt.form == "letter" else {}
    return {"majority": guessing.majority(items), "by_options": guessing.by_options(items), "by_place": by_place}


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
