"""Count how many rows enter each side and why; warn of many left-out rows, and refuse requests that cannot be met."""

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

# A warning comes if a larger share of the rows enters neither side.
MANY = 0.1
# The number of borderline items that a dry run lists.
SHOWN = 5
# The fewest items to forget that can be split into trained and unseen ones.
FEW = 4
# Outcomes of doubtful labels (sides.Doubt) that keep an item out of both sides.
LEFT_OUT = ("undecided", "mentions_target", "left_out")

# The reasons for a side in words. The keys stand in metrics.json.
WHY = {
    "given_label": "given label",
    "guessed_label": "guessed label",
    "about": "about the target",
    "not_about": "mention no concept of the target",
    "no_label": "no label, no mention of the target",
    "in_scope": "of forget.patients and forget.dates",
    "outside_scope": "outside forget.patients and forget.dates",
    "undecided": "no label, no confident guess",
    "mentions_target": "no label, mention the target",
    "borderline": "mention the target in passing",
    "second_about": "from retain_from, about the target",
    "forgotten_before": "of earlier requests",
    "rejected": "rejected (see rejected rows)",
}
# What a user can do about rows in neither side, by reason.
FIXES = {
    "undecided": "Give rows without a label a subject, or choose by what questions are about (forget.by=concepts).",
    "mentions_target": "Rows without a label that mention the target are retained only if you give them a subject.",
    "borderline": "forget.about sets how much of an item must be about the target.",
    "second_about": "Items from retain_from must not mention the target.",
    "rejected": "A run lists rejected rows in rejected.jsonl.",
}


@dataclass(frozen=True)
class Tally:
    """The number of rows by side and reason, {side: {reason: rows}}, and of rows that do not look like English."""

    sides: Mapping[str, Mapping[str, int]]
    not_english: int

    @property
    def total(self) -> int:
        """The number of rows on all sides."""
        return sum(self.of(side) for side in self.sides)

    def of(self, side: str) -> int:
        """Return the number of rows on a side."""
        return sum(self.sides[side].values())

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for metrics.json."""
        return {side: dict(reasons) for side, reasons in self.sides.items()} | {"not_english": self.not_english}

    def rows(self) -> list[tuple[str, str]]:
        """Return (title, counts and reasons) of each side, for the plan of a dry run."""
        return rows_of(self.as_dict())

    def sentence(self) -> str:
        """Return all counts in one line."""
        return f"{self.total:,} rows: " + "; ".join(
            f"{title.removeprefix('rows in ')} {counts}" for title, counts in self.rows()
        )

    def warnings(self) -> Iterator[str]:
        """Yield warnings about many rows on neither side, and about rows that are not English."""
        # Rows of earlier requests do not count: the user named them, so they are left out on purpose.
        left_out = {why: count for why, count in self.sides[NEITHER].items() if why in FIXES}
        lost = sum(left_out.values())
        if lost > MANY * self.total:
            reasons = ", ".join(f"{count:,} {WHY[why]}" for why, count in left_out.items())
            yield (
                f"{lost:,} of {self.total:,} rows ({lost / self.total:.0%}) are neither "
                f"forgotten nor retained: {reasons}. {' '.join(FIXES[why] for why in left_out)}"
            )
        if self.not_english:
            yield (
                f"{self.not_english:,} of {self.total - left_out.get('rejected', 0):,} items do not look like English. "
                "Concepts are found by the hierarchy's terms; the embedded hierarchies are English and find almost "
                "nothing in other languages."
            )


def rows_of(counts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return `Tally.rows` from the counts in metrics.json; empty for an old run without them."""
    rows = []
    for side in (side for side in (FORGET, RETAIN, NEITHER) if side in counts):
        reasons = ", ".join(f"{count:,} {WHY[why]}" for why, count in counts[side].items())
        rows.append((f"rows in {side}", f"{sum(counts[side].values()):,}{f': {reasons}' if reasons else ''}"))
    if counts.get("not_english"):
        rows.append(("rows not in English", f"{counts['not_english']:,}"))
    return rows


def tally(loaded: Loaded, sides: Sides) -> Tally:
    """Count every row of the source exactly once."""
    counts = sides.counts
    # Two kinds of rejected rows: those that the reader rejected never had a side; those that the tokenizer cannot read
    # had one and were cut from it.
    if rejected := counts[NEITHER].get("rejected", 0) + len(loaded.rejected):
        counts[NEITHER]["rejected"] = rejected
    return Tally(counts, sum(not looks_english(item) for item in loaded.items))


def borderline(doubts: Sequence[Doubt], items: Sequence[Item]) -> list[str]:
    """Return lines about a few items that mention the target in passing, those with the highest scores first."""
    questions = {item.id: item.question for item in items}
    passing = sorted((d for d in doubts if d.outcome == "borderline"), key=lambda doubt: (-doubt.confidence, doubt.id))
    return [f"{doubt.confidence:.2f}  {doubt.id}: {_short(questions[doubt.id])}" for doubt in passing[:SHOWN]]


def nearest(doubts: Sequence[Doubt]) -> str:
    """Return part of a message: the value of forget.about that includes the nearest borderline items.

    It is empty if there are too few of them to be split.
    """
    scores = sorted((doubt.confidence for doubt in doubts if doubt.outcome == "borderline"), reverse=True)
    if len(scores) < FEW:
        return ""
    reached = math.floor(100 * scores[FEW - 1]) / 100  # rounded down, so that the FEW nearest items are above it
    return f"{len(scores)} mention one in passing; set forget.about={reached:g} to take the nearest, or "


def request_warning(doubts: Sequence[Doubt], num_trained: int) -> Iterator[str]:
    """Warn if injected faults leave many of the `num_trained` trained items without a side."""
    outcomes = Counter(doubt.outcome for doubt in doubts if doubt.outcome in LEFT_OUT)
    if outcomes.total() > MANY * num_trained:
        reasons = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in outcomes.items())
        yield (
            f"{outcomes.total():,} of {num_trained:,} trained items ({outcomes.total() / num_trained:.0%}) are left "
            f"out of unlearning, because their labels are missing or doubtful: {reasons}."
        )


def _short(text: str, width: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def check_guessed(forget: Sequence[Item], guessed: Collection[str], target: Target, labels: LabelsConfig) -> None:
    """Refuse a request in which too many items to forget have a guessed label.

    Args:
        forget: the items to forget.
        guessed: ids of the items whose label is a guess.
        target: the forget target, for the message.
        labels: the settings; `max_guessed` is the largest allowed share.

    Raises:
        DataError: the share of guessed labels exceeds ``labels.max_guessed``.
    """
    count = sum(item.id in guessed for item in forget)
    if count > labels.max_guessed * len(forget):
        raise DataError(
            f"forget={target.name}: {count:,} of {len(forget):,} items to forget ({count / len(forget):.0%}) have no "
            f"label of their own, only one guessed from concepts; allowed: labels.max_guessed={labels.max_guessed:g}. "
            "Give the rows subjects, choose by what questions are about instead (forget.by=concepts), or accept the "
            "guesses (labels.max_guessed=1)."
        )


def check_target(
    items: Sequence[Item], sides: Sides, target: Target, about: float, patients: Collection[str] = ()
) -> None:
    """Refuse a target that no item belongs to. The message names what the data set has instead.

    `patients` are those whom documents are about, also where no item asks for anything about them.

    Raises:
        DataError: no item is on the forget side.
    """
    known = {item.patient for item in items if item.patient} | set(patients)
    if missing := sorted(target.scope.patients - known):
        # How many there are, and not who: the terminal may be seen by others.
        raise DataError(f"forget.patients: the data has no patient {missing[0]!r}; it names {len(known)} patients.")
    if sides.forget:
        return
    if target.scope.is_limited:
        raise DataError(
            f"forget={target.name}: nothing about its concepts lies within forget.patients and forget.dates. Name "
            "other patients, days or concepts."
        )
    if not target.labels:
        raise DataError(
            f"forget={target.name}: no item is about {_its_concepts(len(target.sought))} at forget.about={about:g}; "
            f"{nearest(sides.doubts)}choose other concepts."
        )
    # Three cases, because the fix differs: a target without labels, data without labels, and labels that do not match.
    if all(item.subject is None for item in items):
        raise DataError(
            f"forget={target.name}: no item has a subject, and none is guessed to be "
            f"{' or '.join(sorted(target.labels))}. Give the rows subjects, or choose by what questions are about "
            "(forget.by=concepts)."
        )
    # Topics are shown only for subjects of which the target names a topic.
    split = {label.partition("/")[0] for label in target.labels if "/" in label}
    present = sorted({f"{i.subject}/{i.topic}" if i.topic and i.subject in split else str(i.subject) for i in items})
    shown = ", ".join(present[:25]) + (" ..." if len(present) > 25 else "")
    near = list(dict.fromkeys(label for labels in near_misses(items, target).values() for label in labels))
    hint = f" The nearest: {override(near)}." if near else ""
    raise DataError(
        f"forget={target.name}: no item is labelled {' or '.join(sorted(target.labels))}; the data set has: "
        f"{shown}.{hint} Choose another forget target or data set, or name the labels: forget.subjects=[SUBJECT/TOPIC]."
    )


def _its_concepts(count: int) -> str:
    return "its concept" if count == 1 else f"its {count} concepts"
