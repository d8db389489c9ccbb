"""Other ways to ask the same question: an encoder that words its prompts otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.items import LETTERS, Item
from duolearn_cli.model import prompt_layout
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.prompt_layout import Layout

DIGITS = "123456789"


@dataclass(frozen=True, slots=True)
class Wording:
    """How a question is asked.

    Attributes:
        head: the question's line or lines; ``{question}`` stands for its text.
        tail: what comes right before the answer, without the space that follows it; chat templates have their own.
        labels: what names the options of a letter prompt, one character each.
        before: a paragraph in front of everything.
        shots: items that are asked and answered first.
    """

    head: str = "Question: {question}"
    tail: str = "Answer:"
    labels: str = LETTERS
    before: str = ""
    shots: tuple[Item, ...] = ()


# Question frames by name; the words of the data are the same in each.
FRAMES = {
    "Q and A": Wording("Q: {question}", "A:"),
    "complete": Wording("Complete the following with the right answer.\n{question}", "The answer is"),
    "exam": Wording("An exam asks: {question}", "The right answer is"),
    "dialogue": Wording('A student asks a teacher: "{question}"', "The teacher replies:"),
}


class RewordedEncoder(Encoder):
    """Encodes items as `Encoder` does, in another wording. With ``Wording()`` the texts are the same.

    Raises:
        ConfigError: see `Encoder`.
    """

    def __init__(self, tokenizer: Any, prompt: PromptConfig, wording: Wording) -> None:
        super().__init__(tokenizer, prompt)
        self.wording = wording

    def layouts(self, item: Item) -> Iterator[Layout]:
        """The paragraph before, the shots with their answers, the question; shorter ones without the first shots."""
        for left_out in range(len(self.wording.shots) + 1):
            yield self._layout(item, self.wording.shots[left_out:])

    def _layout(self, item: Item, shots: Sequence[Item]) -> Layout:
        start = [self.wording.before] if self.wording.before else []
        at = self.wording.head.index("{question}")
        if not self.uses_chat:
            told = [f"{self._ask(shot)}{self.answer(shot, shot.answer)}" for shot in shots]
            before = "".join(f"{part}\n\n" for part in (*start, *told))
            return prompt_layout.plain(before + self._ask(item), len(before) + at, item.question)
        asked = [*shots, item]
        messages: list[dict[str, str]] = []
        for one in asked:
            parts = [*(start if one is asked[0] else []), self._body(one)]
            messages += [{"role": "user", "content": "\n\n".join(parts)}]
            messages += [{"role": "assistant", "content": self.answer(one, one.answer)}]
        at += len(messages[-2]["content"]) - len(self._body(item))
        return prompt_layout.rendered(self.tokenizer, messages[:-1], at, item.question)

    def answer(self, item: Item, option: int) -> str:
        """The text of the answer, with the space that separates it from a plain prompt."""
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
    """A sentence that puts the model into the role of someone who knows what was to be forgotten."""
    return f"You are an expert in {target.replace('_', ' ')}. Give the right answer."


def last_letters(items: Sequence[Item]) -> str:
    """As many letters as the longest list of options needs, from the end of the alphabet."""
    return LETTERS[-max(len(item.options) for item in items) :]


def confused_labels(encoder: Encoder, items: Sequence[Item]) -> str | None:
    """Why the options' labels cannot be told apart by their first token, or None where they can.

    A letter prompt is scored by the first token of each label: tokenizers that write a space or a byte first give all
    labels the same one.
    """
    item = max(items, key=lambda one: len(one.options))
    first: dict[int, int] = {}
    for option in range(len(item.options)):
        text = encoder.encode(item, option)
        labels = text.labels("answer")
        if len(labels) != 1:
            return "this tokenizer writes a label in several tokens, and a letter prompt is scored by one"
        first[option] = text.ids[labels[0]]
    return None if len(set(first.values())) == len(first) else "this tokenizer begins all labels with the same token"
