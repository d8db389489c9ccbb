"""Score the models of a run again, and compare with its answers. Costs about what the run's evaluation did."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

from omegaconf import DictConfig

from duolearn_cli.config.environment import environment
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.evaluation.metrics import change
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.pipeline import earlier_answers, keys, record
from duolearn_cli.pipeline.aggregates import aggregates
from duolearn_cli.pipeline.assessment import Assessment, Written, assess
from duolearn_cli.pipeline.evaluate import context_of
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.stored import Stored, read_stored
from duolearn_cli.pipeline.study import Study
from duolearn_cli.pipeline.verification.figures import PREDICTIONS, WRITTEN, is_made_here, remarks, stored_context
from duolearn_cli.pipeline.verification.finding import Finding, as_json, differences, not_checked
from duolearn_cli.pipeline.verification.integrity import METRICS, read_metrics, read_record
from duolearn_cli.report.terminal import Display

# By precision, how much log-probabilities may differ from those of the run on other threads and processors, in nats.
TOLERANCE = {"fp32": 2e-3, "bf16": 0.15}
OWN_ADAPTER = {"unlearn": "unlearned", "learn": "target", "retrain": "gold"}


def of_models(run: Run, config: DictConfig, display: Display) -> Iterator[Finding]:
    """Check that data and models give the run's answers again, and the figures that follow from the items alone."""
    study = prepare(cast(RunConfig, config))
    # Only a main process writes into the run folder, and a check must leave the folder as it is.
    lab = Laboratory.open(study, display, run, is_main=False)
    if (now := keys.data_hash(lab.study)) != run.info.get("data"):
        yield Finding("data", f"the items of the splits are not those of the run ({now}, not {run.info.get('data')})")
    answered = read_stored(run.folder)
    yield from _of_items(lab.study, run.folder, answered)
    yield from _of_change(lab, run)
    yield from _of_requests(lab.study, run.folder)
    stored = answered.assessed
    adapters = adapters_of(run, lab.study.config)
    with tempfile.TemporaryDirectory() as scratch:
        # The user's cache holds answers too, but no record covers those.
        lab.cache = replace(lab.cache, root=Path(scratch))
        for name, recorded in stored.items():
            if name == "gold" and lab.study.config.origin:
                yield not_checked(f"{PREDICTIONS} ({name})", "it lies on another base than the run's merged model")
            elif name == "base" or name in adapters:
                yield from _of_model(name, recorded, _scored(lab, name, adapters), lab)
            else:
                yield not_checked(f"{PREDICTIONS} ({name})", "its adapter is not on this machine")


def adapters_of(run: Run, config: RunConfig) -> dict[str, Path]:
    """The folder of each model's adapter, as far as they exist."""
    here = {name: path.parent for name, path in record.model_files(run.info, config).items()}
    if "scored" in here:
        # A run of `evaluate` records the adapter as `scored`, and its answers as those of `unlearned`.
        here["unlearned"] = here.pop("scored")
    own = OWN_ADAPTER.get(config.command)
    return here | ({own: run.folder / "adapter"} if own else {})


def _scored(lab: Laboratory, name: str, adapters: Mapping[str, Path]) -> Assessment:
    return assess(lab.load(name) if name == "base" else lab.load_from(name, adapters[name]))


def _of_items(study: Study, folder: Path, stored: Stored) -> Iterator[Finding]:
    """Check the figures that follow from the items alone."""
    metrics, context = read_metrics(folder), context_of(study)
    found = {name: metrics.get(name) for name in context.guesses}
    found |= {"cut": metrics["floor"]["cut"], "data": metrics.get("data"), "labels": metrics["forget_subjects"]}
    expected = {**context.guesses, "cut": context.cut, "data": study.summary(), "labels": sorted(context.labels)}
    yield from differences(METRICS, found, as_json(expected), "the data")
    # Where other code made the run they are counted, not compared: it may word them differently.
    raised = aggregates(stored.assessed, stored_context(stored, study.config, metrics))["flags"]
    about_data, told = study.warnings(), remarks(metrics["flags"], raised)
    lacking = [text for text in about_data if text not in told]
    if lacking and (len(told) < len(about_data) or is_made_here(read_record(folder))):
        missing = lacking[0]
        yield Finding(METRICS, f"flags lacks a warning about the data: {missing}")


def _of_requests(study: Study, folder: Path) -> Iterator[Finding]:
    """Check which facts original.jsonl gives to which earlier request."""
    if not study.requests or not (folder / earlier_answers.FILE).is_file():
        return
    found = earlier_answers.read_earlier(folder, [one.name for one in study.requests])
    if not all(facts <= one.facts for (_, facts), one in zip(found.requests, study.requests, strict=True)):
        yield Finding(earlier_answers.FILE, "it gives a fact to an earlier request that did not forget it")
    yield not_checked(earlier_answers.FILE, "the target that the chain began with is not scored again")


def _of_change(lab: Laboratory, run: Run) -> Iterator[Finding]:
    """Check what unlearning changed in the weights, if the target is still in the cache."""
    before = record.model_files(run.info, lab.study.config).get("target")
    after = run.folder / "adapter" / ADAPTER_FILE
    if lab.study.config.command != "unlearn" or before is None:
        return
    changes = change.read_changes(before, after, lab.model.experts)
    expected = as_json(change.summarise(changes, lab.model.num_base_parameters))
    yield from differences(
        METRICS, {"change": read_metrics(run.folder).get("change")}, {"change": expected}, "adapters"
    )


def _of_model(name: str, recorded: Assessment, now: Assessment, lab: Laboratory) -> Iterator[Finding]:
    tolerance = TOLERANCE.get(lab.model.precision, max(TOLERANCE.values()))
    if [*recorded.answers] != [*now.answers]:
        yield Finding(PREDICTIONS, f"{name} answers the splits {[*recorded.answers]}, scored again {[*now.answers]}")
        return
    for split, rows in recorded.answers.items():
        yield from _of_split(f"{PREDICTIONS} ({name}, {split})", rows, now.answers[split], tolerance)
    yield from _of_plain(name, recorded, now, tolerance)
    yield from _of_written(name, recorded.written, now.written, lab)


def _of_split(place: str, recorded: Sequence[Answer], now: Sequence[Answer], tolerance: float) -> Iterator[Finding]:
    if [(row.id, row.answer) for row in recorded] != [(row.id, row.answer) for row in now]:
        yield Finding(place, "these are not the items of the data, or not their right answers")
        return
    for one, again in zip(recorded, now, strict=True):
        gap = max(abs(a - b) for a, b in zip(one.scores, again.scores, strict=True))
        if gap > tolerance:
            yield Finding(place, f"{one.id}: the model's scores are {gap:.3g} nats from those in the run folder")


def _of_plain(name: str, recorded: Assessment, now: Assessment, tolerance: float) -> Iterator[Finding]:
    place = f"plain.jsonl ({name})"
    if [(row.num_tokens, row.num_bytes) for row in recorded.plain] != [
        (row.num_tokens, row.num_bytes) for row in now.plain
    ]:
        yield Finding(place, "these are not the losses of the embedded texts")
        return
    for number, (one, again) in enumerate(zip(recorded.plain, now.plain, strict=True), start=1):
        # The loss of a text is a sum over its tokens, each of which may be rounded differently.
        if abs(one.nll - again.nll) > tolerance * max(1, one.num_tokens):
            yield Finding(place, f"text {number}: the model's loss is {again.nll:.6g}, not {one.nll:.6g} nats")


def _of_written(name: str, recorded: Sequence[Written], now: Sequence[Written], lab: Laboratory) -> Iterator[Finding]:
    """Texts must be equal where numbers are rounded alike; elsewhere one other token can change the whole text."""
    place = f"{WRITTEN} ({name})"
    if [(row.id, row.answer) for row in recorded] != [(row.id, row.answer) for row in now]:
        yield Finding(place, "these are not the items of the data, or not their right answers")
        return
    others = [one.id for one, again in zip(recorded, now, strict=True) if asdict(one) != asdict(again)]
    made_here = read_metrics(lab.run.folder)["environment"]["here"] == environment(lab.model.device)
    if others and made_here and lab.model.precision == "fp32":
        yield Finding(place, f"{others[0]}: the model writes another text")
    elif others:
        yield not_checked(place, f"{len(others)} of {len(recorded)} texts differ, as they may on another machine")
