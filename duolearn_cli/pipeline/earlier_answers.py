"""original.jsonl: what the figures about earlier requests need beside predictions.jsonl.

These are the request of each earlier item, and the answers of the target that the chain of requests began with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.data.earlier import EARLIER
from duolearn_cli.evaluation import requests
from duolearn_cli.evaluation.answer import Answer, Answers
from duolearn_cli.files import write_jsonl
from duolearn_cli.pipeline.stored import read_answers

FILE = "original.jsonl"
# The splits that are compared with the original target.
COMPARED = (EARLIER, "retain_train", "retain_heldout")


@dataclass(frozen=True, eq=False, slots=True)
class Earlier:
    """Name and facts of each earlier request, and the original target's answers by item id; none if it was lost."""

    requests: Sequence[tuple[str, frozenset[str]]]
    original: Mapping[str, Answer]

    def figures(self, answers: Mapping[str, Answers]) -> dict[str, Any]:
        """``requests`` and ``kept_of_original`` of metrics.json, from answers by model and split."""
        return {
            "requests": requests.summarise(self.requests, answers, self.original),
            "kept_of_original": requests.kept_of_original(answers["unlearned"], self.original),
        }

    def write(self, folder: Path, answers: Answers) -> None:
        """Write original.jsonl: one row for each item that figures compare, from the unlearned model's `answers`."""
        asked = {one.id: one for split in COMPARED for one in answers.get(split, ())}
        write_jsonl(folder / FILE, [row for one in asked.values() if (row := self._row(one))])

    def _row(self, asked: Answer) -> dict[str, Any] | None:
        numbers = [number for number, (_, facts) in enumerate(self.requests, start=1) if asked.fact in facts]
        known = self.original.get(asked.id)
        if not numbers and not known:
            return None
        answer = known.as_dict() if known else None
        return {"id": asked.id, "fact": asked.fact, "requests": numbers, "answer": answer}


def read_earlier(folder: Path, names: Sequence[str]) -> Earlier:
    """Read original.jsonl of a run after requests of these names.

    Raises:
        RunError: naming file and line of what is no such row.
    """
    facts: list[set[str]] = [set() for _ in names]
    original: dict[str, Answer] = {}
    for fact, numbers, answer in read_answers(folder / FILE, len(names)):
        for number in numbers:
            facts[number - 1].add(fact)
        if answer:
            original[answer.id] = answer
    return Earlier([(name, frozenset(own)) for name, own in zip(names, facts, strict=True)], original)
