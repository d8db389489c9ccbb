"""The input of every formula: one model's answers with all that they are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from duolearn_cli.evaluation import members
from duolearn_cli.evaluation.answer import FORGET, RETAIN, Answer, Answers
from duolearn_cli.evaluation.metrics import calibration, hmta, membership
from duolearn_cli.evaluation.metrics.intervals import Estimate, mean

SPLITS = {"forget": FORGET, "retain": RETAIN, "both": (*FORGET, *RETAIN)}


@dataclass(frozen=True, slots=True)
class Levels:
    """The hierarchy level of items by id (items without a concept have none), and the weights of levels 1 to 4."""

    of_item: Mapping[str, int]
    weights: Sequence[float]


# No slots: a cached property needs the dictionary of the instance.
@dataclass(frozen=True, eq=False)
class Evidence:
    """One model's answers with all that its measures are compared with.

    Attributes:
        model: the model that is measured, a key of `models`.
        models: answers by model and split. All models answered the same items in the same order.
        levels: the levels of the concept hierarchy.
        floors: by id of a forget item the mark that needs no knowledge; 1 / number of options for items without one.
        pairs: members and non-members of the membership attacks.
        majority: the share of forget items that the commonest answer is right for, if that is beyond chance.
    """

    model: str
    models: Mapping[str, Answers]
    levels: Levels = Levels({}, (1.0,) * 4)
    floors: Mapping[str, float] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str]] = ()
    majority: float | None = None

    @property
    def answers(self) -> Answers:
        return self.models[self.model]

    def knows(self, need: str) -> bool:
        """Whether a model was scored, or, for ``majority``, whether it is known."""
        return self.majority is not None if need == "majority" else need in self.models

    def rows(self, side: str, model: str | None = None) -> list[Answer]:
        """A model's answers to a side, ``forget``, ``retain`` or ``both``: the trained facts in all phrasings."""
        answers = self.models[model or self.model]
        return [row for split in SPLITS[side] for row in answers.get(split, ())]

    def facts(self, side: str) -> list[str]:
        return [row.fact for row in self.rows(side)]

    def marks(self, side: str, mark: str, model: str | None = None) -> list[float]:
        """A field of each answer of a side as a number."""
        return [float(getattr(row, mark)) for row in self.rows(side, model)]

    def floor(self, side: str, mark: str, kind: str | None) -> list[float]:
        """The mark of each item of a side that needs no knowledge, see `Ratio.floor`; empty for None."""
        if kind == "gold":
            return self.marks(side, mark, "gold")
        if kind == "majority":
            return [max(row.chance, self.majority or 0.0) for row in self.rows(side)]
        return [self.floors.get(row.id, row.chance) for row in self.rows(side)] if kind == "chance" else []

    # Cached, because many measures each read one figure of the same attacks.
    @cached_property
    def attacks(self) -> tuple[dict[str, dict[str, Estimate]], dict[str, Any]]:
        """Every membership attack's figures, and the worst attack: see `membership.attacks`."""
        return membership.attacks(members.attack_scores(self.model, self.models, self.pairs))

    def attack(self, name: str, figure: str) -> Estimate | None:
        """One figure of a membership attack, or of the worst one (``worst``); None if there is none."""
        figures, worst = self.attacks
        return (worst if name == "worst" else figures.get(name, {})).get(figure)

    @cached_property
    def items_with_level(self) -> list[hmta.Scored]:
        """The items that have a level, with the target's mark and this model's; all phrasings of trained facts."""
        return [
            hmta.Scored(
                new.fact,
                self.levels.of_item[new.id],
                side == "forget",
                old.correct,
                new.correct,
                self.floors.get(new.id, new.chance),
            )
            for side in ("forget", "retain")
            for old, new in zip(self.rows(side, "target"), self.rows(side), strict=True)
            if new.id in self.levels.of_item
        ]

    @property
    def hmta(self) -> Estimate | None:
        return hmta.hmta(self.items_with_level, dict(enumerate(self.levels.weights, start=1)))

    def calibration(self, side: str) -> dict[str, Any]:
        """How sure this model is, and which places it answers; empty without items."""
        rows = self.rows(side)
        if not rows:
            return {}
        facts, chances = self.facts(side), [row.chances for row in rows]
        chosen, answers = [row.chosen for row in rows], [row.answer for row in rows]
        confidences = [own[row.prediction] for own, row in zip(chances, rows, strict=True)]
        return {
            "ece": calibration.expected_calibration_error(confidences, [row.correct for row in rows], facts),
            "confidence": mean(confidences, facts, most=1.0),
            "entropy": calibration.normalised_entropy(chances, facts),
            "position_bias": calibration.position_bias(chosen, answers, facts),
            "favourite_place": calibration.favourite_place(chosen, answers, facts),
            "positions": calibration.position_shares(chosen),
            "right_positions": calibration.position_shares(calibration.as_shares(answers)),
        }
