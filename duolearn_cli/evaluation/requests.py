"""What earlier requests of a chain forgot: how much of it is known now, and before any request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.data.earlier import EARLIER
from duolearn_cli.evaluation.measures import MEASURES
from duolearn_cli.evaluation.measures.central import KEEPING
from duolearn_cli.evaluation.measures.measure import Ratio
from duolearn_cli.evaluation.metrics.intervals import Estimate, difference, proportion
from duolearn_cli.evaluation.scoring import Answer

# Before and after a run.
MODELS = ("target", "unlearned")
# By split.
Answers = Mapping[str, Sequence[Answer]]


def summarise(
    requests: Sequence[tuple[str, frozenset[str]]], answers: Mapping[str, Answers], original: Mapping[str, Answer]
) -> list[dict[str, Any]]:
    """One entry a request: the share of right answers to its trained items, by model, and how much is still forgotten.

    Args:
        requests: name and facts of each.
        answers: by model, with the split of earlier requests.
        original: answers by item id of the target that the first request began with; empty where it is not known.
            `still_forgotten` is measured from it to gold, which never learned the items: 100 % where gold ends.
    """
    entries = []
    for name, facts in requests:
        own = {model: [row for row in split.get(EARLIER, ()) if row.fact in facts] for model, split in answers.items()}
        entry: dict[str, Any] = {"name": name, "items": max(map(len, own.values()), default=0)}
        entry["accuracy"] = {
            model: proportion([row.correct for row in rows], [row.fact for row in rows]).as_dict()
            for model, rows in own.items()
            if rows
        }
        now = [row for row in own.get("unlearned", ()) if row.id in original]
        if now:
            before = [original[row.id].correct for row in now]
            facts_of = [row.fact for row in now]
            entry["accuracy"]["original"] = proportion(before, facts_of).as_dict()
            if gold := {row.id: row.correct for row in own.get("gold", ())}:
                still = _ratio(
                    "forgetting_against_gold",
                    before,
                    [row.correct for row in now],
                    facts_of,
                    [gold[row.id] for row in now],
                )
                entry["still_forgotten"] = still.as_dict()
        entries.append(entry)
    return entries


def came_back(answers: Mapping[str, Answers], name: str = "", facts: frozenset[str] | None = None) -> dict[str, str]:
    """Return warnings, by measure, if the model knows items of earlier requests again.

    It does if it answers more of the same items than the model that this run began with, right (accuracy) or without
    options (recall), and the interval of the paired difference lies above zero.

    Args:
        answers: by model, with the split of earlier requests.
        name: the request that `facts` belong to; empty: all of them.
        facts: the facts of one request; None: of all.
    """
    before, after = ({row.id: row for row in answers.get(model, {}).get(EARLIER, ())} for model in MODELS)
    pairs = [(before[i], row) for i, row in after.items() if i in before and (facts is None or row.fact in facts)]
    if not pairs:
        return {}
    warnings = {}
    for key, said, of in (
        ("accuracy", "are answered right", lambda row: row.correct),
        ("recall", "are answered without options", lambda row: row.recalled),
    ):
        old, new = ([float(of(pair[place])) for pair in pairs] for place in (0, 1))
        change = difference(new, old, [row.fact for _, row in pairs])
        if change.low is not None and change.low > 0:
            warnings[f"{EARLIER}_{key}"] = (
                f"What {f'the request {name}' if name else 'earlier requests'} had forgotten came back: "
                f"{100 * sum(new) / len(new):.1f} % of {'its' if name else 'their'} items {said}, "
                f"{100 * sum(old) / len(old):.1f} % before this request."
            )
    return warnings


def came_back_by_request(requests: Sequence[tuple[str, frozenset[str]]], answers: Mapping[str, Answers]) -> list[str]:
    """The warnings of single requests, where all together raise none: others that went down may hide one."""
    together = came_back(answers)
    found = [came_back(answers, name, facts) for name, facts in requests] if len(requests) > 1 else []
    return [said for one in found for key, said in one.items() if key not in together]


def kept_of_original(answers: Answers, original: Mapping[str, Answer]) -> dict[str, Any] | None:
    """The accuracy on retain items now over that of the original target; None where that is not known."""
    rows = [row for name in ("retain_train", "retain_heldout") for row in answers.get(name, ()) if row.id in original]
    if not rows:
        return None
    before, facts = [original[row.id].correct for row in rows], [row.fact for row in rows]
    return _ratio(KEEPING.key, before, [row.correct for row in rows], facts).as_dict()


def _ratio(
    key: str, before: Sequence[float], after: Sequence[float], facts: Sequence[str], floor: Sequence[float] = ()
) -> Estimate:
    """A measure of `evaluation.measures`, from another model before to the model after."""
    formula = MEASURES[key].formula
    if not isinstance(formula, Ratio):
        raise TypeError(f"{key} has the formula {formula}; needed: a Ratio, which compares before and after")
    return formula.of(before, after, facts, floor)
