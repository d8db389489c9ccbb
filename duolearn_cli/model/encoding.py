"""Turn items into labelled token sequences, and sequences into padded or packed batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.continuation import seam
from duolearn_cli.data.items import LETTERS, Item
from duolearn_cli.errors import ConfigError, present
from duolearn_cli.model import prompt_layout, truncation
from duolearn_cli.model.control_tokens import ControlTokens
from duolearn_cli.model.packing import pack
from duolearn_cli.model.prompt_layout import Layout, UnreadableError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Texts whose encodings are kept in memory, about 50 MB for a few thousand items: every model gets the same texts.
MAX_CACHED = 16_384
# Tokens that an answer may add beyond one for each byte: at the seam with the prompt, a prefix, the end of text.
MARGIN = 8


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tokenised text of n tokens.

    offsets: the characters ``[start, end)`` of each token in `text`; ``start == end`` for tokens without text.
    is_answer: which tokens belong to the answer.
    """

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    is_answer: tuple[bool, ...]

    def labels(self, which: str) -> list[int]:
        """Return the positions of the tokens to predict: those of the ``answer``, or of the whole ``text``.

        The first token is never predicted, because nothing comes before it.
        """
        return [i for i in range(1, len(self.ids)) if which == "text" or self.is_answer[i]]


class Encoder:
    """Turns items into token sequences with one tokenizer and one prompt form.

    `cut` maps the ids of items that were longer than ``prompt.max_tokens`` to the number of tokens of their longest
    text before the cut.

    Raises:
        ConfigError: ``prompt.chat=always``, but the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: Any, prompt: PromptConfig) -> None:
        self.tokenizer, self.prompt = tokenizer, prompt
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if prompt.chat == "always" and not has_template:
            raise ConfigError("prompt.chat=always: this tokenizer has no chat template; allowed: never, auto.")
        self.uses_chat = prompt.chat == "always" or (prompt.chat == "auto" and has_template)
        self.control = ControlTokens(tokenizer)
        self.cut: dict[str, int] = {}
        self._known: dict[tuple[str, str, bool], Encoded] = {}

    def question(self, item: Item) -> str:
        """Return the prompt up to where the answer begins."""
        return next(self.layouts(item)).text

    def layouts(self, item: Item) -> Iterator[Layout]:
        """Yield the prompt up to where the answer begins; a subclass may yield shorter ones too, longest first.

        The prompt of an item that continues a text is that text, whatever the form and the chat template.
        """
        if item.continues:
            yield prompt_layout.running(item.question)
            return
        lines = [f"Question: {item.question}"]
        if self.prompt.form == "letter":
            lines += [f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False)]
        at = len("Question: ")
        if not self.uses_chat:
            yield prompt_layout.plain("\n".join([*lines, "Answer:"]), at, item.question)
            return
        message = [{"role": "user", "content": "\n".join(lines)}]
        yield prompt_layout.rendered(self.tokenizer, message, at, item.question)

    def answer(self, item: Item, option: int) -> str:
        """Return the text of an answer. After a plain prompt it begins with a space, in a text where it needs one."""
        if item.continues:
            return f"{seam(item.question)}{item.options[option]}"
        text = LETTERS[option] if self.prompt.form == "letter" else item.options[option]
        return text if self.uses_chat else f" {text}"

    def option_ids(self, option: str) -> tuple[int, ...]:
        """Return the tokens of an option in the middle of a text. Raises ValueError: see `ControlTokens.encode`."""
        return tuple(self.control.encode(f" {option}", ((0, len(option) + 1),), add_special_tokens=False)[0])

    @cached_property
    def around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The control tokens that the tokenizer itself writes before, and after, every plain text."""
        encoding = self.tokenizer("a", return_offsets_mapping=True)
        ids, offsets = list(encoding["input_ids"]), [(start, end) for start, end in encoding["offset_mapping"]]
        after = _written_after(self.control.names, ids, offsets)
        before = _written_after(self.control.names, ids[::-1], offsets[::-1])[::-1]
        return tuple(before), tuple(after)

    def plain(self, text: str, *, ends: bool = False) -> Encoded:
        """Encode running text, all of it as an answer. With `ends` the end-of-text token follows it.

        Raises:
            UnreadableError: the tokenizer cannot write it as plain text.
        """
        ids, offsets, end = self._tokens(text, ((0, len(text)),), special=True)
        if ends and end:
            ids.append(end[0])
            offsets.append((len(text), len(text)))
        return Encoded(text, tuple(ids), tuple(offsets), (True,) * len(ids))

    def measure(self, item: Item) -> None:
        """Add the item to `cut` if it is too long. Items that are short enough by their bytes are not tokenised.

        Raises:
            UnreadableError: see `encode`.
        """
        # A token stands for at least one byte of text, so the number of bytes bounds the number of tokens.
        longest = max((self.answer(item, k) for k in range(len(item.options))), key=lambda text: len(text.encode()))
        if len((next(self.layouts(item)).text + longest).encode()) + MARGIN > self.prompt.max_tokens:
            self.encode(item)

    @cached_property
    def omitted(self) -> tuple[str, ...]:
        """The control tokens that the tokenizer writes before plain text, but the chat template does not."""
        before = self.around[0]
        if not self.uses_chat or self.sample.ids[: len(before)] == before:
            return ()
        return tuple(self.control.names[one] for one in before)

    @cached_property
    def sample(self) -> Encoded:
        """A short text with everything that prompt, template and tokenizer put around the data."""
        item = Item("sample", "a", ("a", "b"), 0)
        return self._whole(next(self.layouts(item)), self.answer(item, 0))

    def encode(self, item: Item, option: int | None = None) -> Encoded:
        """Tokenise the question with `option` (the right one by default) as its answer.

        A cloze answer ends with the end-of-text token, so that "femoral" does not match "femoral hernia". One that
        continues a text does not, because the text goes on. If one of the item's texts is longer than
        ``prompt.max_tokens``, words in the middle of the question are left out, or at the beginning of a text that
        is continued. They are the same in all texts of the item, so that all options get the same question. `text`
        and `offsets` of the result are still those of the whole text.

        Args:
            item: the item.
            option: the position of the option to encode as the answer; None: the right one.

        Raises:
            UnreadableError: too little of the question would be left, or the tokenizer cannot write it as plain text.
        """
        option = item.answer if option is None else option
        try:
            prompt, gap = self._fitted(item, option)
            whole = self._whole(prompt, self.answer(item, option))
        except UnreadableError as error:
            raise UnreadableError(error.reason, error.detail, item.id) from error
        if gap is None:
            return whole
        # Control tokens before the text have the place 0, which a gap at its beginning would take along.
        return _without(whole, gap, len(self.around[0]) if prompt.continues else 0)

    def remaining(self, item: Item) -> tuple[str, str] | None:
        """Return the beginning and the end of the question that remain after a cut, or None if the question is whole.

        Raises:
            UnreadableError: see `encode`.
        """
        prompt, gap = self._fitted(item, item.answer)
        first, last = prompt.question
        return (prompt.text[first : gap[0]], prompt.text[gap[1] : last]) if gap else None

    def _fitted(self, item: Item, option: int) -> tuple[Layout, tuple[int, int] | None]:
        """Return the first layout in which all texts of the item fit, and None; or the last layout, and the characters
        to leave out of it."""
        prompt, excess = None, 0
        for number, prompt in enumerate(self.layouts(item)):
            excess = self._excess(item, option, prompt)
            if number == 0 and excess > 0:
                self.cut[item.id] = self.prompt.max_tokens + excess
            if excess <= 0:
                return prompt, None
        prompt = present(prompt, "a layout of the item")
        texts = [self._whole(prompt, self.answer(item, k)) for k in range(len(item.options))]
        longest = max(texts, key=lambda text: len(text.ids))
        choose = truncation.beginning if prompt.continues else truncation.middle
        gap = choose(longest.text, longest.offsets, prompt.question, excess)
        if gap is None:
            raise UnreadableError(
                "too_long",
                f"its options and the prompt leave no room for the question in prompt.max_tokens="
                f"{self.prompt.max_tokens}; it has {len(longest.ids)} tokens",
            )
        return prompt, gap

    def _excess(self, item: Item, option: int, prompt: Layout) -> int:
        """Return by how many tokens the longest text of the item exceeds the limit; 0 or less if all texts fit."""
        answers = [self.answer(item, k) for k in range(len(item.options))]
        own = len(self._whole(prompt, answers[option]).ids) - self.prompt.max_tokens
        # A token stands for at least one byte, so most items fit for certain without encoding their other options.
        if own + max(len(answer.encode()) for answer in answers) + MARGIN <= 0:
            return own
        return max(len(self._whole(prompt, answer).ids) for answer in answers) - self.prompt.max_tokens

    def _whole(self, prompt: Layout, answer: str) -> Encoded:
        key = prompt.text, answer, prompt.continues
        if key in self._known:
            return self._known[key]
        encoded = self._encoded(prompt, answer)
        if len(self._known) < MAX_CACHED:
            self._known[key] = encoded
        return encoded

    def _encoded(self, prompt: Layout, answer: str) -> Encoded:
        question, text = prompt.text, prompt.text + answer
        contents = (*prompt.contents, (len(question), len(text)))
        # The tokenizer adds its special tokens only to plain prompts: a chat template writes its own.
        is_chat = self.uses_chat and not prompt.continues
        ids, offsets, end = self._tokens(text, contents, special=not is_chat)
        is_answer = [end > len(question) and end > start for start, end in offsets]
        if self.prompt.form == "cloze" and end and not prompt.continues:
            ids.append(end[0])
            offsets.append((len(text), len(text)))
            is_answer.append(True)
        return Encoded(text, tuple(ids), tuple(offsets), tuple(is_answer))

    def _tokens(
        self, text: str, contents: Sequence[tuple[int, int]], *, special: bool
    ) -> tuple[list[int], list[tuple[int, int]], list[int]]:
        """Return the tokens of a text without those written after it, their places, and the end-of-text token.

        The last is empty for a tokenizer without one. Raises UnreadableError: see `encode`.
        """
        try:
            ids, offsets = self.control.encode(text, contents, add_special_tokens=special)
        except ValueError as error:
            raise UnreadableError("control_token", f"this tokenizer cannot read it as text: {error}") from error
        written = _written_after(self.control.names, ids, offsets)
        # Without an end-of-text token of its own, a tokenizer may still write one after every text (such as [SEP]).
        end = [self.tokenizer.eos_token_id] if self.tokenizer.eos_token_id is not None else written[:1]
        return ids[: len(ids) - len(written)], offsets[: len(offsets) - len(written)], end


def _written_after(control: Collection[int], ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return the control tokens that a tokenizer wrote after the text, such as an end of text.

    They are removed, because an answer gets an end-of-text token of its own.
    """
    count = 0
    while count < len(ids) and ids[-1 - count] in control and offsets[-1 - count][0] == offsets[-1 - count][1]:
        count += 1
    return list(ids[len(ids) - count :])


def _without(text: Encoded, gap: tuple[int, int], kept: int) -> Encoded:
    """Return the text without the tokens of the characters in `gap`; the first `kept` tokens stay in any case."""
    outside = [*range(kept), *(i for i in truncation.tokens_outside(text.offsets, gap) if i >= kept)]
    return Encoded(
        text.text,
        tuple(text.ids[i] for i in outside),
        tuple(text.offsets[i] for i in outside),
        tuple(text.is_answer[i] for i in outside),
    )


@dataclass(frozen=True, eq=False)
class Batch:
    """Sequences in rows, padded on the right, and their n labels.

    ids: token ids, [rows, length].
    segment: the number of each token's sequence in its row, from 1; 0 is padding, [rows, length].
    place: each token's position in its own sequence, [rows, length].
    row, position: the place of the hidden state that predicts each label, [n].
    label: the token id to predict, [n].
    sequence: the number of the sequence that each label belongs to, [n].
    token: the place of each token of each sequence in the flattened rows, [tokens].
    packed: several sequences may share a row.
    longest: the length of the longest sequence.
    texts: the sequences' token ids as tuples; they never go to a device.
    trunk: the segment that each token's segment continues, if sequences share a beginning (see shared_prefix.py),
        [rows, length].

    Labels and tokens are in the order of the sequences, whatever rows these are in.
    """

    ids: Tensor
    segment: Tensor
    place: Tensor
    row: Tensor
    position: Tensor
    label: Tensor
    sequence: Tensor
    token: Tensor
    packed: bool
    longest: int
    texts: tuple[tuple[int, ...], ...]
    trunk: Tensor | None = None

    @property
    def mask(self) -> Tensor:
        """1 for tokens and 0 for padding, [rows, length].

        It comes from lengths, not from the pad token's id, which may also be that of the end-of-text token.
        """
        return (self.segment > 0).long()

    def to(self, device: torch.device) -> Batch:
        from duolearn_cli.model.host_to_device import send

        tensors = {name: value for name, value in vars(self).items() if hasattr(value, "device")}
        return replace(self, **{name: send(tensor, device) for name, tensor in tensors.items()})


def collate(sequences: Sequence[Encoded], labels: str | Sequence[str], *, pack_to: int | None = None) -> Batch:
    """Lay out sequences in rows and list their labels.

    Args:
        sequences: the encoded texts.
        labels: which tokens to predict, "answer" or "text": one word for all sequences, or one for each.
        pack_to: None: one sequence in each row; otherwise as many as fit into this number of tokens.
    """
    import torch

    lengths = [len(sequence.ids) for sequence in sequences]
    starts = pack(lengths, pack_to) if pack_to is not None else [(row, 0) for row in range(len(lengths))]
    num_rows = 1 + max(row for row, _ in starts)
    width = max(start + length for (_, start), length in zip(starts, lengths, strict=True))
    ids, segment, place = torch.zeros(3, num_rows, width, dtype=torch.long)
    count = [0] * num_rows
    tokens: list[Tensor] = []
    targets: list[tuple[int, int, int, int]] = []
    wanted = [labels] * len(sequences) if isinstance(labels, str) else labels
    for index, (sequence, (at, start)) in enumerate(zip(sequences, starts, strict=True)):
        count[at] += 1
        own = slice(start, start + len(sequence.ids))
        ids[at, own] = torch.tensor(sequence.ids)
        segment[at, own] = count[at]
        place[at, own] = torch.arange(len(sequence.ids))
        tokens.append(torch.arange(own.start, own.stop) + at * width)
        # The hidden state of the token before predicts a token, hence the -1.
        targets += [(at, start + i - 1, sequence.ids[i], index) for i in sequence.labels(wanted[index])]
    # Without any label the tensor is empty, and only the reshape gives it four columns.
    row, position, label, owner = torch.tensor(targets, dtype=torch.long).reshape(-1, 4).unbind(1)
    packed = pack_to is not None
    texts = tuple(sequence.ids for sequence in sequences)
    return Batch(ids, segment, place, row, position, label, owner, torch.cat(tokens), packed, max(lengths), texts)
