"""Quick evaluations ("looks") during the loop, and the rule that ends a run before its last step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.order import sample
from duolearn_cli.evaluation.metrics.gold import LEVEL, Way, way
from duolearn_cli.evaluation.metrics.intervals import FEW_FACTS
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.pipeline.answers import score_items, without_concepts
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.study import Study

# Quick evaluations per run: a few to show progress, more if the run may end by one of them.
LOOKS, LOOKS_TO_STOP = 5, 20
# A run may end only if its retain accuracy is at least this share of the target's.
KEPT = 0.99
# The allowed distance from the other model, as a share of the distance between the target and that model [D].
NEAR = 0.25
# Part of the cache key. Raise it when a change of code changes the contents of a look.
LOOK = 2


@dataclass(frozen=True, slots=True)
class Look:
    """The answers of a model to `quick_items`. The cache stores it as JSON.

    Attributes:
        means: mean loss (nats) and accuracy of each side.
        nll: the loss of the right answer of each forget item (nats).
        chance: the probability of that answer among the options.
        facts: the fact of each forget item.
    """

    means: Mapping[str, float]
    nll: Sequence[float]
    chance: Sequence[float]
    facts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Goal:
    """The condition that ends a run early, judged on `quick_items` [D].

    A run ends when it answers forget items as another model does (``gold`` or ``base``), and its retain accuracy is at
    least `KEPT` times the target's. "As another model does" means: the loss of the right answer and its probability
    have both moved from the target's values to the other model's, within `NEAR` of that distance on either side.

    Both are equivalence tests (`metrics.gold.way`) clustered by facts, at level `LEVEL` / `looks`. So a run that is
    further away at every look ends by mistake with a probability of at most `LEVEL`. A one-sided test ("the loss is not
    below") would not do: a method may overshoot in one step.

    Attributes:
        target: the look of the target model.
        other: the look of the model to end at.
        looks: the number of looks in a full run.
    """

    target: Look
    other: Look
    looks: int

    @classmethod
    def of(cls, lab: Laboratory, which: str, looks: int) -> Goal:
        """Return the goal of answering as `which` does, ``gold`` or ``base``. Loads that model, then the target."""
        items = quick_items(lab.study)
        forget, retain = map(without_concepts, items.values())
        looks_of = {}
        for name in (which, "target"):
            loaded = lab.load(name)
            stored = loaded.keep("look", [LOOK, forget, retain], partial(_stored_look, loaded))
            looks_of[name] = Look(**stored)
        facts = len(set(looks_of[which].facts))
        if facts < FEW_FACTS:
            lab.display.note(
                f"unlearn.stop={which} cannot end this run early: quick evaluations have {facts} validation facts, and "
                f"at least {FEW_FACTS} are needed (evaluation.quick_items, split.validation_fraction)"
            )
        return cls(looks_of["target"], looks_of[which], looks)

    def ways(self, now: Look) -> dict[str, Way]:
        """Return how far forget items have moved from the target to the other model, by ``nll`` and ``chance``."""
        return {
            name: way(
                getattr(self.target, name),
                getattr(self.other, name),
                getattr(now, name),
                now.facts,
                margin=NEAR,
                level=LEVEL / self.looks,
            )
            for name in ("nll", "chance")
        }

    def is_reached(self, now: Look) -> bool:
        """Return whether a run may end at this look."""
        # Forgetting alone would also let a model pass that no longer answers anything.
        retains = now.means["retain_accuracy"] >= KEPT * self.target.means["retain_accuracy"]
        return retains and all(way.is_shown for way in self.ways(now).values())

    def as_dict(self, now: Look) -> dict[str, Any]:
        """Return the entry of run.json about the look that ended the run."""
        ways = {name: [way.value, way.low, way.high] for name, way in self.ways(now).items()}
        return {**ways, "margin": NEAR, "looks": self.looks, "facts": len(set(now.facts))}


def between_looks(config: RunConfig, steps: int) -> int:
    """Return the number of steps between quick evaluations, in a run of `steps` steps."""
    looks = LOOKS if config.unlearn.stop == "none" else LOOKS_TO_STOP
    return config.unlearn.evaluate_every or max(1, steps // looks)


def quick_items(study: Study) -> dict[str, tuple[Item, ...]]:
    """Return a sample of forget and retain items of the validation part, with held-out phrasings if there are any.

    Validation items, because choices made by them must not touch the items that the final evaluation reports.
    """
    splits, whole, config = study.evaluated("validation"), study.splits, study.config
    # A side with a single fact has no validation part.
    sides = {
        "forget": splits.forget_heldout or splits.forget_train or whole.forget_train,
        "retain": splits.retain_heldout or splits.retain_train or whole.retain_train,
    }
    return {name: sample(items, config.evaluation.quick_items, config.split.seed) for name, items in sides.items()}


def _stored_look(loaded: LoadedModel) -> dict[str, Any]:
    """The `look` of a loaded model as a JSON value."""
    return asdict(look(loaded.model, loaded.encoder, loaded.study))


def look(model: LanguageModel, encoder: Encoder, study: Study) -> Look:
    """Evaluate the network with its present weights, such as those in training, on both sides of `quick_items`."""
    means: dict[str, float] = {}
    sides = quick_items(study)
    answers = {name: score_items(model, encoder, study, items) for name, items in sides.items()}
    for name, own in answers.items():
        means[f"{name}_accuracy"] = sum(answer.correct for answer in own) / len(own)
        means[f"{name}_nll"] = sum(answer.nll for answer in own) / len(own)
    forget = answers["forget"]
    chance = [answer.chances[answer.answer] for answer in forget]
    return Look(means, [answer.nll for answer in forget], chance, [answer.fact for answer in forget])
