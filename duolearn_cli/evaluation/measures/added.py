"""Compute the measures that the user added to a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from duolearn_cli.config.components import component
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.answer import Answers
from duolearn_cli.evaluation.measures.base import AddedMeasure
from duolearn_cli.evaluation.measures.trial import value_of
from duolearn_cli.evaluation.metrics.intervals import Estimate, bootstrap, ratio

KEPT = "The models are kept: fix the measure, then `duolearn evaluate run=FOLDER` scores this run."


def add_measures(config: RunConfig, answers: Mapping[str, Answers], models: Mapping[str, Any]) -> dict[str, Any]:
    """Add the values of added measures to the ``scores`` of each entry of `models`, which become metrics.json.

    Args:
        answers: the answers of these models, by model and split.

    Returns:
        What else metrics.json says about these measures: ``measures`` by key; empty if none was added.

    Raises:
        RunError: a measure fails or returns no value; the message names it.
    """
    added: dict[str, AddedMeasure] = {
        str(key): component(node, config.plugins) for key, node in config.measures.items()
    }
    given = {model: {split: tuple(rows) for split, rows in own.items()} for model, own in answers.items()}
    for key, measure in added.items():
        for model, entry in models.items():
            try:
                found = estimate(key, measure, model, given)
            except RunError as error:
                raise RunError(f"{error} {KEPT}") from error
            if found is not None:
                entry["scores"][key] = found.as_dict()
    return {"measures": {key: measure.row(key).as_dict() for key, measure in added.items()}} if added else {}


def estimate(key: str, measure: AddedMeasure, model: str, answers: Mapping[str, Answers]) -> Estimate | None:
    """A measure of one model with its interval: by bootstrap over facts, or the measure's own."""
    found = value_of(key, measure, model, answers)
    if isinstance(found, dict):
        values = np.array([found[fact] for fact in sorted(found)])
        found = replace(bootstrap([values, np.ones(len(values))], ratio, n=len(values)), facts=len(values))
    return None if found is None else replace(found, higher_is_better=measure.higher_is_better)
