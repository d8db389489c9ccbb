"""What a tokenizer makes of a study's items, before anything is learned: too long, unreadable, alike, unknown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.data.items import Item, Rejected
from duolearn_cli.data.readers.checks import fold
from duolearn_cli.errors import ConfigError, ModelError
from duolearn_cli.model import truncation
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.model.prompt_layout import UnreadableError

# A question of which a larger share of the tokens is unknown to the tokenizer is told of.
MOSTLY = 0.5
SHOWN = 3
# Why items are left out whose questions become one.
CONFUSED = "questions_tokenise_alike"


@dataclass(frozen=True, eq=False)
class Texts:
    """All texts of a study as its tokenizer reads them.

    Attributes:
        encoder: what read them.
        num_items: how many items were read.
        cut: by item id, the tokens of the longest text whole, where that is over ``prompt.max_tokens``.
        spelled: items whose text spells control tokens, with what they spell.
        unknown: items most of whose question the tokenizer does not know.
        rejected: items that cannot be used.
        longest: tokens of the longest text, as it is used.
        lengths: by item id, the tokens of the longest text whole.
    """

    encoder: Encoder
    num_items: int
    cut: Mapping[str, int]
    spelled: Mapping[str, Sequence[str]]
    unknown: Collection[str]
    rejected: Sequence[Rejected]
    longest: int
    lengths: Mapping[str, int]

    @property
    def cut_share(self) -> float:
        return len(self.cut) / max(1, self.num_items)

    @property
    def is_ordinary(self) -> bool:
        """Whether the texts are what they were before long ones and spelled control tokens were treated apart."""
        return not self.cut and not self.encoder.control.met and (self.encoder.uses_chat or not self.encoder.around[1])

    def as_dict(self) -> dict[str, Any]:
        """Counts of items, for metrics.json."""
        return {
            "cut": len(self.cut),
            "cut_share": self.cut_share,
            "longest": self.longest,
            "special_tokens": len(self.spelled),
            "mostly_unknown": len(self.unknown),
            "rejected": dict(Counter(row.reason for row in self.rejected).most_common()),
        }

    def sentences(self) -> Iterator[str]:
        """What a user should know; nothing where there is nothing."""
        size, shown = self.encoder.prompt.max_tokens, _named
        if self.cut:
            yield (
                f"{len(self.cut)} of {self.num_items} items ({self.cut_share:.1%}) are longer than prompt.max_tokens="
                f"{size} and lose words in the middle of their question: {shown(self.cut)}"
            )
        if self.spelled:
            names = sorted({name for own in self.spelled.values() for name in own})
            yield (
                f"{len(self.spelled)} items spell control tokens of this tokenizer ({', '.join(names[:SHOWN])}); they "
                f"are read as plain text: {shown(self.spelled)}"
            )
        if self.encoder.omitted:
            yield (
                f"the chat template leaves out {' '.join(self.encoder.omitted)}, which this tokenizer writes before "
                "plain text: prompts begin as the template has them"
            )
        if self.unknown:
            yield (
                f"{len(self.unknown)} of {self.num_items} questions are mostly unknown to this tokenizer: "
                f"{shown(self.unknown)}"
            )
        for reason, count in Counter(row.reason for row in self.rejected).most_common():
            first = next(row for row in self.rejected if row.reason == reason)
            told = f"{count} items left out ({reason}), see rejected.jsonl; the first, {first.id}: {first.detail}"
            mend = self._confused_mend if reason == CONFUSED else ""
            yield f"{told}. Mend: {mend}" if mend else told

    @property
    def _confused_mend(self) -> str:
        """The settings with which no question is cut that the cut made another one's; empty where none was."""
        confused = {row.id for row in self.rejected if row.reason == CONFUSED}
        needed = [tokens for name, tokens in self.cut.items() if name in confused]
        return self._mend(max(needed)) if needed else ""

    def check(self, context: int | None) -> None:
        """Refuse too many cut items, and texts longer than the `context` that the model was made for.

        Raises:
            ConfigError, ModelError: with the mend.
        """
        prompt = self.encoder.prompt
        if context and self.longest > context:
            raise ModelError(
                f"the longest text has {self.longest} tokens, and the model was made for {context} "
                f"(max_position_embeddings). Mend: {self._mend(context)}."
            )
        if self.cut_share <= prompt.max_cut:
            return
        needed = max(self.cut.values())
        mends = [self._mend(min(needed, context or needed)), f"prompt.max_cut={_above(self.cut_share)}"]
        raise ConfigError(
            f"{len(self.cut)} of {self.num_items} items ({self.cut_share:.1%}) are longer than prompt.max_tokens="
            f"{prompt.max_tokens} and would lose part of their question; prompt.max_cut={prompt.max_cut:g} is "
            f"accepted. The longest has {needed} tokens. Mend: {' or '.join(mends)}."
        )

    def _mend(self, size: int) -> str:
        """The settings with which texts of up to `size` tokens are accepted."""
        share = sum(tokens > size for tokens in self.lengths.values()) / max(1, self.num_items)
        beside = f" prompt.max_cut={_above(share)}" if share > self.encoder.prompt.max_cut else ""
        return f"prompt.max_tokens={size}{beside}"


def _above(share: float) -> str:
    """A share rounded up, so that what is shown is enough."""
    return f"{min(1.0, math.ceil(1000 * share) / 1000):g}"


def read_texts(encoder: Encoder, items: Sequence[Item]) -> Texts:
    """Encode every option of every item, and find what is wrong with them.

    Raises:
        ConfigError: a letter prompt whose letters this tokenizer begins alike.
    """
    if encoder.prompt.form == "letter" and items:
        _check_letters(encoder, items)
    rejected: dict[str, Rejected] = {}
    asked: dict[tuple[int, ...], list[Item]] = {}
    spelled: dict[str, Sequence[str]] = {}
    unknown: list[str] = []
    lengths: dict[str, int] = {}
    longest = 0
    for item in items:
        try:
            texts = _texts(encoder, item)
        except UnreadableError as error:
            rejected[item.id] = _rejected(item, error.reason, error.detail)
            continue
        finally:
            lengths[item.id] = encoder.cut.get(item.id, 0)
        own = max(len(text.ids) for text in texts)
        longest, lengths[item.id] = max(longest, own), max(lengths[item.id], own)
        asked.setdefault(texts[0].ids[: texts[0].labels("answer")[0]], []).append(item)
        if names := encoder.control.spelled("\n".join((item.question, *item.options))):
            spelled[item.id] = names
        if _unknown_share(encoder, item, texts[0]) > MOSTLY:
            unknown.append(item.id)
        if pair := _alike(encoder, item, texts):
            first, second = (item.options[place] for place in pair)
            detail = f"this tokenizer reads options {pair[0] + 1} and {pair[1] + 1} alike: {first!r} and {second!r}"
            rejected[item.id] = _rejected(item, "options_tokenise_alike", detail)
    for group in asked.values():
        if len({fold(item.question) for item in group}) > 1:
            rejected |= {item.id: _confused(item, group) for item in group if item.id not in rejected}
    rejected |= _confused_when_cut(encoder, [item for item in items if item.id not in rejected], lengths)
    cut = {name: tokens for name, tokens in encoder.cut.items() if name in lengths}
    return Texts(encoder, len(items), cut, spelled, unknown, list(rejected.values()), longest, lengths)


def mend_of(rows: Iterable[Rejected], otherwise: str) -> str:
    """What a user can do about rows that cannot be read; a template that takes none of them is no fault of theirs."""
    if all(row.reason == "template" for row in rows):
        return "Mend the tokenizer's chat template, or set prompt.chat=never."
    return otherwise


def _texts(encoder: Encoder, item: Item) -> list[Encoded]:
    """Those that are scored: one an option, or the right letter's."""
    options = [item.answer] if encoder.prompt.form == "letter" else range(len(item.options))
    return [encoder.encode(item, option) for option in options]


def _alike(encoder: Encoder, item: Item, texts: Sequence[Encoded]) -> tuple[int, int] | None:
    """The first two options that are the same tokens."""
    if encoder.prompt.form == "letter":
        # Only within one question can they be told apart or not: each is read where an answer stands.
        read = [encoder.option_ids(option) for option in item.options]
    else:
        read = [tuple(text.ids[i] for i in text.labels("answer")) for text in texts]
    for second, ids in enumerate(read):
        first = read.index(ids)
        if first != second:
            return first, second
    return None


def _unknown_share(encoder: Encoder, item: Item, text: Encoded) -> float:
    """The share of unknown tokens among those of the question."""
    unknown = encoder.tokenizer.unk_token_id
    if unknown is None or unknown not in text.ids:
        return 0.0
    first, last = next(encoder.layouts(item)).question
    own = [i for i, (start, end) in enumerate(text.offsets) if first < end and start < last]
    return sum(text.ids[i] == unknown for i in own) / max(1, len(own))


def _check_letters(encoder: Encoder, items: Sequence[Item]) -> None:
    item = max(items, key=lambda one: len(one.options))
    try:
        texts = [encoder.encode(item, option) for option in range(len(item.options))]
    except UnreadableError:
        return  # told with the other items
    first = [text.ids[text.labels("answer")[0]] for text in texts]
    if len(set(first)) < len(first):
        raise ConfigError(
            "prompt.form=letter: this tokenizer begins several letters with the same token, so that all options would "
            "score alike. Mend: prompt.form=cloze."
        )


def _confused_when_cut(
    encoder: Encoder, items: Sequence[Item], lengths: Mapping[str, int]
) -> Iterator[tuple[str, Rejected]]:
    """Items whose question, as far as it is kept, may as well be another one's.

    How much goes depends on the longest option: two that differ where they are cut need not end up the same. Options
    that the prompt shows tell questions apart.
    """
    shown = encoder.prompt.form == "letter"
    pairs = sorted(((fold(item.question), item) for item in items), key=lambda pair: pair[0])
    questions = [question for question, _ in pairs]
    for item in items:
        kept = encoder.kept(item) if item.id in encoder.cut else None
        if kept is None:
            continue
        own, (head, tail) = fold(item.question), map(fold, kept)
        others = (pairs[place] for place in truncation.with_ends(questions, head, tail))
        found = (one for text, one in others if text != own and not (shown and one.options != item.options))
        if other := next(found, None):
            detail = (
                f"cut to prompt.max_tokens={encoder.prompt.max_tokens}, of {lengths[item.id]}, its question may as "
                f"well be that of item {other.id}"
            )
            yield item.id, _rejected(item, CONFUSED, detail)


def _confused(item: Item, group: Iterable[Item]) -> Rejected:
    other = next(one for one in group if fold(one.question) != fold(item.question))
    detail = f"cut to prompt.max_tokens or of unknown words, its question reads like that of item {other.id}"
    return _rejected(item, CONFUSED, detail)


def _rejected(item: Item, reason: str, detail: str) -> Rejected:
    return Rejected(item.source, item.row, item.id, reason, detail)


def _named(ids: Iterable[str]) -> str:
    names = list(ids)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
