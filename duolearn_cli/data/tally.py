"""How many rows enter each side and why, what a reader must know of it, and what is refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.concepts.hierarchy import Target
from duolearn_cli.config.schema import LabelsConfig
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.labels import near_misses, override
from duolearn_cli.data.language import looks_english
from duolearn_cli.data.sides import FORGET, NEITHER, RETAIN, Doubt, Sides
from duolearn_cli.errors import DataError

# A larger share of rows in neither side is warned of.
MANY = 0.1
# Borderline items that a dry run lists.
SHOWN = 5
# So few items to forget can still be split into trained and unseen ones.
FEW = 4
# Outcomes of doubtful labels that keep an item from both sides.
LEFT_OUT = ("undecided", "mentions_target", "left_out")

WHY = {
    "given_label": "given label",
    "guessed_label": "guessed label",
    "about": "about the target",
    "not_about": "mention no concept of the target",
    "no_label": "no label, no mention of the target",
    "undecided": "no label, none guessed with confidence",
    "mentions_target": "no label, mention the target",
    "borderline": "mention the target in passing",
    "second_about": "of retain_from, about the target",
    "forgotten_before": "of earlier requests",
    "rejected": "rejected (see rejected rows)",
}
# What can be done about rows in neither side.
MENDS = {
    "undecided": "Rows without a label need a subject, or forget.by=concepts, which goes by what questions are about.",
    "mentions_target": "Rows without a label that mention the target are kept only with a subject of their own.",
    "borderline": "forget.about sets how much of an item must be about the target.",
    "second_about": "What retain_from adds may not speak of the target.",
    "rejected": "A run lists rejected rows in rejected.jsonl.",
}


@dataclass(frozen=True)
class Tally:
    """Rows by side and reason, {side: {why: rows}}, and rows whose text does not look like English."""

    sides: Mapping[str, Mapping[str, int]]
    not_english: int

    @property
    def total(self) -> int:
        return sum(self.of(side) for side in self.sides)

    def of(self, side: str) -> int:
        """How many rows are on a side."""
        return sum(self.sides[side].values())

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {side: dict(reasons) for side, reasons in self.sides.items()} | {"not_english": self.not_english}

    def rows(self) -> list[tuple[str, str]]:
        """One row a side, for the plan: how many, and why."""
        return rows_of(self.as_dict())

    def sentence(self) -> str:
        """All of it in one line."""
        return f"{self.total:,} rows: " + "; ".join(
            f"{name.removeprefix('rows in ')} {told}" for name, told in self.rows()
        )

    def warnings(self) -> Iterator[str]:
        """What must not go unseen."""
        # Rows of earlier requests are left out because the user asked for it.
        left_out = {why: count for why, count in self.sides[NEITHER].items() if why in MENDS}
        lost = sum(left_out.values())
        if lost > MANY * self.total:
            reasons = ", ".join(f"{count:,} {WHY[why]}" for why, count in left_out.items())
            yield (
                f"{lost:,} of {self.total:,} rows ({lost / self.total:.0%}) are neither "
                f"forgotten nor kept: {reasons}. {' '.join(MENDS[why] for why in left_out)}"
            )
        if self.not_english:
            yield (
                f"{self.not_english:,} of {self.total - left_out.get('rejected', 0):,} items do not look like English. "
                "Concepts are found by the hierarchy's terms; the embedded hierarchies are English and find next to "
                "nothing in other languages."
            )


def rows_of(counts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows of a tally as metrics.json has it; none for a run that has no tally."""
    found = []
    for side in (side for side in (FORGET, RETAIN, NEITHER) if side in counts):
        reasons = ", ".join(f"{count:,} {WHY[why]}" for why, count in counts[side].items())
        found.append((f"rows in {side}", f"{sum(counts[side].values()):,}{f': {reasons}' if reasons else ''}"))
    if counts.get("not_english"):
        found.append(("rows not in English", f"{counts['not_english']:,}"))
    return found


def tally(loaded: Loaded, sides: Sides) -> Tally:
    """Count every row of the source once."""
    counts = sides.counts
    # Items that the tokenizer cannot read are rejected after they had a side.
    if rejected := counts[NEITHER].get("rejected", 0) + len(loaded.rejected):
        counts[NEITHER]["rejected"] = rejected
    return Tally(counts, sum(not looks_english(item) for item in loaded.items))


def borderline(doubts: Sequence[Doubt], items: Sequence[Item]) -> list[str]:
    """A few of the items that mention the target in passing, those nearest to the threshold first."""
    asked = {item.id: item.question for item in items}
    passing = sorted((d for d in doubts if d.outcome == "borderline"), key=lambda doubt: (-doubt.confidence, doubt.id))
    return [f"{doubt.confidence:.2f}  {doubt.id}: {_short(asked[doubt.id])}" for doubt in passing[:SHOWN]]


def nearest(doubts: Sequence[Doubt]) -> str:
    """How to take in items that are about the target a little, where there are enough to be split; else nothing."""
    scores = sorted((doubt.confidence for doubt in doubts if doubt.outcome == "borderline"), reverse=True)
    if len(scores) < FEW:
        return ""
    reached = math.floor(100 * scores[FEW - 1]) / 100
    return f"{len(scores)} mention one in passing: forget.about={reached:g} takes the nearest; or "


def request_warning(doubts: Sequence[Doubt], given: int) -> Iterator[str]:
    """Warn where faults that were put in leave many of the `given` items without a side."""
    outcomes = Counter(doubt.outcome for doubt in doubts if doubt.outcome in LEFT_OUT)
    if outcomes.total() > MANY * given:
        reasons = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in outcomes.items())
        yield (
            f"{outcomes.total():,} of {given:,} items ({outcomes.total() / given:.0%}) that models are trained on are "
            f"kept from unlearning by missing or doubtful labels: {reasons}."
        )


def _short(text: str, width: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def check_guessed(forget: Sequence[Item], guessed: Collection[str], target: Target, labels: LabelsConfig) -> None:
    """Refuse to forget items most of which only a guess calls the target's.

    Args:
        forget: the items that unlearning is given to forget.
        guessed: ids of items whose label is a guess.

    Raises:
        DataError: more than ``labels.max_guessed`` of `forget` are guessed.
    """
    count = sum(item.id in guessed for item in forget)
    if count > labels.max_guessed * len(forget):
        raise DataError(
            f"forget={target.name}: {count:,} of {len(forget):,} items to forget ({count / len(forget):.0%}) have no "
            f"label of their own, only one guessed from concepts; allowed: labels.max_guessed={labels.max_guessed:g}. "
            "Give the rows their subjects, go by what questions are about instead (forget.by=concepts), or take the "
            "guesses as they are (labels.max_guessed=1)."
        )


def check_target(items: Sequence[Item], sides: Sides, target: Target, about: float) -> None:
    """Refuse a target that no item belongs to, with what the data have instead."""
    if sides.forget:
        return
    if not target.labels:
        raise DataError(
            f"forget={target.name}: no item is about {_its_concepts(len(target.sought))} at forget.about={about:g}; "
            f"{nearest(sides.doubts)}choose other concepts."
        )
    if all(item.subject is None for item in items):
        raise DataError(
            f"forget={target.name}: no item has a subject, and none is guessed to be of "
            f"{' or '.join(sorted(target.labels))}. Give the rows their subjects, or go by what questions are about "
            "(forget.by=concepts)."
        )
    # Topics are shown only of subjects that the target asks a topic of.
    asked = {label.partition("/")[0] for label in target.labels if "/" in label}
    found = sorted({f"{i.subject}/{i.topic}" if i.topic and i.subject in asked else str(i.subject) for i in items})
    shown = ", ".join(found[:25]) + (" ..." if len(found) > 25 else "")
    near = list(dict.fromkeys(label for labels in near_misses(items, target).values() for label in labels))
    hint = f" The nearest: {override(near)}." if near else ""
    raise DataError(
        f"forget={target.name}: no item is labelled {' or '.join(sorted(target.labels))}; the data set has: "
        f"{shown}.{hint} Choose another forget target or data set, or name the labels: forget.subjects=[SUBJECT/TOPIC]."
    )


def _its_concepts(count: int) -> str:
    return "its concept" if count == 1 else f"its {count} concepts"
