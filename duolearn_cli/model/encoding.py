"""From items to labelled token sequences, and from sequences to padded batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import LETTERS, Item
from duolearn_cli.errors import ConfigError, present
from duolearn_cli.model import prompt_layout, truncation
from duolearn_cli.model.control_tokens import ControlTokens
from duolearn_cli.model.packing import pack
from duolearn_cli.model.prompt_layout import Layout, UnreadableError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Every model is asked the same: the texts of a few thousand items are kept, some 50 MB, those beyond are encoded anew.
MAX_KEPT = 16_384
# Tokens that an answer may add beside those of its bytes: those that joined the prompt's last, a prefix, the end.
MARGIN = 8


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tokenised text. `labels` are the positions of the tokens to predict, never the first token of the text."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    is_answer: tuple[bool, ...]

    def labels(self, which: str) -> list[int]:
        """Positions to predict: the ``answer``'s tokens, or those of the whole ``text``."""
        return [i for i in range(1, len(self.ids)) if which == "text" or self.is_answer[i]]


class Encoder:
    """Turns items into token sequences with one tokenizer and one prompt form.

    `cut` has the items that were longer than ``prompt.max_tokens``, with the tokens that their longest text has whole.

    Raises:
        ConfigError: ``prompt.chat=always`` and the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: Any, prompt: PromptConfig) -> None:
        self.tokenizer, self.prompt = tokenizer, prompt
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if prompt.chat == "always" and not has_template:
            raise ConfigError("prompt.chat=always: this tokenizer has no chat template; allowed: never, auto.")
        self.uses_chat = prompt.chat == "always" or (prompt.chat == "auto" and has_template)
        self.control = ControlTokens(tokenizer)
        self.cut: dict[str, int] = {}
        self._known: dict[tuple[str, str], Encoded] = {}

    def question(self, item: Item) -> str:
        """The text up to where the answer begins."""
        return next(self.layouts(item)).text

    def layouts(self, item: Item) -> Iterator[Layout]:
        """The prompt up to where the answer begins, and shorter ones where the wording has them, longest first."""
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
        """The text of the answer, with the space that separates it from a plain prompt."""
        text = LETTERS[option] if self.prompt.form == "letter" else item.options[option]
        return text if self.uses_chat else f" {text}"

    def option_ids(self, option: str) -> tuple[int, ...]:
        """The tokens of an option in the middle of a text. Raises ValueError: see `ControlTokens.encode`."""
        return tuple(self.control.encode(f" {option}", ((0, len(option) + 1),), add_special_tokens=False)[0])

    @cached_property
    def around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens that the tokenizer itself writes before and after every plain text."""
        found = self.tokenizer("a", return_offsets_mapping=True)
        ids, offsets = list(found["input_ids"]), [(start, end) for start, end in found["offset_mapping"]]
        after = _written_after(self.control.names, ids, offsets)
        before = _written_after(self.control.names, ids[::-1], offsets[::-1])[::-1]
        return tuple(before), tuple(after)

    def measure(self, item: Item) -> None:
        """Fill in `cut` if the item is too long; tokenises only items whose bytes leave that open.

        Raises:
            UnreadableError: see `encode`.
        """
        longest = max((self.answer(item, k) for k in range(len(item.options))), key=lambda text: len(text.encode()))
        if len((next(self.layouts(item)).text + longest).encode()) + MARGIN > self.prompt.max_tokens:
            self.encode(item)

    @cached_property
    def omitted(self) -> tuple[str, ...]:
        """What the tokenizer writes before plain text and the chat template does not."""
        before = self.around[0]
        if not self.uses_chat or self.sample.ids[: len(before)] == before:
            return ()
        return tuple(self.control.names[one] for one in before)

    @cached_property
    def sample(self) -> Encoded:
        """A short text with all that prompt, template and tokenizer put around the data."""
        item = Item("sample", "a", ("a", "b"), 0)
        return self._whole(next(self.layouts(item)), self.answer(item, 0))

    def encode(self, item: Item, option: int | None = None) -> Encoded:
        """Tokenise the question with `option` (the right one by default) as its answer.

        A cloze answer ends with the end-of-text token, so that "femoral" is not a match for "femoral hernia". Words in
        the middle of the question are left out where one of the item's texts is over ``prompt.max_tokens``: the same
        in all of them, so that all options are asked the same. `text` and `offsets` stay those of the whole text.

        Raises:
            UnreadableError: too little of the question would be left, or the tokenizer cannot write it as plain text.
        """
        option = item.answer if option is None else option
        try:
            prompt, gap = self._fitted(item, option)
            whole = self._whole(prompt, self.answer(item, option))
        except UnreadableError as error:
            raise UnreadableError(error.reason, error.detail, item.id) from error
        return whole if gap is None else _without(whole, gap)

    def kept(self, item: Item) -> tuple[str, str] | None:
        """Beginning and end of the question, where what is between them is left out; None where it is whole.

        Raises:
            UnreadableError: see `encode`.
        """
        prompt, gap = self._fitted(item, item.answer)
        first, last = prompt.question
        return (prompt.text[first : gap[0]], prompt.text[gap[1] : last]) if gap else None

    def _fitted(self, item: Item, option: int) -> tuple[Layout, tuple[int, int] | None]:
        """The first layout in which all texts of the item fit, else the last with the characters to leave out."""
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
        gap = truncation.middle(longest.text, longest.offsets, prompt.question, excess)
        if gap is None:
            raise UnreadableError(
                "too_long",
                f"its options and the frame leave no room for the question in prompt.max_tokens="
                f"{self.prompt.max_tokens}; it has {len(longest.ids)} tokens",
            )
        return prompt, gap

    def _excess(self, item: Item, option: int, prompt: Layout) -> int:
        """By how many tokens the longest text of the item is over the limit; 0 or less: all of them fit."""
        answers = [self.answer(item, k) for k in range(len(item.options))]
        own = len(self._whole(prompt, answers[option]).ids) - self.prompt.max_tokens
        # A token stands for at least a byte: most items are known to fit without a look at their other options.
        if own + max(len(answer.encode()) for answer in answers) + MARGIN <= 0:
            return own
        return max(len(self._whole(prompt, answer).ids) for answer in answers) - self.prompt.max_tokens

    def _whole(self, prompt: Layout, answer: str) -> Encoded:
        pair = prompt.text, answer
        if pair in self._known:
            return self._known[pair]
        found = self._encoded(prompt, answer)
        if len(self._known) < MAX_KEPT:
            self._known[pair] = found
        return found

    def _encoded(self, prompt: Layout, answer: str) -> Encoded:
        question, text = prompt.text, prompt.text + answer
        contents = (*prompt.contents, (len(question), len(text)))
        try:
            # A chat template writes its own special tokens.
            ids, offsets = self.control.encode(text, contents, add_special_tokens=not self.uses_chat)
        except ValueError as error:
            raise UnreadableError("control_token", f"this tokenizer cannot read it as text: {error}") from error
        written = _written_after(self.control.names, ids, offsets)
        ids, offsets = ids[: len(ids) - len(written)], offsets[: len(offsets) - len(written)]
        is_answer = [end > len(question) and end > start for start, end in offsets]
        ends = [self.tokenizer.eos_token_id] if self.tokenizer.eos_token_id is not None else written[:1]
        if self.prompt.form == "cloze" and ends:
            ids.append(ends[0])
            offsets.append((len(text), len(text)))
            is_answer.append(True)
        return Encoded(text, tuple(ids), tuple(offsets), tuple(is_answer))


def _written_after(control: Collection[int], ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """What a tokenizer writes after every text, such as an end of text: answers get their own."""
    count = 0
    while count < len(ids) and ids[-1 - count] in control and offsets[-1 - count][0] == offsets[-1 - count][1]:
        count += 1
    return list(ids[len(ids) - count :])


def _without(text: Encoded, gap: tuple[int, int]) -> Encoded:
    kept = truncation.left(text.offsets, gap)
    return Encoded(
        text.text,
        tuple(text.ids[i] for i in kept),
        tuple(text.offsets[i] for i in kept),
        tuple(text.is_answer[i] for i in kept),
    )


@dataclass(frozen=True, eq=False)
class Batch:
    """Sequences in rows, padded on the right, and their labels.

    Shapes: ids, segment, place [rows, length]; row, position, label, sequence [n]; token [tokens]. `segment` numbers
    the sequences of a row from 1, 0 is padding; `place` is a token's position in its own sequence. The hidden state at
    ``(row, position)`` predicts `label`, and `sequence` says whose label it is. `token` says where each token of each
    sequence went in the flattened rows. Both lists follow the order of the sequences, whatever row they are in.
    `longest` is the length of the longest sequence; `texts` are their token ids once more, on no device. `trunk`
    [rows, length] is the segment that a token's own goes on from, where sequences share one (see branches.py).
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
        """1 for tokens, 0 for padding. It comes from lengths: a pad token equal to the end-of-text token hides none."""
        return (self.segment > 0).long()

    def to(self, device: torch.device) -> Batch:
        from duolearn_cli.model.host_to_device import send

        tensors = {name: value for name, value in vars(self).items() if hasattr(value, "device")}
        return replace(self, **{name: send(tensor, device) for name, tensor in tensors.items()})


def collate(sequences: Sequence[Encoded], labels: str | Sequence[str], *, pack_to: int | None = None) -> Batch:
    """Lay out all sequences and list their labels ("answer" or "text", one for all or one for each).

    One sequence a row, or with `pack_to` as many as fit into so many tokens.
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
        targets += [(at, start + i - 1, sequence.ids[i], index) for i in sequence.labels(wanted[index])]
    row, position, label, owner = torch.tensor(targets, dtype=torch.long).reshape(-1, 4).unbind(1)
    packed = pack_to is not None
    texts = tuple(sequence.ids for sequence in sequences)
    return Batch(ids, segment, place, row, position, label, owner, torch.cat(tokens), packed, max(lengths), texts)
