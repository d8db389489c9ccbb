"""From items to labelled token sequences, and from sequences to padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from duolearn_cli.config import PromptConfig
from duolearn_cli.data.items import LETTERS, Item
from duolearn_cli.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Every model is asked the same: the texts of a few thousand items are kept, some 50 MB, those beyond are encoded anew.
MAX_KEPT = 16_384


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

    Raises:
        ConfigError: ``prompt.chat=always`` and the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: Any, prompt: PromptConfig) -> None:
        self.tokenizer, self.prompt = tokenizer, prompt
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if prompt.chat == "always" and not has_template:
            raise ConfigError("prompt.chat=always: this tokenizer has no chat template; allowed: never, auto.")
        self.uses_chat = prompt.chat == "always" or (prompt.chat == "auto" and has_template)
        self._known: dict[tuple[str, str], Encoded] = {}

    def question(self, item: Item) -> str:
        """The text up to where the answer begins."""
        lines = [f"Question: {item.question}"]
        if self.prompt.form == "letter":
            lines += [f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False)]
        if not self.uses_chat:
            return "\n".join([*lines, "Answer:"])
        message = [{"role": "user", "content": "\n".join(lines)}]
        return self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)

    def answer(self, item: Item, option: int) -> str:
        """The text of the answer, with the space that separates it from a plain prompt."""
        text = LETTERS[option] if self.prompt.form == "letter" else item.options[option]
        return text if self.uses_chat else f" {text}"

    def encode(self, item: Item, option: int | None = None) -> Encoded:
        """Tokenise the question with `option` (the right one by default) as its answer.

        A cloze answer ends with the end-of-text token, so that "femoral" is not a match for "femoral hernia". A text
        over ``prompt.max_tokens`` loses tokens at its start.
        """
        pair = self.question(item), self.answer(item, item.answer if option is None else option)
        if pair in self._known:
            return self._known[pair]
        found = self._encoded(*pair)
        if len(self._known) < MAX_KEPT:
            self._known[pair] = found
        return found

    def _encoded(self, question: str, answer: str) -> Encoded:
        text = question + answer
        # A chat template writes its own special tokens.
        encoded = self.tokenizer(text, return_offsets_mapping=True, add_special_tokens=not self.uses_chat)
        ids, offsets = list(encoded["input_ids"]), [tuple(pair) for pair in encoded["offset_mapping"]]
        is_answer = [end > len(question) and end > start for start, end in offsets]
        if self.prompt.form == "cloze" and self.tokenizer.eos_token_id is not None:
            ids.append(self.tokenizer.eos_token_id)
            offsets.append((len(text), len(text)))
            is_answer.append(True)
        keep = slice(max(0, len(ids) - self.prompt.max_tokens), None)
        return Encoded(text, tuple(ids[keep]), tuple(offsets[keep]), tuple(is_answer[keep]))


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
        from duolearn_cli.transfer import send

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


def pack(lengths: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Give each sequence a row and a start in it, by first-fit decreasing; a longer one than `width` is alone."""
    used: list[int] = []
    starts = [(0, 0)] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((row for row, taken in enumerate(used) if taken + lengths[index] <= width), len(used))
        if row == len(used):
            used.append(0)
        starts[index] = (row, used[row])
        used[row] += lengths[index]
    return starts


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Group indices, longest first, so that a padded batch holds at most `max_tokens` (but at least one sequence)."""
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if group and (len(group) + 1) * lengths[group[0]] > max_tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
