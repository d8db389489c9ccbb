"""Attacks that ask in another way: order and labels of the options, form, wording, few-shot examples, a role."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from duolearn_cli.audits.robustness.attack import Attack, Skipped, scorer
from duolearn_cli.audits.robustness.material import Material, facts_of
from duolearn_cli.audits.robustness.wording import (
    DIGITS,
    FRAMES,
    RewordedEncoder,
    Wording,
    confused_labels,
    expert,
    last_letters,
)
from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.option_references import if_alone, if_renamed
from duolearn_cli.data.shuffling import is_shuffled, reordered
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.prompt_layout import UnreadableError
from duolearn_cli.pipeline.loaded_model import LoadedModel
from duolearn_cli.pipeline.study import Study

NAME = "prompts"
NO_ORDER = "a cloze prompt shows no options: their order plays no part"  # in robustness.json
NO_LIST = "some items continue a text, which lists no options"


def attacks(study: Study, tokenizer: Any, material: Material) -> Iterator[Attack | Skipped]:
    """All prompt attacks: those that this run's prompt form and tokenizer allow, and why the others are skipped."""
    config, settings = study.config, study.config.audit.robustness
    yield from _orders(config.prompt, settings.shuffles, config.seed)
    yield from _labels(config.prompt, tokenizer, material)
    form = "letter" if config.prompt.form == "cloze" else "cloze"
    reworded = _RewordedAttacks(tokenizer, (*material.forget, *material.retain))
    other_form = reworded(f"{form} form", replaced(config.prompt, form), Wording(), {"form": form})
    shows_no_options = isinstance(other_form, Attack) and form == "cloze"
    yield replace(other_form, vary=if_alone) if shows_no_options else other_form
    for name, wording in FRAMES.items():
        yield reworded(f"frame: {name}", config.prompt, wording, {"head": wording.head, "tail": wording.tail})
    yield _heldout(material)
    sentence = expert(study.target.name)
    yield reworded("role", config.prompt, Wording(before=sentence), {"before": sentence})
    shots = examples(study.splits.retain_train, settings.shots, config.seed)
    # The shots show their answers: their facts do not count.
    used = frozenset(facts_of(shots))
    details = {"shots": [shot.id for shot in shots]}
    few_shot = reworded(f"{len(shots)} shots", config.prompt, Wording(shots=shots), details)
    yield replace(few_shot, used=used) if isinstance(few_shot, Attack) else few_shot


def replaced(prompt: PromptConfig, form: str) -> PromptConfig:
    """The same prompt settings with another form, ``cloze`` or ``letter``."""
    return PromptConfig(form=form, chat=prompt.chat, max_tokens=prompt.max_tokens, max_cut=prompt.max_cut)


def examples(items: Sequence[Item], count: int, seed: int) -> tuple[Item, ...]:
    """Draw up to `count` items about different facts, in a seeded order. At least one fact is left to ask."""
    by_fact: dict[str, Item] = {}
    for item in items:
        by_fact.setdefault(item.fact_id, item)
    facts = sorted(by_fact)
    return tuple(by_fact[fact] for fact in random.Random(f"{seed}:shots").sample(facts, min(count, len(facts) - 1)))


@dataclass(frozen=True, slots=True)
class _RewordedAttacks:
    """Makes attacks that ask `items` in another wording.

    If a prompt is too long, shots and then words of the question are cut; `cut` in the details counts such items. If an
    item does not even fit then, the attack is skipped.
    """

    tokenizer: Any
    items: Sequence[Item]

    def __call__(
        self, variant: str, prompt: PromptConfig, wording: Wording, details: dict[str, Any]
    ) -> Attack | Skipped:
        if prompt.form == "letter" and any(item.continues for item in self.items):
            return Skipped(NAME, variant, NO_LIST)
        encoder, num_too_long = RewordedEncoder(self.tokenizer, prompt, wording), 0
        for item in self.items:
            try:
                encoder.measure(item)
            except UnreadableError:
                num_too_long += 1
        if num_too_long:
            reason = f"{num_too_long} items are too long in these words; raise prompt.max_tokens={prompt.max_tokens}"
            return Skipped(NAME, variant, reason)
        details = details | ({"cut": len(encoder.cut)} if encoder.cut else {})
        apply = _scoring_with(lambda loaded: RewordedEncoder(loaded.model.tokenizer, prompt, wording))
        return Attack(NAME, variant, apply, details=details)


def _scoring_with(make: Callable[[LoadedModel], Encoder]) -> Callable[[LoadedModel], Any]:
    """An attack that leaves the model as it is and scores it with the prompts of another encoder."""
    return lambda loaded: nullcontext(scorer(loaded, make(loaded)))


def _orders(prompt: PromptConfig, count: int, seed: int) -> Iterator[Attack | Skipped]:
    """Ask each item with its options in `count` other orders."""
    variant = f"{count} other orders"
    if prompt.form == "cloze":
        yield Skipped(NAME, "other orders", NO_ORDER)
        return

    def vary(item: Item) -> list[Item]:
        orders = (reordered(item, random.Random(f"{seed}:order:{repeat}:{item.id}")) for repeat in range(count))
        return [order for order in orders if order is not None]  # None: options such as "both A and B" fix the order

    yield Attack(NAME, variant, lambda loaded: nullcontext(scorer(loaded)), details={"orders": count}, vary=vary)


def _labels(prompt: PromptConfig, tokenizer: Any, material: Material) -> Iterator[Attack | Skipped]:
    """Ask in a letter prompt with the last letters of the alphabet as labels, and with digits."""
    items, letter = (*material.forget, *material.retain), replaced(prompt, "letter")
    # The run's own letter prompts use the first ones.
    letters = last_letters(items)
    for variant, labels in ((f"letters {letters[0]} to {letters[-1]}", letters), ("digits", DIGITS)):
        wording = Wording(labels=labels)
        if any(item.continues for item in items):
            yield Skipped(NAME, variant, NO_LIST)
        elif len(labels) < max(len(item.options) for item in items):
            yield Skipped(NAME, variant, f"an item has more than {len(labels)} options")
        elif reason := confused_labels(RewordedEncoder(tokenizer, letter, wording), items):
            yield Skipped(NAME, variant, reason)
        else:
            renamed = _RewordedAttacks(tokenizer, items)(variant, letter, wording, {"labels": labels[: len(letters)]})
            yield replace(renamed, vary=if_renamed) if isinstance(renamed, Attack) else renamed


def _heldout(material: Material) -> Attack | Skipped:
    """Ask in held-out phrasings. Accuracy is compared with that on the same facts in trained ones."""
    items = material.side("forget", "heldout")
    if not items:
        return Skipped(NAME, "held-out phrasings", "the data asks each fact in one way only")
    # Some data sets have one phrasing a fact; their held-out copies only shuffle the options and are named so.
    variant = "options in another order" if all(map(is_shuffled, items)) else "held-out phrasings"
    return Attack(
        NAME, variant, lambda loaded: nullcontext(scorer(loaded)), phrasings="heldout", compared_with="trained"
    )
