"""From items to labelled token sequences, and from sequences to padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from duolearn_cli.config import PromptConfig
from duolearn_cli.data.items import LETTERS, Item
from duolearn_cli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


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
        question = self.question(item)
        text = question + self.answer(item, item.answer if option is None else option)
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
    """Padded sequences and their labels.

    Shapes: ids and mask [sequences, length]; row, position, label [n], ordered by row. The hidden state at
    ``(row, position)`` predicts `label`. The mask comes from lengths, so a pad token equal to the end-of-text token
    never hides real tokens.
    """

    ids: Tensor
    mask: Tensor
    row: Tensor
    position: Tensor
    label: Tensor

    def to(self, device: Any) -> Batch:
        return Batch(*(getattr(self, name).to(device) for name in ("ids", "mask", "row", "position", "label")))


def collate(sequences: Sequence[Encoded], labels: str) -> Batch:
    """Pad on the right and list the labels ("answer" or "text") of all sequences."""
    import torch

    width = max(len(sequence.ids) for sequence in sequences)
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    places: list[tuple[int, int, int]] = []
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
        mask[row, : len(sequence.ids)] = 1
        places += [(row, i - 1, sequence.ids[i]) for i in sequence.labels(labels)]
    row, position, label = torch.tensor(places, dtype=torch.long).reshape(-1, 3).unbind(1)
    return Batch(ids, mask, row, position, label)


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
