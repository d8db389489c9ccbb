"""Check before training how a tokenizer reads the items: which are too long, unreadable, ambiguous or unknown."""

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

# A note comes for questions of which the tokenizer does not know a larger share of the tokens.
MOSTLY = 0.5
SHOWN = 3
# The reason for leaving out items whose questions become the same tokens.
CONFUSED = "questions_tokenise_alike"


@dataclass(frozen=True, eq=False)
class Texts:
    """All texts of a run as its tokenizer reads them. Lengths are in tokens.

    Attributes:
        encoder: the encoder that read them.
        num_items: the number of items.
        cut: by id of an item that is too long, the length of its longest text before the cut.
        spelled: by id of an item whose text spells control tokens, the names of these.
        unknown: ids of items whose question is mostly unknown to the tokenizer.
        rejected: items that cannot be used.
        longest: the length of the longest text after the cut.
        lengths: by item id, the length of its longest text before the cut.
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
        """The share of items that are too long."""
        return len(self.cut) / max(1, self.num_items)

    @property
    def is_ordinary(self) -> bool:
        """Whether no text needed special treatment: none was cut, and none spells a control token.

        Then the texts equal those of earlier versions, which did not treat such texts, and cached models stay valid.
        """
        return not self.cut and not self.encoder.control.seen and (self.encoder.uses_chat or not self.encoder.around[1])

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for metrics.json."""
        return {
            "cut": len(self.cut),
            "cut_share": self.cut_share,
            "longest": self.longest,
            "special_tokens": len(self.spelled),
            "mostly_unknown": len(self.unknown),
            "rejected": dict(Counter(row.reason for row in self.rejected).most_common()),
        }

    def sentences(self) -> Iterator[str]:
        """Yield what a user should know about the texts, one sentence each."""
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
            sentence = f"{count} items left out ({reason}), see rejected.jsonl; the first, {first.id}: {first.detail}"
            fix = self._confused_fix if reason == CONFUSED else ""
            yield f"{sentence}. Fix: {fix}" if fix else sentence

    @property
    def _confused_fix(self) -> str:
        """The settings with which no question becomes another one by the cut; empty if none did."""
        confused = {row.id for row in self.rejected if row.reason == CONFUSED}
        needed = [tokens for name, tokens in self.cut.items() if name in confused]
        return self._fix(max(needed)) if needed else ""

    def check(self, context: int | None) -> None:
        """Refuse too many items that would be cut, and texts longer than the model's `context` (tokens, or None).

        Raises:
            ConfigError: more than the share ``prompt.max_cut`` of the items would be cut.
            ModelError: a text is longer than the model was made for.
        """
        prompt = self.encoder.prompt
        if context and self.longest > context:
            raise ModelError(
                f"the longest text has {self.longest} tokens, and the model was made for {context} "
                f"(max_position_embeddings). Fix: {self._fix(context)}."
            )
        if self.cut_share <= prompt.max_cut:
            return
        needed = max(self.cut.values())
        fixes = [self._fix(min(needed, context or needed)), f"prompt.max_cut={_above(self.cut_share)}"]
        raise ConfigError(
            f"{len(self.cut)} of {self.num_items} items ({self.cut_share:.1%}) are longer than prompt.max_tokens="
            f"{prompt.max_tokens} and would lose part of their question; prompt.max_cut={prompt.max_cut:g} is "
            f"allowed. The longest has {needed} tokens. Fix: {' or '.join(fixes)}."
        )

    def _fix(self, size: int) -> str:
        """Return the settings that allow texts of up to `size` tokens, and the cut of longer ones."""
        share = sum(tokens > size for tokens in self.lengths.values()) / max(1, self.num_items)
        beside = f" prompt.max_cut={_above(share)}" if share > self.encoder.prompt.max_cut else ""
        return f"prompt.max_tokens={size}{beside}"


def _above(share: float) -> str:
    """Return a share as text, rounded up, so that a setting of this value is large enough."""
    return f"{min(1.0, math.ceil(1000 * share) / 1000):g}"


def read_texts(encoder: Encoder, items: Sequence[Item]) -> Texts:
    """Encode every option of every item and check the results.

    Raises:
        ConfigError: with letter prompts, this tokenizer begins several letters with the same token.
    """
    if encoder.prompt.form == "letter" and items:
        _check_letters(encoder, items)
    rejected: dict[str, Rejected] = {}
    by_prompt: dict[tuple[int, ...], list[Item]] = {}
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
        by_prompt.setdefault(texts[0].ids[: texts[0].labels("answer")[0]], []).append(item)
        if names := encoder.control.spelled("\n".join((item.question, *item.options))):
            spelled[item.id] = names
        if _unknown_share(encoder, item, texts[0]) > MOSTLY:
            unknown.append(item.id)
        if pair := _alike(encoder, item, texts):
            first, second = (item.options[place] for place in pair)
            detail = f"options {pair[0] + 1} and {pair[1] + 1} become the same tokens: {first!r} and {second!r}"
            rejected[item.id] = _rejected(item, "options_tokenise_alike", detail)
    # Items with the same prompt tokens but different questions cannot be distinguished by the model.
    for group in by_prompt.values():
        if len({fold(item.question) for item in group}) > 1:
            rejected |= {item.id: _confused(item, group) for item in group if item.id not in rejected}
    rejected |= _confused_when_cut(encoder, [item for item in items if item.id not in rejected], lengths)
    cut = {name: tokens for name, tokens in encoder.cut.items() if name in lengths}
    return Texts(encoder, len(items), cut, spelled, unknown, list(rejected.values()), longest, lengths)


def fix_of(rows: Iterable[Rejected], otherwise: str) -> str:
    """Return what a user can do about unreadable rows: `otherwise`, unless the chat template is at fault for all."""
    if all(row.reason == "template" for row in rows):
        return "Fix the tokenizer's chat template, or set prompt.chat=never."
    return otherwise


def _texts(encoder: Encoder, item: Item) -> list[Encoded]:
    """Return the texts of an item that are scored: one for each option, or with letters only the right one's."""
    options = [item.answer] if encoder.prompt.form == "letter" else range(len(item.options))
    return [encoder.encode(item, option) for option in options]


def _alike(encoder: Encoder, item: Item, texts: Sequence[Encoded]) -> tuple[int, int] | None:
    """Return the positions of the first two options that become the same tokens, or None."""
    if encoder.prompt.form == "letter":
        # The texts only differ in their letters, so the options are encoded by themselves.
        read = [encoder.option_ids(option) for option in item.options]
    else:
        read = [tuple(text.ids[i] for i in text.labels("answer")) for text in texts]
    for second, ids in enumerate(read):
        first = read.index(ids)
        if first != second:
            return first, second
    return None


def _unknown_share(encoder: Encoder, item: Item, text: Encoded) -> float:
    """Return the share of unknown tokens in the question."""
    unknown = encoder.tokenizer.unk_token_id
    if unknown is None or unknown not in text.ids:
        return 0.0
    first, last = next(encoder.layouts(item)).question
    own = [i for i, (start, end) in enumerate(text.offsets) if first < end and start < last]
    return sum(text.ids[i] == unknown for i in own) / max(1, len(own))


def _check_letters(encoder: Encoder, items: Sequence[Item]) -> None:
    """Raise a ConfigError if several letters begin with the same token. The item with the most options decides."""
    item = max(items, key=lambda one: len(one.options))
    try:
        texts = [encoder.encode(item, option) for option in range(len(item.options))]
    except UnreadableError:
        return  # `read_texts` will reject the item with the reason
    first = [text.ids[text.labels("answer")[0]] for text in texts]
    if len(set(first)) < len(first):
        raise ConfigError(
            "prompt.form=letter: this tokenizer begins several letters with the same token, so that all options would "
            "have the same score. Fix: prompt.form=cloze."
        )


def _confused_when_cut(
    encoder: Encoder, items: Sequence[Item], lengths: Mapping[str, int]
) -> Iterator[tuple[str, Rejected]]:
    """Yield items whose cut question may equally be what remains of another item's question.

    Comparing the tokens is not enough, because the length of the cut depends on the item's longest option. So two
    questions that only differ in their middle need not become the same tokens. If the prompt shows the options,
    questions with different options are distinct.
    """
    shown = encoder.prompt.form == "letter"
    pairs = sorted(((fold(item.question), item) for item in items), key=lambda pair: pair[0])
    questions = [question for question, _ in pairs]
    for item in items:
        ends = encoder.remaining(item) if item.id in encoder.cut else None
        if ends is None:
            continue
        own, (head, tail) = fold(item.question), map(fold, ends)
        others = (pairs[place] for place in truncation.with_ends(questions, head, tail))
        matches = (one for text, one in others if text != own and not (shown and one.options != item.options))
        if other := next(matches, None):
            detail = (
                f"cut from {lengths[item.id]} tokens to prompt.max_tokens={encoder.prompt.max_tokens}, its question "
                f"cannot be distinguished from that of item {other.id}"
            )
            yield item.id, _rejected(item, CONFUSED, detail)


def _confused(item: Item, group: Iterable[Item]) -> Rejected:
    other = next(one for one in group if fold(one.question) != fold(item.question))
    detail = f"cut to prompt.max_tokens, or because of unknown words, its question equals that of item {other.id}"
    return _rejected(item, CONFUSED, detail)


def _rejected(item: Item, reason: str, detail: str) -> Rejected:
    return Rejected(item.source, item.row, item.id, reason, detail)


def _named(ids: Iterable[str]) -> str:
    names = list(ids)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
