"""The result of a run in one paragraph, and its warnings. Terminal and reports show the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.evaluation.measures.central import FORGETTING_RATE, KEEPING, RECALL_SHARE, RETAIN_RECALL
from duolearn_cli.evaluation.measures.measure import Measure
from duolearn_cli.report import own_model, privacy
from duolearn_cli.report.measures import DASH, cell, cell_of, number
from duolearn_cli.report.tables import present

# Shown for a share of zero: a target that answers no retain item right has nothing to keep.
UNDEFINED = "has no value"


def verdict(metrics: Mapping[str, Any]) -> str:
    """Return the result of the run in one paragraph."""
    models, forget = metrics["models"], metrics["forget"]
    if not (models.get("target") and models.get("unlearned")):
        pairs = ((name, _share(models, name, "retain"), _share(models, name, "forget")) for name in present(metrics))
        scored = "; ".join(f"{name} {retain} and {forgotten}" for name, retain, forgotten in pairs)
        return f"Nothing was unlearned in this run; accuracy on retain and {forget} items: {scored or DASH}."
    rate, kept = (_percent(models, measure) for measure in (FORGETTING_RATE, KEEPING))
    gold = f"; a model that never learned them scores {_share(models, 'gold', 'forget')}" if models.get("gold") else ""
    return (
        f"Accuracy on {forget} items went from {_share(models, 'target', 'forget')} to "
        f"{_share(models, 'unlearned', 'forget')} ({FORGETTING_RATE.name} {rate}), and {KEEPING.name}, the share of "
        f"the accuracy on retain items that was kept, {f'is {kept}' if kept != UNDEFINED else UNDEFINED}{gold}."
        f"{_like_gold(models)}{_said(models)}{own_model.sentence(metrics)}"
    )


def _like_gold(models: Mapping[str, Any]) -> str:
    """Return the sentence about the equivalence test with gold on forget items; "" if the run did not test it."""
    likeness = ((models["unlearned"].get("gold") or {}).get("forget") or {}).get("likeness")
    if not likeness:
        return ""
    within = f"within {100 * likeness['margin']:.0f} % of what learning had changed"
    ways = (
        f"The losses moved {_way(likeness['nll'])} of the way from target to gold{_beyond(likeness['nll'])}. "
        f"The right answer's probability moved {_way(likeness['chance'])}{_beyond(likeness['chance'])}."
    )
    if likeness["shown"]:
        return f" They end where gold ends, {within} (90 % intervals). {ways}"
    return f" That they end where gold ends, {within}, is not shown (90 % intervals). {ways}"


def _way(estimate: Mapping[str, Any]) -> str:
    value, bracket, ends = cell(estimate, 100, 0).partition(" [")
    return f"{value} %{bracket}{ends}"


def _beyond(estimate: Mapping[str, Any]) -> str:
    """On which side of gold the whole interval is; "" if it holds gold."""
    low, high = (number(estimate.get(end)) for end in ("low", "high"))
    if low is None or high is None:
        return ""
    return ": past gold" if low > 1 else ": short of gold" if high < 1 else ""


def _said(models: Mapping[str, Any]) -> str:
    """Return the sentence about recall without options; "" if the run did not measure it."""
    if not RETAIN_RECALL.find(models["unlearned"]):
        return ""
    gold = f", gold {_share(models, 'gold', 'retain', 'recall')}" if models.get("gold") else ""
    share = _percent(models, RECALL_SHARE)
    # If the target gives none of the answers, the share is undefined.
    compared = "" if share == UNDEFINED else f": {share} of what the target gives"
    return (
        f" Without options to choose from, it gives {_percent(models, RETAIN_RECALL)} of the retain "
        f"answers{compared} (target {_share(models, 'target', 'retain', 'recall')}{gold})."
    )


def warnings(metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> list[str]:
    """Return the warnings, one sentence each, which a reader needs before the numbers. `run` is run.json."""
    status = run.get("status")
    # The status "running" is no fault: the report is written before the run has ended.
    unfinished = [f"The run {status}: its numbers may be incomplete."] if status in ("failed", "interrupted") else []
    return [*privacy.warnings(metrics, history), *(metrics.get("flags") or ()), *unfinished]


def _percent(models: Mapping[str, Any], measure: Measure) -> str:
    """Format a rate of the unlearned model with its interval, in per cent; `UNDEFINED` if it has no value."""
    shown = cell_of(measure, measure.find(models["unlearned"]))
    return UNDEFINED if shown == DASH else f"{shown} %"


def _share(models: Mapping[str, Any], model: str, side: str, score: str = "accuracy") -> str:
    """Format a score on ``forget`` or ``retain`` items without its interval, which the table shows."""
    value = number(((models[model].get("scores") or {}).get(f"{side}_{score}") or {}).get("value"))
    return DASH if value is None else f"{100 * value:.1f} %"
