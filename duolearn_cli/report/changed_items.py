"""Items that one run's unlearned model answers right and another's does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.data.items import Item
from duolearn_cli.evaluation.answer import SIDES
from duolearn_cli.report.tables import Table

# Items that a page lists; compare.json has all.
LISTED = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer of one unlearned model to one item; `is_right` if the right option alone has the highest score."""

    id: str
    fact: str
    split: str
    subject: str | None
    answer: int
    prediction: int
    is_right: bool

    @property
    def side(self) -> str | None:
        """``forget`` or ``retain``; None for items of facts that no model was trained on."""
        return next((side for side, splits in SIDES.items() if self.split in splits), None)


def read_choices(folder: Path) -> dict[str, Choice]:
    """The choices of a run's unlearned model by item; empty if predictions.jsonl is missing or broken."""
    try:
        with (folder / "predictions.jsonl").open(encoding="utf-8") as lines:
            rows = [row for row in map(json.loads, lines) if row["model"] == "unlearned"]
        return {row["id"]: _choice(row) for row in rows}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _choice(row: Mapping[str, Any]) -> Choice:
    kept = {name: row.get(name) for name in Choice.__slots__ if name != "is_right"}
    return Choice(**kept, is_right=row["correct"] == 1)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Changes:
    """The items of one side that two runs were both asked, by who answers them right.

    `only_first` and `only_second` hold pairs of choices, the first run's first.
    """

    side: str
    both: int
    neither: int
    only_first: tuple[tuple[Choice, Choice], ...]
    only_second: tuple[tuple[Choice, Choice], ...]

    @property
    def has_any(self) -> bool:
        """Whether some item is right in one run only."""
        return bool(self.only_first or self.only_second)

    def as_dict(self) -> dict[str, int]:
        """The counts."""
        return {
            "both": self.both,
            "only_first": len(self.only_first),
            "only_second": len(self.only_second),
            "neither": self.neither,
            "facts_changed": len({pair[0].fact for pair in (*self.only_first, *self.only_second)}),
        }


def changes(first: Mapping[str, Choice], second: Mapping[str, Choice]) -> list[Changes]:
    """Compare the choices of two runs on the items that both were asked, a list with one entry for each side."""
    return [_changes(side, first, second) for side in SIDES]


def _changes(side: str, first: Mapping[str, Choice], second: Mapping[str, Choice]) -> Changes:
    pairs = [(one, second[key]) for key, one in first.items() if key in second and one.side == second[key].side == side]
    by_outcome: dict[tuple[bool, bool], list[tuple[Choice, Choice]]] = {}
    for pair in pairs:
        by_outcome.setdefault((pair[0].is_right, pair[1].is_right), []).append(pair)
    both, neither = (len(by_outcome.get((right, right), ())) for right in (True, False))
    only = (tuple(by_outcome.get(outcome, ())) for outcome in ((True, False), (False, True)))
    return Changes(side, both, neither, *only)


def changes_table(first: str, by_run: Mapping[str, Sequence[Changes]]) -> Table:
    """One row for each run and side: how many items each of both runs answers right."""
    header = ("Run", "Items", "Right in both", f"Right in {first} only", "Right in this run only", "Wrong in both")
    rows = [
        (run, one.side, str(one.both), str(len(one.only_first)), str(len(one.only_second)), str(one.neither))
        for run, own in by_run.items()
        for one in own
    ]
    return Table(f"Items that changed, compared with {first}", header, tuple(rows), num_text=2)


def listed(found: Sequence[Changes], items: Mapping[str, Item]) -> list[dict[str, Any]]:
    """The changed items with question, options and what both chose, for the items whose texts may be shown."""
    rows: list[dict[str, Any]] = []
    for one in found:
        for right, pairs in (("first", one.only_first), ("second", one.only_second)):
            rows += [_listed(one.side, right, pair, items[pair[0].id]) for pair in pairs if _is_same(pair[0], items)]
    return rows


def _is_same(choice: Choice, items: Mapping[str, Item]) -> bool:
    # If the data have changed since, the page would show another question as the one that was scored.
    return choice.id in items and items[choice.id].answer == choice.answer


def _listed(side: str, right: str, pair: tuple[Choice, Choice], item: Item) -> dict[str, Any]:
    names = ("first", "second")
    return {
        "side": side,
        "right_in": right,
        "id": item.id,
        "subject": item.subject,
        "question": item.question,
        "answer": item.answer_text,
        "chosen": {name: item.options[one.prediction] for name, one in zip(names, pair, strict=True)},
    }


def items_table(first: str, second: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The changed items, at most `LISTED` of them."""
    header = ("Right in", "Items", "Question", "Right answer", f"{first} chose", f"{second} chose")
    names = {"first": first, "second": second}
    cells = tuple(
        (names[row["right_in"]], row["side"], row["question"], row["answer"], *row["chosen"].values())
        for row in rows[:LISTED]
    )
    cut = f" ({LISTED} of {len(rows)}; compare.json has all)" if len(rows) > LISTED else ""
    return Table(f"Items right in one of {first} and {second}{cut}", header, cells, num_text=len(header))
