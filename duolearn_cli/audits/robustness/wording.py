"""Other wordings of the same question, and an encoder that writes prompts in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import LETTERS, Item
from duolearn_cli.model import prompt_layout
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.prompt_layout import Layout

DIGITS = "123456789"  # one character for each option, counted from 1


@dataclass(frozen=True, slots=True)
class Wording:
    """The wording of a prompt.

    Attributes:
        head: the line or lines with the question; ``{question}`` stands for its text.
        tail: the text right before the answer, without the space that follows it. Chat prompts have none: the template
            opens the answer.
        labels: the labels of the options in a letter prompt, one character each.
        before: a paragraph in front of everything; empty for none.
        shots: items that are asked and answered before the question.
    """

    head: str = "Question: {question}"
    tail: str = "Answer:"
    labels: str = LETTERS
    before: str = ""
    shots: tuple[Item, ...] = ()


# Question frames by name. They change the words around a question, never the question or the options.
FRAMES = {
    "Q and A": Wording("Q: {question}", "A:"),
    "complete": Wording("Complete the following with the right answer.\n{question}", "The answer is"),
    "exam": Wording("An exam asks: {question}", "The right answer is"),
    "dialogue": Wording('A student asks a teacher: "{question}"', "The teacher replies:"),
}


class RewordedEncoder(Encoder):
    """An encoder that writes prompts in another wording. With ``Wording()`` the texts are those of `Encoder`.

    Raises:
        ConfigError: see `Encoder`.
    """

    def __init__(self, tokenizer: Any, prompt: PromptConfig, wording: Wording) -> None:
        super().__init__(tokenizer, prompt)
        self.wording = wording

    def layouts(self, item: Item) -> Iterator[Layout]:
        """The layouts to try, longest first: with all shots, then without the first, without the first two, ...

        A text that is continued has no other wording.
        """
        if item.continues:
            yield from super().layouts(item)
            return
        for num_dropped in range(len(self.wording.shots) + 1):
            yield self._layout(item, self.wording.shots[num_dropped:])

    def _layout(self, item: Item, shots: Sequence[Item]) -> Layout:
        start = [self.wording.before] if self.wording.before else []
        # The layout needs the question's offset, to cut words in its middle if the prompt is too long.
        offset = self.wording.head.index("{question}")
        if not self.uses_chat:
            answered = [f"{self._ask(shot)}{self.answer(shot, shot.answer)}" for shot in shots]
            before = "".join(f"{part}\n\n" for part in (*start, *answered))
            return prompt_layout.plain(before + self._ask(item), len(before) + offset, item.question)
        turns = [*shots, item]
        messages: list[dict[str, str]] = []
        for one in turns:
            parts = [*(start if one is turns[0] else []), self._body(one)]
            messages += [{"role": "user", "content": "\n\n".join(parts)}]
            messages += [{"role": "assistant", "content": self.answer(one, one.answer)}]
        offset += len(messages[-2]["content"]) - len(self._body(item))
        return prompt_layout.rendered(self.tokenizer, messages[:-1], offset, item.question)

    def answer(self, item: Item, option: int) -> str:
        """The text of option number `option` as an answer, with the space that separates it from a plain prompt."""
        if item.continues:
            return super().answer(item, option)
        text = self.wording.labels[option] if self.prompt.form == "letter" else item.options[option]
        return text if self.uses_chat else f" {text}"

    def _ask(self, item: Item) -> str:
        return f"{self._body(item)}\n{self.wording.tail}"

    def _body(self, item: Item) -> str:
        lines = [self.wording.head.format(question=item.question)]
        if self.prompt.form == "letter":
            lines += [f"{label}. {text}" for label, text in zip(self.wording.labels, item.options, strict=False)]
        return "\n".join(lines)


def expert(target: str) -> str:
    """A sentence that gives the model the role of an expert in what was forgotten."""
    return f"You are an expert in {target.replace('_', ' ')}. Give the right answer."


def last_letters(items: Sequence[Item]) -> str:
    """The last letters of the alphabet, as many as the item with the most options needs."""
    return LETTERS[-max(len(item.options) for item in items) :]


def confused_labels(encoder: Encoder, items: Sequence[Item]) -> str | None:
    """Why a tokenizer cannot distinguish the labels of the options; None if it can.

    A letter prompt is scored by one token, the first of each label. Some tokenizers write a space or a byte first,
    which is the same for all labels.
    """
    # The item with the most options has all labels in use.
    item = max(items, key=lambda one: len(one.options))
    first: dict[int, int] = {}
    for option in range(len(item.options)):
        text = encoder.encode(item, option)
        labels = text.labels("answer")
        if len(labels) != 1:
            return "this tokenizer writes a label in several tokens, and a letter prompt is scored by one"
        first[option] = text.ids[labels[0]]
    return None if len(set(first.values())) == len(first) else "this tokenizer begins all labels with the same token"
