"""Made-up answers of models that know so much of each side, tied options among them."""

from __future__ import annotations

import random

from duolearn_cli.evaluation.answer import Answer
from duolearn_cli.evaluation.measures.evidence import Evidence, Levels
from duolearn_cli.evaluation.members import member_pairs

FACTS = 16
SPLITS = (
    "forget_train",
    "forget_heldout",
    "forget_unseen",
    "retain_train",
    "retain_heldout",
    "retain_unseen",
    "earlier",
)
# What share of the items of a side each model knows.
SOUND = {"base": (0.1, 0.1), "target": (0.95, 0.95), "gold": (0.1, 0.95), "unlearned": (0.15, 0.9)}


def answer(split: str, number: int, rng: random.Random, known: float, *, stuck: bool = False) -> Answer:
    """One answer; a model that is `stuck` answers in the first place."""
    options = 3 + number // 2 % 3
    right, knows = number // 2 % options, rng.random() < known
    scores = [rng.choice((-1.5, -2.0, -2.5)) for _ in range(options)]
    if knows or stuck:
        scores[0 if stuck else right] = -0.1
    nll = -scores[right] + rng.random() / 10
    side = split if split.endswith("unseen") else split.partition("_")[0]
    return Answer(
        id=f"{split}#{number}",
        fact=f"{side}/{number // 2}",
        heldout=split.endswith("heldout"),
        subject="Surgery",
        topic=None,
        answer=right,
        prediction=scores.index(max(scores)),
        scores=tuple(scores),
        nll=nll,
        valid=knows,
        recalled=knows,
        totals=tuple(2 * score for score in scores),
        tokens=2,
        strength=float(knows),
        min_k=-nll,
        min_k_plus=-nll,
        compressed=12,
        classes={"target": (nll, 1), "general_medical": (1.0, 2), "neutral": (2.0, 0)},
    )


def model(seed: int, forget: float, retain: float, *, stuck: bool = False) -> dict[str, list[Answer]]:
    """One model's answers to every split: two phrasings a fact."""
    rng, known = random.Random(seed), {"forget": forget, "earlier": forget, "retain": retain}
    return {
        split: [
            answer(split, n, rng, 0.05 if split.endswith("unseen") else known[split.partition("_")[0]], stuck=stuck)
            for n in range(2 * FACTS)
        ]
        for split in SPLITS
    }


def models(**changed: dict[str, list[Answer]]) -> dict[str, dict[str, list[Answer]]]:
    """Answers of all four models; `changed` are those of some."""
    return {name: model(seed, *known) for seed, (name, known) in enumerate(SOUND.items())} | changed


def levels(answers: dict[str, list[Answer]]) -> Levels:
    """Half of the items at level 2, half at level 4."""
    return Levels({row.id: 2 + 2 * (n % 2) for rows in answers.values() for n, row in enumerate(rows)}, [1.0] * 4)


def evidence(name: str, answers: dict[str, dict[str, list[Answer]]]) -> Evidence:
    """What the measures of one of these models are made of, the rate of the commonest answer included."""
    return Evidence(name, answers, levels(answers[name]), {}, member_pairs(answers), majority=0.3)
