"""The answers in a run folder, read back as they were when its figures were computed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.answer import Answers
from duolearn_cli.evaluation.document_score import WindowScore
from duolearn_cli.evaluation.perplexity import TextLoss
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.pipeline.assessment import Assessment, Written
from duolearn_cli.pipeline.item_files import NEARNESS, WINDOWS

T = TypeVar("T")
# Of Answer, what may have been no finite number; JSON has null for it.
MAY_BE_INFINITE = ("strength", "min_k", "min_k_plus")


@dataclass(frozen=True, eq=False, slots=True)
class Stored:
    """By model what it answered, and the hierarchy level of each item that has one, by id.

    `nearness` is the content of nearness.json, None for a run without documents.
    """

    assessed: Mapping[str, Assessment]
    levels: Mapping[str, int]
    nearness: Mapping[str, Any] | None = None

    @property
    def answers(self) -> dict[str, Answers]:
        """The answers by model and split."""
        return {name: one.answers for name, one in self.assessed.items()}


def read_stored(folder: Path) -> Stored:
    """Read predictions.jsonl, written.jsonl and plain.jsonl.

    Raises:
        RunError: naming file and line of what is no answer.
    """
    answers: dict[str, dict[str, list[Answer]]] = {}
    written: dict[str, list[Written]] = {}
    plain: dict[str, list[TextLoss]] = {}
    levels: dict[str, int] = {}
    for model, split, answer, level in _read(folder / "predictions.jsonl", _prediction):
        answers.setdefault(model, {}).setdefault(split, []).append(answer)
        if level is not None:
            levels[answer.id] = level
    for model, one in _read(folder / "written.jsonl", lambda row: (row.pop("model"), Written(**row))):
        written.setdefault(model, []).append(one)
    for model, one in _read(folder / "plain.jsonl", lambda row: (row.pop("model"), TextLoss(**row))):
        plain.setdefault(model, []).append(one)
    windows: dict[str, list[WindowScore]] = {}
    if (folder / WINDOWS).is_file():
        for model, score in _read(folder / WINDOWS, lambda row: (row.pop("model"), WindowScore.of(row))):
            windows.setdefault(model, []).append(score)
    if strangers := sorted({*written, *plain} - answers.keys()):
        raise RunError(f"{folder}: written.jsonl or plain.jsonl has a model without predictions: {strangers[0]}.")
    assessed = {
        model: Assessment(own, written.get(model, ()), plain.get(model, ()), windows.get(model, ()))
        for model, own in answers.items()
    }
    return Stored(assessed, levels, _nearness(folder / NEARNESS) if windows else None)


def _nearness(path: Path) -> dict[str, Any]:
    """Return the content of nearness.json. Raises RunError: it cannot be read, or is no such content."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"groups": dict(found["groups"]), "continuing": list(found["continuing"])}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RunError(f"{path} cannot be read: {error}. Restore it; without it figures cannot be checked.") from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file with one JSON object a line."""
    return list(_read(path, lambda row: row))


def _read(path: Path, make: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    try:
        # Not splitlines: a text may hold other separators of lines, which JSON leaves as they are.
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(lines if lines != [""] else [], start=1):
        try:
            yield make(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RunError(f"{path}, line {number}: this is no row of a run's answers ({error}).") from error


def read_answers(path: Path, count: int) -> list[tuple[str, list[int], Answer | None]]:
    """Read original.jsonl: of each item its fact, the numbers of its requests, and the original target's answer.

    Args:
        count: how many earlier requests there are.

    Raises:
        RunError: naming file and line of what is no such row.
    """

    def make(row: dict[str, Any]) -> tuple[str, list[int], Answer | None]:
        answer = _answer(row["answer"]) if row["answer"] else None
        if answer and (answer.id, answer.fact) != (row["id"], row["fact"]):
            raise ValueError(f"the answer is to {answer.id}, not to {row['id']}")
        if any(not isinstance(number, int) or not 1 <= number <= count for number in row["requests"]):
            raise ValueError(f"requests are {row['requests']}; there are {count}")
        return row["fact"], row["requests"], answer

    return list(_read(path, make))


def _prediction(row: dict[str, Any]) -> tuple[str, str, Answer, int | None]:
    level, _, _ = row.pop("level"), row.pop("pair"), row.pop("correct")
    model, split = row.pop("model"), row.pop("split")
    return model, split, _answer(row), level


def _answer(row: dict[str, Any]) -> Answer:
    numbers = {name: _number(row[name]) for name in MAY_BE_INFINITE}
    classes = {name: (_number(total), count) for name, (total, count) in row["classes"].items()}
    totals = [_number(total) for total in row["totals"]]
    return Answer.of({**row, **numbers, "classes": classes, "totals": totals})


def _number(value: float | None) -> float:
    return math.nan if value is None else value
