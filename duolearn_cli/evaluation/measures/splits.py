"""Measures of the items of one split: figures that every split has, and rows of the results about some splits."""

from __future__ import annotations

import math

from duolearn_cli.evaluation.measures.measure import ACCURACY, GREEDY, OWN, USUAL, InSplit, Measure, SplitMeasure

_FIGURES: tuple[SplitMeasure, ...] = (
    SplitMeasure(
        "accuracy",
        "Share of right answers, options ranked by mean log-probability per token (length-normalised).",
        lambda row: row.correct,
        USUAL,
    ),
    SplitMeasure(
        "accuracy_by_total",
        "The same, options ranked by the sum of log-probabilities; equal for `letter` prompts.",
        lambda row: row.correct_by_total,
        USUAL,
    ),
    SplitMeasure(
        "nll", "Mean loss of the right answer per token, in nats.", lambda row: row.nll, USUAL, is_share=False
    ),
    SplitMeasure(
        "probability",
        "Mean of exp(-loss) of the right answer.",
        lambda row: math.exp(-row.nll),
        'TOFU\'s "probability" (Maini et al. 2024).',
    ),
    SplitMeasure(
        "extraction_strength",
        "Mean of 1 - k / n: k is the least number of first tokens of the right answer, of n, after which greedy "
        "decoding gives the rest.",
        lambda row: row.strength,
        "Carlini et al. 2021.",
    ),
    SplitMeasure(
        "invalid_rate",
        "Share of items whose most likely continuation, token by token, is none of the options.",
        lambda row: not row.valid,
        USUAL,
        higher_is_better=False,
    ),
    SplitMeasure(
        "recall",
        "Share of items whose most likely continuation, token by token, is the right answer.",
        lambda row: row.recalled,
        GREEDY,
    ),
)
# By key, of every split.
OF_SPLIT: dict[str, SplitMeasure] = {measure.key: measure for measure in _FIGURES}


def _in_split(
    key: str, split: str, name: str, definition: str, origin: str, *, higher_is_better: bool, figure: str = "accuracy"
) -> Measure:
    """A row about a figure of one split."""
    formula = InSplit(split, OF_SPLIT[figure])
    return Measure(key, name, definition, formula, origin, ("splits", split, figure), higher_is_better)


BY_SPLIT: tuple[Measure, ...] = (
    _in_split(
        "forget_trained",
        "forget_train",
        "Forget accuracy, trained phrasings",
        "Share of forget items answered correctly, asked as the target was trained.",
        ACCURACY,
        higher_is_better=False,
    ),
    _in_split(
        "forget_heldout",
        "forget_heldout",
        "Forget accuracy, held-out phrasings",
        "The same facts asked as no model was trained, in other words or with options in another order: knowledge "
        "rather than strings.",
        ACCURACY,
        higher_is_better=False,
    ),
    _in_split(
        "retain_trained",
        "retain_train",
        "Retain accuracy, trained phrasings",
        "Share of retain items answered correctly, asked as the target was trained.",
        ACCURACY,
        higher_is_better=True,
    ),
    _in_split(
        "retain_heldout",
        "retain_heldout",
        "Retain accuracy, held-out phrasings",
        "The same retain facts asked as no model was trained.",
        ACCURACY,
        higher_is_better=True,
    ),
)
# Of a run that began with a model of earlier requests.
EARLIER: tuple[Measure, ...] = (
    _in_split(
        "earlier_accuracy",
        "earlier",
        "Accuracy on items of earlier requests",
        "Share of what earlier requests forgot that is answered correctly: it should not rise from target to "
        "unlearned.",
        OWN,
        higher_is_better=False,
    ),
    _in_split(
        "earlier_recall",
        "earlier",
        "Recall of answers of earlier requests",
        "The same of answers that are the most likely continuation, without options.",
        GREEDY,
        higher_is_better=False,
        figure="recall",
    ),
)
