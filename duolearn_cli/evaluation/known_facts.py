"""Which facts a model knows: it answers every trained phrasing right, and not by the look of the options alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from duolearn_cli.evaluation.answer import Answer


def known_facts(
    answers: Iterable[Answer], alone: Mapping[str, Sequence[float]] | None = None, margin: float = 0.0
) -> frozenset[str]:
    """Return the facts whose trained phrasings are all known. Held-out phrasings are left to measure what that means.

    Args:
        answers: a model's answers.
        alone: by item id, the scores of its options under a question that asks for nothing; None: only being right
            counts.
        margin: see `lift`.
    """
    by_fact: dict[str, list[bool]] = defaultdict(list)
    for row in answers:
        if not row.heldout:
            by_fact[row.fact].append(row.correct == 1 and (alone is None or lift(row, alone[row.id]) >= margin))
    return frozenset(fact for fact, marks in by_fact.items() if all(marks))


def lift(row: Answer, alone: Sequence[float]) -> float:
    """Return how much more the question raises the right option than the wrong option that it raises most.

    In nats, per token in a cloze prompt. At 0 or below, the question does not favour the right answer, whatever the
    model would have guessed from the options.
    """
    raised = [with_question - without for with_question, without in zip(row.scores, alone, strict=True)]
    return raised[row.answer] - max(own for place, own in enumerate(raised) if place != row.answer)
