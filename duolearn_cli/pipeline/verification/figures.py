"""Check that answers are consistent, and that metrics.json follows from them: everything is computed again.

Sentences (`evaluation/prose.py`) are compared where this code made the run. Other code may word them differently.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from duolearn_cli.config.given_target import target_is_given
from duolearn_cli.config.provenance import code
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.verdict import verdict_limits
from duolearn_cli.evaluation import document_summary
from duolearn_cli.evaluation.metrics import conflict, recall
from duolearn_cli.evaluation.prose import ADVICE, reworded, without_prose
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.evaluation.summary import Levels
from duolearn_cli.evaluation.verdict import verdict
from duolearn_cli.pipeline.aggregates import Context, aggregates, identity
from duolearn_cli.pipeline.assessment import Written
from duolearn_cli.pipeline.item_files import prediction_rows
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.stored import Stored, read_answers, read_rows, read_stored
from duolearn_cli.pipeline.verification import earlier
from duolearn_cli.pipeline.verification.finding import Finding, as_json, differences, not_checked
from duolearn_cli.pipeline.verification.integrity import METRICS, read_metrics
from duolearn_cli.privacy import account_summary
from duolearn_cli.privacy.account import read_account
from duolearn_cli.report.inputs import read_history

PREDICTIONS, WRITTEN = "predictions.jsonl", "written.jsonl"
# `data` and `change` are compared with `deep`, the others follow from no file.
NOT_AGAIN = ("environment", "harness", "cost", "data", "change")
GUESSES = ("majority", "by_options", "by_place")


def of_answers(folder: Path, config: DictConfig) -> Iterator[Finding]:
    """Check that the parts of each stored answer agree: scores with prediction and loss, texts with their ROUGE."""
    stored = read_stored(folder)
    levels = Levels(stored.levels, config.evaluation.hmta_weights)
    expected = prediction_rows(stored.assessed, levels)
    for number, (row, own) in enumerate(zip(read_rows(folder / PREDICTIONS), expected, strict=True), start=1):
        yield from differences(f"{PREDICTIONS}, line {number}", row, as_json(own), "the order of the answers")
    answers = [row for one in stored.assessed.values() for rows in one.answers.values() for row in rows]
    for number, answer in enumerate(answers, start=1):
        yield from _of_answer(f"{PREDICTIONS}, line {number}", answer)
    if config.requests and (folder / earlier.FILE).is_file():
        for number, (_, _, original) in enumerate(read_answers(folder / earlier.FILE, len(config.requests)), start=1):
            yield from _of_answer(f"{earlier.FILE}, line {number}", original) if original else ()
    texts = [text for one in stored.assessed.values() for text in one.written]
    for number, text in enumerate(texts, start=1):
        yield from _of_text(f"{WRITTEN}, line {number}", text)


def _of_answer(place: str, answer: Answer) -> Iterator[Finding]:
    scores = answer.scores
    if not 0 <= answer.answer < len(scores) or not all(map(math.isfinite, scores)):
        yield Finding(place, "there is no score for the right answer, or a score is not a number")
        return
    recorded = {"prediction": answer.prediction, "nll": answer.nll}
    own = {"prediction": max(range(len(scores)), key=scores.__getitem__), "nll": -scores[answer.answer]}
    yield from differences(place, recorded, own, "its scores")


def _of_text(place: str, one: Written) -> Iterator[Finding]:
    recorded = {name: getattr(one, name) for name in ("rouge_l_recall", "rouge_l_f1", "degenerate")}
    own = {
        "rouge_l_recall": recall.rouge_l_recall(one.text, one.answer),
        "rouge_l_f1": recall.rouge_l_f1(one.text, one.answer),
        "degenerate": recall.degenerate(one.text),
    }
    yield from differences(place, recorded, as_json(own), "its text")


def of_metrics(run: Run, config: DictConfig, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that metrics.json follows from answers, history and account."""
    metrics = read_metrics(run.folder)
    is_own = is_made_here(found)
    try:
        stored = read_stored(run.folder)
        expected = _expected(run, cast(RunConfig, config), stored, metrics)
        about_earlier = list(earlier.of_earlier(run.folder, cast(RunConfig, config), stored.answers, metrics, is_own))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        yield Finding(METRICS, f"fields are missing, or are not what a run writes ({type(error).__name__}: {error})")
        return
    yield from about_earlier
    # The version that made the run. The one that verifies it may be newer.
    expected["duolearn"] = found["code"].get("version")
    not_again = uncheckable(config, earlier.KEYS if config.requests and "requests" not in expected else ())
    own = {name: value for name, value in metrics.items() if name not in not_again}
    own["models"] = _without(config.measures, own["models"])
    source = "what the run's answers and settings"
    if is_own:
        yield from differences(METRICS, own, expected, source)
        return
    if ADVICE not in own:
        yield Finding(METRICS, f"{ADVICE} is missing")
    yield from differences(METRICS, without_prose(own), without_prose(expected), source)
    if places := reworded(own, expected):
        said = f"this version words {len(places)} sentences differently, first {places[0]}; their figures are compared"
        yield not_checked(f"{METRICS}, wording", said)


def is_made_here(found: Mapping[str, Any]) -> bool:
    """Whether a record names the source files of this program, which word every sentence alike."""
    return found["code"].get("source") == code()["source"]


def uncheckable(config: DictConfig, more: Collection[str] = ()) -> set[str]:
    """Keys of metrics.json that do not follow from what is in the run folder; docs/compliance.md lists them."""
    # Of `evaluate`, steps and account are those of another run's adapter.
    of_others = ("geometry", "account") if config.command == "evaluate" else ()
    return {*NOT_AGAIN, *of_others, *(("measures",) if config.measures else ()), *more}


def _without(added: Collection[str], models: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `models` without the user's own measures, because `verify` does not run their code."""
    return {
        name: {**entry, "scores": {key: value for key, value in entry["scores"].items() if key not in added}}
        for name, entry in models.items()
    }


def _expected(run: Run, config: RunConfig, stored: Stored, metrics: Mapping[str, Any]) -> dict[str, Any]:
    labels = metrics["forget_subjects"]
    own = aggregates(stored.assessed, stored_context(stored, config, metrics))
    answers = stored.answers
    own["flags"] = with_remarks(metrics["flags"], own["flags"])
    if near := stored.nearness:
        scores = {name: one.documents for name, one in stored.assessed.items()}
        own["documents"] = document_summary.summarise(scores, answers, near["groups"], near["continuing"])
    found_earlier = earlier.recomputed(run.folder, config, answers)
    about = identity(config, labels, "unlearned" in stored.assessed, run.info.get("stopped"))
    found = {**about, **own, **found_earlier, **_of_steps(run, config, metrics)}
    found["verdict"] = verdict({**metrics, **found}, verdict_limits(config))
    return as_json(found)


def flags_again(run: Run, config: DictConfig) -> list[str]:
    """The warnings of a run in the words of this version; those about data, which come first, as the run has them."""
    stored, metrics = read_stored(run.folder), read_metrics(run.folder)
    context = stored_context(stored, cast(RunConfig, config), metrics)
    return with_remarks(metrics["flags"], aggregates(stored.assessed, context)["flags"])


def with_remarks(recorded: Sequence[str], own: Sequence[str]) -> list[str]:
    """The warnings that a run must have: its recorded ones about data, then its `own`, which follow from answers."""
    return [*remarks(recorded, own), *own]


def remarks(recorded: Sequence[str], own: Sequence[str]) -> Sequence[str]:
    """The recorded warnings about data, which come before those that follow from answers."""
    return recorded[: max(0, len(recorded) - len(own))]


def stored_context(stored: Stored, config: RunConfig, metrics: Mapping[str, Any]) -> Context:
    """Restore the context of the figures from metrics.json, without warnings about data: those need the data."""
    return Context(
        labels=metrics["forget_subjects"],
        levels=Levels(stored.levels, config.evaluation.hmta_weights),
        cut=metrics["floor"]["cut"],
        guesses={name: metrics[name] for name in GUESSES},
        heldout=metrics["data"]["heldout"],
        remarks=(),
        is_given=target_is_given(config),
    )


def _of_steps(run: Run, config: RunConfig, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """`geometry` from history.jsonl and `account` from privacy.json, if the run has them in its own folder."""
    found: dict[str, Any] = {}
    layers = [row["layer"] for row in metrics.get("geometry", {}).get("layers", [])]
    history = read_history(run.folder / "history.jsonl")
    if config.command == "unlearn" and (means := conflict.summarise(history, layers)):
        found["geometry"] = means
    if config.command != "evaluate" and (account := read_account(run.folder / "adapter")):
        found["account"] = account_summary.summarise(account)
    return found
