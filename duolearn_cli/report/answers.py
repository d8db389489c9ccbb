"""What the models of a run answered, by column: from its item file, and what scores are made of that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from duolearn_cli.evaluation.answer import SIDES
from duolearn_cli.evaluation.measures.measure import Measure, Ratio, Share
from duolearn_cli.evaluation.metrics.chance import common_unit

# The fields of an item. They are stored once, because all models answer the same items.
ABOUT = ("id", "fact", "split", "heldout", "options", "level", "tokens", "compressed", "pair")
# Of each model and item: what is right or wrong, and what is a number.
MARKS, NUMBERS = ("correct", "recalled", "valid"), ("nll", "min_k", "min_k_plus")
MEMBERS, UNSEEN = "forget_train", "forget_unseen"


def by_item(measure: Measure) -> Share | Ratio | None:
    """How a measure is made of items that target and unlearned were asked; None where it is made otherwise."""
    formula = measure.formula
    if isinstance(formula, Share) and formula.side in SIDES:
        return formula
    # The majority rate is in no item file.
    return formula if isinstance(formula, Ratio) and formula.floor != "majority" else None


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a run's models. All columns are in the order of the items.

    Attributes:
        about: by name of `ABOUT` a column of all items.
        models: by model and by name of `MARKS` and `NUMBERS` a column of floats; what the file does not have is left
            out.
        by_gold: forgetting is measured from gold's answers, not from 1 / number of options (see `guessing.floor`).
    """

    about: Mapping[str, Sequence[Any]]
    models: Mapping[str, Mapping[str, np.ndarray]]
    by_gold: bool = False

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], by_gold: bool = False) -> Answers:
        """From the lines of a predictions.jsonl. Raises LookupError, TypeError or ValueError where it is no such."""
        by_model: dict[str, dict[str, Mapping[str, Any]]] = {}
        for row in rows:
            by_model.setdefault(row["model"], {})[row["id"]] = row
        items = list(next(iter(by_model.values())).values()) if by_model else []
        about = {name: [len(row["scores"]) if name == "options" else row.get(name) for row in items] for name in ABOUT}
        models = {
            model: {
                name: np.array([float(own[item["id"]][name]) for item in items])
                for name in (*MARKS, *NUMBERS)
                if items and name in own[items[0]["id"]]
            }
            for model, own in by_model.items()
        }
        # Falling back to chance would give another measure under the same name.
        if by_gold and items and "correct" not in models.get("gold", {}):
            raise LookupError("forgetting is measured from gold's answers, which are not there")
        return cls(about, models, by_gold)

    @classmethod
    def read(cls, folder: Path) -> Answers | None:
        """Those of a run folder; None where its item file is missing, or that or metrics.json is broken."""
        try:
            lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
            told = folder / "metrics.json"
            metrics = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
            by_gold = (metrics.get("floor") or {}).get("source") == "gold"
            return cls.of((json.loads(line) for line in lines), by_gold)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def has(self, key: str) -> bool:
        """Whether target and unlearned were both asked what `key` names."""
        return all(key in self.models.get(model, {}) for model in ("target", "unlearned"))

    def can_make(self, formula: Share | Ratio) -> bool:
        """Whether all marks that a formula needs are there."""
        by_gold = isinstance(formula, Ratio) and formula.floor == "gold"
        return self.has(formula.mark) and not (by_gold and formula.mark not in self.models.get("gold", {}))

    def places(self, side: str) -> list[int]:
        """Where the items of trained facts of a side are."""
        return [place for place, split in enumerate(self.about["split"]) if split in SIDES[side]]

    def floors(self, places: Sequence[int], formula: Share | Ratio) -> np.ndarray:
        """What each item would score without knowledge. Shape: [places]."""
        if isinstance(formula, Ratio) and formula.floor == "gold":
            return self.models["gold"][formula.mark][places]
        if self.by_gold:
            return self.models["gold"]["correct"][places]
        return 1 / np.array([self.about["options"][place] for place in places], dtype=float)

    def losses(self, model: str, split: str) -> dict[str, float]:
        """The mean loss of each paired fact of a split, over the phrasings of the kind that was trained on."""
        found: dict[str, list[float]] = {}
        columns = (self.about[name] for name in ("fact", "split", "heldout", "pair"))
        for fact, own, heldout, pair, nll in zip(*columns, self.models.get(model, {}).get("nll", ()), strict=False):
            if own == split and pair is not None and not heldout:
                found.setdefault(fact, []).append(float(nll))
        return {fact: sum(values) / len(values) for fact, values in found.items()}


def facts_of(runs: Sequence[Answers], side: str) -> list[str]:
    """The facts that any of the runs was asked, in sorted order."""
    return sorted({run.about["fact"][place] for run in runs for place in run.places(side)})


def sums_by_fact(runs: Sequence[Answers], formula: Share | Ratio, facts: Sequence[str] | None = None) -> np.ndarray:
    """Sums of a formula's two parts over each fact's phrasings; facts in sorted order. Shape: [runs, facts, 2].

    Both parts are in whole numbers of `common_unit`: their sums are zero where they should be. A run that was not asked
    a fact, or has not the marks, has zeros.
    """
    side, key = formula.side, formula.mark
    order = {fact: place for place, fact in enumerate(facts_of(runs, side) if facts is None else facts)}
    # Of m options that share the highest score, a right one counts 1 / m.
    chances = [1 / count for run in runs for count in set(run.about["options"])]
    columns = [own[key] for run in runs if run.has(key) for own in run.models.values() if key in own]
    marks = [mark for column in columns for mark in np.unique(column)]
    unit = common_unit([*chances, *marks])
    found = np.zeros((len(runs), len(order), 2))
    for sums, run in zip(found, runs, strict=True):
        if not run.can_make(formula):
            continue
        chosen = run.places(side)
        places = [order[run.about["fact"][k]] for k in chosen]
        before, after = (run.models[model][key][chosen] for model in ("target", "unlearned"))
        for column, part in enumerate(formula.parts(before, after, run.floors(chosen, formula))):
            np.add.at(sums[:, column], places, part)
    # Rounding is safe because all summands are whole numbers in this unit. Without it, a target at chance would have a
    # ratio over 1e-16 (docs/measuring.md, "Majority").
    return np.round(unit * found)


def paired_facts(runs: Sequence[Answers], split: str) -> list[str]:
    """The facts of a split that a membership attack compares in any of the runs, in sorted order."""
    return sorted({fact for run in runs for fact in run.losses("unlearned", split)})


def wins(
    runs: Sequence[Answers], others: Sequence[str] | None = None, model: str = "unlearned"
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Of the loss attack: where a member looks more like one than a non-member does, half where they tie.

    `others` are the non-members, those of the runs by default.

    Returns: these [runs, members, others], where a run was asked both (same shape), and the members.
    """
    members, beside = paired_facts(runs, MEMBERS), paired_facts(runs, UNSEEN) if others is None else others
    found = np.zeros((len(runs), len(members), len(beside)))
    asked = np.zeros_like(found)
    for k, run in enumerate(runs):
        left, right = (
            np.array([own.get(fact, np.nan) for fact in facts])
            for own, facts in ((run.losses(model, MEMBERS), members), (run.losses(model, UNSEEN), beside))
        )
        asked[k] = np.isfinite(left)[:, None] & np.isfinite(right)[None, :]
        # The lower the loss, the more a fact looks like a member.
        found[k] = asked[k] * ((left[:, None] < right[None, :]) + 0.5 * (left[:, None] == right[None, :]))
    return found, asked, members
