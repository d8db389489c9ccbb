"""How often is an item that a target by concept takes about the target?

    python scripts/studies/about_precision.py MEDMCQA_FILE

Compares two rules with verdicts of a reader (about_verdicts.tsv: target, part, id of the row, 1 where it is about the
target; no text): an item is a forget item when its question or right answer mentions a target concept ("mention"), and
when `duolearn_cli.data.about` scores it at the threshold or above ("about"). Precision and recall have 95 % intervals;
recall is among the rows that were read. Parts: chosen_on, which the formula and its threshold were chosen on; test;
options, rows that mention the target in wrong options alone; histories, rows of all parts with several sentences.

--draw N prints N rows a target that mention one of its concepts, for another reader to judge.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from duolearn_cli.concepts.hierarchy import ForgetTarget, Hierarchy, Target, read_hierarchy, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.sources.embedded import FOLDER
from duolearn_cli.data.about import about, last_sentence
from duolearn_cli.data.items import Item
from duolearn_cli.data.readers.medmcqa import MedMCQA
from duolearn_cli.evaluation.metrics.intervals import Estimate, proportion

VERDICTS = Path(__file__).with_name("about_verdicts.tsv")
TARGETS = ("cardiology", "diabetes", "surgery")


@dataclass(frozen=True, slots=True)
class Judged:
    """A row that was read: the reader's verdict, whether question or right answer mention the target, its score.

    `history` says that something is told before the last sentence asks.
    """

    target: str
    part: str
    id: str
    verdict: bool
    mention: bool
    score: float
    history: bool


class Judge:
    """Applies both rules to items."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._matcher, self._hierarchy = Matcher(hierarchy), hierarchy
        self.targets = {name: resolve_target(ForgetTarget(name, concepts=[name]), hierarchy) for name in TARGETS}

    def mentions(self, item: Item, target: Target) -> bool:
        found = self._matcher.concepts([item.question, item.answer_text])
        return not target.forget.isdisjoint(found)

    def score(self, item: Item, target: Target) -> float:
        return about(item, self._matcher.find, target.forget, target.boundary, lambda c: self._hierarchy[c].level)


def judged(items: dict[str, Item], judge: Judge, verdicts: Path = VERDICTS) -> list[Judged]:
    """Every verdict with what the rules say of its row; rows that the file lacks are left out."""
    with verdicts.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["id"] in items]
    found = []
    for row in rows:
        item, target = items[row["id"]], judge.targets[row["target"]]
        rules = judge.mentions(item, target), judge.score(item, target)
        history = last_sentence(item.question) != item.question.strip()
        found.append(Judged(row["target"], row["part"], row["id"], row["about"] == "1", *rules, history))
    return found


def quality(rows: Sequence[Judged], takes: Callable[[Judged], bool]) -> tuple[Estimate, Estimate]:
    """Precision and recall of a rule."""
    taken, right = [row for row in rows if takes(row)], [row for row in rows if row.verdict]
    precision = proportion([float(row.verdict) for row in taken], [row.id for row in taken])
    return precision, proportion([float(takes(row)) for row in right], [row.id for row in right])


def table(rows: Sequence[Judged], threshold: float) -> list[str]:
    """Both rules on every part and target, as lines of Markdown."""
    rules: dict[str, Callable[[Judged], bool]] = {
        "mention": lambda row: row.mention,
        "about": lambda row: row.score >= threshold > 0,
    }
    groups = {part: [row for row in rows if row.part == part] for part in ("chosen_on", "test", "options")}
    groups["histories"] = [row for row in rows if row.history]
    groups |= {f"test, {name}": [row for row in groups["test"] if row.target == name] for name in TARGETS}
    lines = ["| part | read | about the target | rule | precision | recall |", "|---|---:|---:|---|---|---|"]
    for part, group in groups.items():
        for rule, takes in rules.items():
            cells = " | ".join(map(_cell, quality(group, takes)))
            lines.append(f"| {part} | {len(group)} | {sum(row.verdict for row in group)} | {rule} | {cells} |")
    return lines


def _cell(share: Estimate) -> str:
    if not share.n:
        return "none taken"
    interval = f" [{share.low:.2f}, {share.high:.2f}]" if share.low is not None else ""
    return f"{share.value:.2f}{interval}"


def draw(items: dict[str, Item], judge: Judge, number: int) -> None:
    """Print rows to judge, in the order of a seeded shuffle of all that mention the target."""
    for name, target in judge.targets.items():
        found = sorted(key for key, item in items.items() if judge.mentions(item, target))
        for key in random.Random(f"0:{name}").sample(found, len(found))[:number]:
            item = items[key]
            options = " / ".join(f"{'*' * (place == item.answer)}{text}" for place, text in enumerate(item.options))
            print(f"{name}\t{key}\t{' '.join(item.question.split())}\t{options}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="MedMCQA in JSON lines")
    parser.add_argument("--threshold", type=float, default=ForgetTarget().about, help="forget.about")
    parser.add_argument("--draw", type=int, default=0, help="print so many rows a target to judge, and stop")
    arguments = parser.parse_args()
    items = {item.id: item for item in MedMCQA(path=arguments.path).load().items}
    judge = Judge(read_hierarchy(FOLDER / "medical4.tsv"))
    if arguments.draw:
        draw(items, judge, arguments.draw)
        return
    for line in table(judged(items, judge), arguments.threshold):
        print(line)


if __name__ == "__main__":
    main()
