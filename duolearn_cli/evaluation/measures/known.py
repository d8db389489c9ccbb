"""Measures of what is known before and after, over all phrasings of the trained facts of a side."""

from __future__ import annotations

import math

from duolearn_cli.evaluation.measures.measure import (
    ACCURACY,
    ANY,
    EVERYWHERE,
    GREEDY,
    NAMED,
    POSITIVE,
    Measure,
    Ratio,
    Share,
)

# Models that are compared with the target.
COMPARED = ("gold", "unlearned")


KNOWN: tuple[Measure, ...] = (
    Measure(
        "forgetting_rate",
        "FR",
        "Forgetting rate: 1 - accuracy on forget items after. Above 1 - chance, answers are avoided, not unknown.",
        Share("forget", hit=lambda hit: 1 - hit),
        NAMED,
        best="",
        tables=("results", "sweep", "runs"),
    ),
    Measure(
        "chance_corrected_forgetting",
        "Chance-corrected forgetting",
        "(accuracy before - after) / (accuracy before - chance): 100 % at chance, more below chance. Chance is 1 / "
        "number of options, or gold's answers where a warning says so.",
        Ratio("forget", lambda before, after, chance: (before - after, before - chance), floor="chance"),
        higher_is_better=True,
        limits=ANY,
        best="100",
        models=COMPARED,
        needs=("target",),
        tables=EVERYWHERE,
    ),
    Measure(
        "forgetting_against_gold",
        "Forgetting against gold",
        "(accuracy before - after) / (accuracy before - gold's): 100 % where as much is known as by a model that never "
        "learned the forget items, more where less is known than that.",
        Ratio("forget", lambda before, after, gold: (before - after, before - gold), floor="gold"),
        limits=ANY,
        best="100",
        models=("unlearned",),
        needs=("target", "gold"),
    ),
    Measure(
        "forgetting_above_majority",
        "Forgetting from the majority rate",
        "As chance-corrected forgetting, measured from the share of items that the commonest answer is right for.",
        Ratio("forget", lambda before, after, rate: (before - after, before - rate), floor="majority"),
        higher_is_better=True,
        limits=ANY,
        best="100",
        models=COMPARED,
        needs=("target", "majority"),
    ),
    Measure(
        "knowledge_preservation",
        "KPR",
        "Knowledge preservation rate: accuracy on retain items after / before; may exceed 100 %.",
        Ratio("retain", lambda before, after, _: (after, before), least=0.0),
        NAMED,
        higher_is_better=True,
        limits=POSITIVE,
        models=COMPARED,
        needs=("target",),
        tables=EVERYWHERE,
    ),
    Measure(
        "retain_recall",
        "Recall of retain answers",
        "Share of retain items whose most likely continuation, token by token, is the right answer: what the model "
        "says of itself, where accuracy and KPR only rank the options.",
        Share("retain", "recalled"),
        GREEDY,
        higher_is_better=True,
        tables=("results", "sweep", "benchmark", "runs"),
    ),
    Measure(
        "retain_recall_share",
        "Recall of retain answers, share of the target's",
        "Recall of retain answers after / before; may exceed 100 %. Where it is far below KPR, the model still ranks "
        "what it no longer says.",
        Ratio("retain", lambda before, after, _: (after, before), "recalled", least=0.0),
        higher_is_better=True,
        limits=POSITIVE,
        models=COMPARED,
        needs=("target",),
        tables=EVERYWHERE,
    ),
    Measure(
        "forget_recall",
        "Recall of forget answers",
        "Share of forget items whose most likely continuation, token by token, is the right answer.",
        Share("forget", "recalled"),
        GREEDY,
        higher_is_better=False,
    ),
)
BY_LEVEL: tuple[Measure, ...] = (
    Measure(
        "hmta",
        "HMTA",
        "Harmonic mean of chance-corrected forgetting of target items, which falls again beyond 100 %, and "
        "preservation of the others (each within 0 and 1), over items weighted by their level in the hierarchy; 0 "
        "where nothing was forgotten.",
        lambda evidence: evidence.hmta,
        NAMED,
        higher_is_better=True,
        models=("target", *COMPARED),
        needs=("target",),
        tables=("results", "sweep"),
    ),
)
PLAIN: tuple[Measure, ...] = (
    Measure(
        "forget_accuracy",
        "Forget accuracy",
        "Share of right answers over trained and held-out askings of the trained forget facts.",
        Share("forget"),
        ACCURACY,
        tables=("references", "terminal"),
    ),
    Measure(
        "retain_accuracy",
        "Retain accuracy",
        "Share of right answers over trained and held-out askings of the trained retain facts.",
        Share("retain"),
        ACCURACY,
        tables=("runs", "terminal"),
    ),
    Measure(
        "relative_drop",
        "Relative drop",
        "(accuracy before - after) / accuracy before, on forget items.",
        Ratio("forget", lambda before, after, _: (before - after, before)),
        higher_is_better=True,
        limits=(-math.inf, 1.0),
        models=COMPARED,
        needs=("target",),
        tables=(),
    ),
    Measure(
        "forget_invalid_rate",
        "Invalid answers, forget items",
        "Share of forget items whose most likely continuation is none of the options; gold, which never learned them, "
        "has many, too.",
        Share("forget", "valid", lambda valid: 1 - valid),
        tables=("results", "runs"),
    ),
    Measure(
        "retain_invalid_rate",
        "Invalid answers, retain items",
        "Share of retain items whose most likely continuation is none of the options.",
        Share("retain", "valid", lambda valid: 1 - valid),
        higher_is_better=False,
        tables=("results", "runs"),
    ),
    Measure(
        "invalid_rate",
        "Invalid answers",
        "Share of items of both sides whose most likely continuation is none of the options.",
        Share("both", "valid", lambda valid: 1 - valid),
        higher_is_better=False,
        unless="retain_invalid_rate",
    ),
)
