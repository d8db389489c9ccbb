"""Check the figures about earlier requests, as far as the run folder holds what they follow from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.earlier import EARLIER
from duolearn_cli.evaluation import requests
from duolearn_cli.evaluation.answer import Answers
from duolearn_cli.pipeline.earlier_answers import FILE, read_earlier
from duolearn_cli.pipeline.verification.finding import Finding, as_json, differences, not_checked
from duolearn_cli.pipeline.verification.integrity import METRICS

# Figures that need the original target's answers.
KEYS = ("requests", "kept_of_original")
OF_ORIGINAL = ("original", "still_forgotten")


def recomputed(folder: Path, config: RunConfig, answers: Mapping[str, Answers]) -> dict[str, Any]:
    """The figures about earlier requests, computed again; empty without such requests, or without original.jsonl."""
    if not config.requests or not (folder / FILE).is_file():
        return {}
    return read_earlier(folder, _names(config)).figures(answers)


def of_earlier(
    folder: Path, config: RunConfig, answers: Mapping[str, Answers], metrics: Mapping[str, Any], is_own: bool
) -> Iterator[Finding]:
    """Find answers about earlier requests that there were not, and check what a run without original.jsonl allows.

    Args:
        is_own: this version made the run, so the run has written original.jsonl.
    """
    if not config.requests and not config.forgotten:
        models = [name for name, own in answers.items() if EARLIER in own]
        yield from (
            Finding("predictions.jsonl", f"{name} answers items of earlier requests, and there are none")
            for name in models
        )
    if not config.requests or (folder / FILE).is_file():
        return
    if is_own:
        yield Finding(FILE, "it is missing, and every run after earlier requests writes one")
        return
    yield from _of_older(config, answers, metrics)


def _of_older(config: RunConfig, answers: Mapping[str, Answers], metrics: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare what needs no answer of the original target. With one earlier request, every earlier item is its own."""
    found = list(metrics["requests"])
    yield from differences(METRICS, [one["name"] for one in found], _names(config), "config.yaml", "requests")
    what = "accuracies of earlier requests, "
    if len(found) == len(_names(config)) == 1:
        what = ""
        facts = frozenset(row.fact for own in answers.values() for row in own.get(EARLIER, ()))
        (expected,) = as_json(requests.summarise([(_names(config)[0], facts)], answers, {}))
        own = {name: value for name, value in found[0].items() if name not in OF_ORIGINAL}
        own["accuracy"] = {name: value for name, value in own["accuracy"].items() if name not in OF_ORIGINAL}
        yield from differences(METRICS, own, expected, "the run's answers", "requests[0]")
    why = "the run is of an earlier version, which left no answers of the original target"
    yield not_checked(METRICS, f"{what}still_forgotten and kept_of_original: {why}")


def _names(config: RunConfig) -> list[str]:
    return [str(one.name) for one in config.requests]
