"""What an attack is: a way to score items, and the items that it is tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from duolearn_cli.audits.robustness.material import SIDES, Material
from duolearn_cli.data.items import Item
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.pipeline.laboratory import LoadedModel

COMPARED = ("target", "gold", "unlearned")


@dataclass(frozen=True, slots=True)
class Verdict:
    """An attack's answer to one item. `nll`: nats a token of the right answer, None where there is no likelihood."""

    correct: float
    chance: float
    nll: float | None


Scorer = Callable[[Sequence[Item]], list[Verdict]]


def _itself(item: Item) -> Sequence[Item]:
    return (item,)


@dataclass(frozen=True, eq=False, slots=True)
class Attack:
    """One attack in one setting.

    Attributes:
        name: its kind, `variant` the setting of it, `details` the same as numbers and words for a reader of files.
        during: makes of a loaded model, for the length of a ``with``, something that answers items.
        phrasings: what is asked: ``all``, or those in ``trained`` or ``heldout`` words.
        before: what accuracy is compared with: that of the ``same`` items, or of the same facts in ``trained`` words.
        models: the models that it is tried on.
        used: facts that the attack has told the model, which do not count.
        vary: the items that an item is asked as; their answers are averaged.
    """

    name: str
    variant: str
    during: Callable[[LoadedModel], AbstractContextManager[Scorer]]
    phrasings: str = "all"
    before: str = "same"
    models: tuple[str, ...] = COMPARED
    used: frozenset[str] = frozenset()
    details: Mapping[str, Any] = field(default_factory=dict)
    vary: Callable[[Item], Sequence[Item]] = _itself

    def rows(self, loaded: LoadedModel, material: Material) -> Iterator[dict[str, Any]]:
        """Try it on a loaded model: one row for each time an item is asked, as robustness.jsonl holds them."""
        with self.during(loaded) as scorer:
            for side in SIDES:
                asked = [
                    (item, repeat, varied)
                    for item in material.side(side, self.phrasings)
                    for repeat, varied in enumerate(self.vary(item))
                ]
                verdicts = scorer([varied for _, _, varied in asked])
                for (item, repeat, _), verdict in zip(asked, verdicts, strict=True):
                    yield {
                        "model": loaded.name,
                        "attack": self.name,
                        "variant": self.variant,
                        "side": side,
                        "id": item.id,
                        "fact": item.fact_id,
                        "heldout": item.heldout,
                        "used": item.fact_id in self.used,
                        "repeat": repeat,
                        "correct": verdict.correct,
                        "chance": verdict.chance,
                        "nll": verdict.nll,
                    }


@dataclass(frozen=True, slots=True)
class Skipped:
    """An attack that makes no sense here, and why."""

    name: str
    variant: str
    reason: str


def scorer(loaded: LoadedModel, encoder: Encoder | None = None) -> Scorer:
    """Score a loaded model by log-probabilities, with the run's own prompt or another."""

    def answer(items: Sequence[Item]) -> list[Verdict]:
        found = score(loaded.model, encoder or loaded.encoder, items, loaded.study.config.evaluation.batch_tokens)
        return [Verdict(one.correct, one.chance, one.nll) for one in found]

    return answer
