"""Looks at the model during the loop, and where a run may end before its last step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.evaluation.metrics.gold import LEVEL, Way, way
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS
from duolearn_cli.pipeline.answers import score_items
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.study import Study

# Quick evaluations a run: few to look at, more to end by.
LOOKS, LOOKS_TO_STOP = 5, 20
# Of the retain items that the target answers rightly, the share that a run must still answer so before it may end.
KEPT = 0.99
# How far from the other model it may be then, as a share of the way there from the target [D].
NEAR = 0.25
# Raise this when what a look finds changes.
LOOK = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What a model makes of `quick_items`: of each forget item the loss of its right answer, that answer's
    probability among the options, and its fact; and both sides' mean loss and accuracy.
    """

    means: Mapping[str, float]
    nll: Sequence[float]
    chance: Sequence[float]
    facts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a run may end, on `quick_items` [D]: where it is shown, after all the looks that are had, that forget items
    are answered as by another model, and retain items are right at least `KEPT` times as often as with the target.

    As by another model: the loss of the right answer and its probability have both gone the whole way from the target's
    to that model's, give or take `NEAR` of it on either side. Both are tests of equivalence (`metrics.gold.way`) by
    facts, at `LEVEL` over the number of looks: a run that is further away than that at every look ends by mistake with
    a chance of at most `LEVEL`. That a loss is not below is not enough: methods leap beyond in one step.

    Attributes:
        looks: how often a run is looked at.
    """

    target: Look
    other: Look
    looks: int

    @classmethod
    def of(cls, lab: Laboratory, which: str, looks: int) -> Goal:
        """The goal to answer forget items as ``gold`` or ``base`` does. Loads that model, then the target."""
        items = quick_items(lab.study)
        forget, retain = ([asdict(item) | {"concepts": ()} for item in side] for side in items.values())
        looks_of = {}
        for name in (which, "target"):
            kept = lab.load(name).keep("look", [LOOK, forget, retain], lambda: asdict(look(lab)))
            looks_of[name] = Look(**kept)
        facts = len(set(looks_of[which].facts))
        if facts < FEW_FACTS:
            lab.display.note(
                f"unlearn.stop={which} ends no run early that is looked at with {facts} validation facts: "
                f"it takes {FEW_FACTS} (evaluation.quick_items, split.validation_fraction)"
            )
        return cls(looks_of["target"], looks_of[which], looks)

    def ways(self, found: Look) -> dict[str, Way]:
        """How far forget items have gone from the target to the other model, by what is compared."""
        return {
            name: way(
                getattr(self.target, name),
                getattr(self.other, name),
                getattr(found, name),
                found.facts,
                margin=NEAR,
                level=LEVEL / self.looks,
            )
            for name in ("nll", "chance")
        }

    def is_reached(self, found: Look) -> bool:
        """Whether a run may end at this look."""
        kept = found.means["retain_accuracy"] >= KEPT * self.target.means["retain_accuracy"]
        return kept and all(one.is_shown for one in self.ways(found).values())

    def told(self, found: Look) -> dict[str, Any]:
        """What run.json says about the look that ended the run."""
        ways = {name: [one.value, one.low, one.high] for name, one in self.ways(found).items()}
        return {**ways, "margin": NEAR, "looks": self.looks, "facts": len(set(found.facts))}


def between_looks(config: RunConfig, steps: int) -> int:
    """The number of steps from one quick evaluation to the next, in a run of `steps`."""
    looks = LOOKS if config.unlearn.stop == "none" else LOOKS_TO_STOP
    return config.unlearn.evaluate_every or max(1, steps // looks)


def quick_items(study: Study) -> dict[str, tuple[Item, ...]]:
    """A few forget and retain items of the validation part, held-out phrasings where there are any."""
    splits, whole, config = study.evaluated("validation"), study.splits, study.config
    # A side of one fact has no validation part.
    sides = {
        "forget": splits.forget_heldout or splits.forget_train or whole.forget_train,
        "retain": splits.retain_heldout or splits.retain_train or whole.retain_train,
    }
    return {name: sample(items, config.evaluation.quick_items, config.split.seed) for name, items in sides.items()}


def look(lab: Laboratory) -> Look:
    """What the network, with the weights that it has now, makes of both sides of `quick_items`."""
    means: dict[str, float] = {}
    sides = quick_items(lab.study)
    answers = {name: score_items(lab.model, lab.encoder, lab.study, items) for name, items in sides.items()}
    for name, own in answers.items():
        means[f"{name}_accuracy"] = sum(answer.correct for answer in own) / len(own)
        means[f"{name}_nll"] = sum(answer.nll for answer in own) / len(own)
    forget = answers["forget"]
    chance = [answer.chances[answer.answer] for answer in forget]
    return Look(means, [answer.nll for answer in forget], chance, [answer.fact for answer in forget])
