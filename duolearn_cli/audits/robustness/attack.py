"""The interface of attacks: how an attack changes the model or the prompt, and which items it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from duolearn_cli.audits.robustness.material import SIDES, Material
from duolearn_cli.data.items import Item
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.pipeline.loaded_model import LoadedModel

# The models that most attacks are tried on: what an attack finds in the unlearned model is compared with the other two.
COMPARED = ("target", "gold", "unlearned")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The model's answer to one item under an attack.

    Attributes:
        correct: 1 if the answer is right, 0 if wrong, a share if right and wrong options tie.
        chance: one over the number of options.
        nll: negative log-likelihood of the right answer, nats per token. None if the attack gives no likelihood.
    """

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
        name: the kind of attack, such as ``relearn``.
        variant: the setting of this attack, unique within its kind.
        apply: a context manager that attacks a loaded model, yields a function that scores items under the attack, and
            restores the model at the end.
        phrasings: which phrasings of a fact are asked: ``all``, ``trained`` or ``heldout``.
        compared_with: the accuracy without the attack that this one is compared with: on the ``same`` items, or on the
            same facts in ``trained`` phrasings.
        models: the models that the attack is tried on.
        used: facts that the attack itself taught or showed the model; they do not count.
        details: the setting in numbers and words, for robustness.json.
        vary: the variations in which an item is asked; their answers are averaged. Empty: the item is not asked.
    """

    name: str
    variant: str
    apply: Callable[[LoadedModel], AbstractContextManager[Scorer]]
    phrasings: str = "all"
    compared_with: str = "same"
    models: tuple[str, ...] = COMPARED
    used: frozenset[str] = frozenset()
    details: Mapping[str, Any] = field(default_factory=dict)
    vary: Callable[[Item], Sequence[Item]] = _itself

    def rows(self, loaded: LoadedModel, material: Material) -> Iterator[dict[str, Any]]:
        """Try the attack on a loaded model, and yield one row of robustness.jsonl for each variation of each item."""
        with self.apply(loaded) as scorer:
            for side in SIDES:
                questions = [
                    (item, repeat, varied)
                    for item in material.side(side, self.phrasings)
                    for repeat, varied in enumerate(self.vary(item))
                ]
                # All variations of a side in one call, which the scorer splits into full batches.
                verdicts = scorer([varied for _, _, varied in questions])
                for (item, repeat, _), verdict in zip(questions, verdicts, strict=True):
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
    """An attack that does not apply to this run, and the reason, for robustness.json."""

    name: str
    variant: str
    reason: str


def scorer(loaded: LoadedModel, encoder: Encoder | None = None) -> Scorer:
    """A function that scores items on a loaded model by log-probabilities.

    `encoder` words the prompts; the default is the run's own.
    """

    tokens = loaded.study.config.evaluation.batch_tokens
    return lambda items: verdicts(loaded.model, encoder or loaded.encoder, items, tokens)


def verdicts(model: LanguageModel, encoder: Encoder, items: Sequence[Item], batch_tokens: int) -> list[Verdict]:
    """Score items by log-probabilities of `model` with its present weights, whatever an attack has made of them."""
    return [Verdict(one.correct, one.chance, one.nll) for one in score(model, encoder, items, batch_tokens)]
