"""Which questions a report shows: some of each kind of change from target to unlearned, always the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from duolearn_cli.evaluation.answer import SIDES, Answer, Answers

# By kind: side, whether the target was right, whether the unlearned model is.
KINDS = {
    "forgotten": ("forget", True, False),
    "kept": ("retain", True, True),
    "lost": ("retain", True, False),
    "known": ("forget", True, True),
}
# Examples of each kind.
SHOWN = 10


def examples(models: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """At most `SHOWN` questions of each kind, one a fact; none unless target and unlearned were scored.

    Returns:
        By question its ``kind``, how many questions there are of that kind (``count``) and of its side (``of``), its
        id, fact, split and subject, the right option (``answer``), and the option that each model chose (``chosen``).
    """
    if not {"target", "unlearned"} <= models.keys():
        return []
    return [row for kind in KINDS for row in _of_kind(kind, models)]


def _of_kind(kind: str, models: Mapping[str, Answers]) -> Iterator[dict[str, Any]]:
    side, knew, knows = KINDS[kind]
    rows = list(_rows(models, side))
    own = [row for row in rows if (_is_right(row[1]["target"]), _is_right(row[1]["unlearned"])) == (knew, knows)]
    # By a hash: the order must not depend on the data's, nor on a seed that a resumed run might not have.
    own.sort(key=lambda row: hashlib.sha256(row[1]["target"].id.encode()).digest())
    # Phrasings of one fact would fill the list with one and the same question.
    # Reversed, so that of several rows of a fact the first one stays in the dictionary.
    by_fact = {row[1]["target"].fact: row for row in reversed(own)}
    chosen = [row for row in own if by_fact[row[1]["target"].fact] is row][:SHOWN]
    for split, answers in chosen:
        one = answers["target"]
        yield {
            "kind": kind,
            "count": len(own),
            "of": len(rows),
            "id": one.id,
            "fact": one.fact,
            "split": split,
            "subject": one.subject,
            "answer": one.answer,
            "chosen": {name: own.prediction for name, own in answers.items()},
        }


def _rows(models: Mapping[str, Answers], side: str) -> Iterator[tuple[str, dict[str, Answer]]]:
    """Each question of a side with the answers of all models: its split, and the answers by model."""
    names = list(models)
    for split in SIDES[side]:
        for answers in zip(*(models[name].get(split, ()) for name in names), strict=True):
            yield split, dict(zip(names, answers, strict=True))


def _is_right(answer: Answer) -> bool:
    """Whether the right option alone has the highest score."""
    return answer.correct == 1
