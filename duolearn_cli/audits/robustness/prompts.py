"""Asking otherwise: order and names of options, form of the prompt, words around the question, examples, a role."""

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
from duolearn_cli.pipeline.laboratory import LoadedModel
from duolearn_cli.pipeline.study import Study

NAME = "prompts"
NO_ORDER = "a cloze prompt shows no options: their order plays no part"


def attacks(study: Study, tokenizer: Any, material: Material) -> Iterator[Attack | Skipped]:
    """Every other way to ask that this run's prompt and tokenizer allow, and what they do not."""
    config, settings = study.config, study.config.audit.robustness
    yield from _orders(config.prompt, settings.shuffles, config.seed)
    yield from _labels(config.prompt, tokenizer, material)
    other = "letter" if config.prompt.form == "cloze" else "cloze"
    asked = _Asked(tokenizer, (*material.forget, *material.retain))
    otherwise = asked(f"{other} form", replaced(config.prompt, other), Wording(), {"form": other})
    alone = isinstance(otherwise, Attack) and other == "cloze"
    yield replace(otherwise, vary=if_alone) if alone else otherwise
    for name, wording in FRAMES.items():
        yield asked(f"frame: {name}", config.prompt, wording, {"head": wording.head, "tail": wording.tail})
    yield _heldout(material)
    sentence = expert(study.target.name)
    yield asked("role", config.prompt, Wording(before=sentence), {"before": sentence})
    shots = examples(study.splits.retain_train, settings.shots, config.seed)
    used = frozenset(facts_of(shots))
    details = {"shots": [shot.id for shot in shots]}
    few = asked(f"{len(shots)} shots", config.prompt, Wording(shots=shots), details)
    yield replace(few, used=used) if isinstance(few, Attack) else few


def replaced(prompt: PromptConfig, form: str) -> PromptConfig:
    """The same prompt settings with another form."""
    return PromptConfig(form=form, chat=prompt.chat, max_tokens=prompt.max_tokens, max_cut=prompt.max_cut)


def examples(items: Sequence[Item], count: int, seed: int) -> tuple[Item, ...]:
    """`count` items about different facts, in a seeded order; fewer where there are not so many facts less one."""
    by_fact: dict[str, Item] = {}
    for item in items:
        by_fact.setdefault(item.fact_id, item)
    facts = sorted(by_fact)
    # One fact at least stays to be asked.
    return tuple(by_fact[fact] for fact in random.Random(f"{seed}:shots").sample(facts, min(count, len(facts) - 1)))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Makes attacks that ask `items` in other words; `cut` of their details says how many lose words or shots."""

    tokenizer: Any
    items: Sequence[Item]

    def __call__(
        self, variant: str, prompt: PromptConfig, wording: Wording, details: dict[str, Any]
    ) -> Attack | Skipped:
        encoder, unread = RewordedEncoder(self.tokenizer, prompt, wording), 0
        for item in self.items:
            try:
                encoder.measure(item)
            except UnreadableError:
                unread += 1
        if unread:
            reason = f"{unread} items are too long in these words; raise prompt.max_tokens={prompt.max_tokens}"
            return Skipped(NAME, variant, reason)
        details = details | ({"cut": len(encoder.cut)} if encoder.cut else {})
        return Attack(
            NAME,
            variant,
            _with(lambda loaded: RewordedEncoder(loaded.model.tokenizer, prompt, wording)),
            details=details,
        )


def _with(make: Callable[[LoadedModel], Encoder]) -> Callable[[LoadedModel], Any]:
    return lambda loaded: nullcontext(scorer(loaded, make(loaded)))


def _orders(prompt: PromptConfig, count: int, seed: int) -> Iterator[Attack | Skipped]:
    variant = f"{count} other orders"
    if prompt.form == "cloze":
        yield Skipped(NAME, "other orders", NO_ORDER)
        return

    def vary(item: Item) -> list[Item]:
        orders = (reordered(item, random.Random(f"{seed}:order:{repeat}:{item.id}")) for repeat in range(count))
        return [order for order in orders if order is not None]  # none for options that name places

    yield Attack(NAME, variant, lambda loaded: nullcontext(scorer(loaded)), details={"orders": count}, vary=vary)


def _labels(prompt: PromptConfig, tokenizer: Any, material: Material) -> Iterator[Attack | Skipped]:
    """A letter prompt with the last letters of the alphabet, and one with digits."""
    items, letter = (*material.forget, *material.retain), replaced(prompt, "letter")
    letters = last_letters(items)
    for variant, labels in ((f"letters {letters[0]} to {letters[-1]}", letters), ("digits", DIGITS)):
        wording = Wording(labels=labels)
        if len(labels) < max(len(item.options) for item in items):
            yield Skipped(NAME, variant, f"an item has more than {len(labels)} options")
        elif reason := confused_labels(RewordedEncoder(tokenizer, letter, wording), items):
            yield Skipped(NAME, variant, reason)
        else:
            renamed = _Asked(tokenizer, items)(variant, letter, wording, {"labels": labels[: len(letters)]})
            yield replace(renamed, vary=if_renamed) if isinstance(renamed, Attack) else renamed


def _heldout(material: Material) -> Attack | Skipped:
    items = material.side("forget", "heldout")
    if not items:
        return Skipped(NAME, "held-out phrasings", "the data asks each fact in one way only")
    # Copies with their options in another order ask in the same words.
    variant = "options in another order" if all(map(is_shuffled, items)) else "held-out phrasings"
    return Attack(NAME, variant, lambda loaded: nullcontext(scorer(loaded)), phrasings="heldout", before="trained")
