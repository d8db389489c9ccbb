"""Where the parts of a prompt are in its text: the question, and everything that comes from data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from duolearn_cli.errors import DataError


class UnreadableError(DataError):
    """An item cannot be tokenised with this tokenizer and these settings. `reason` is a snake_case code."""

    def __init__(self, reason: str, detail: str, item: str = "") -> None:
        super().__init__(f"item {item}: {detail} [{reason}]." if item else detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Layout:
    """A prompt up to where the answer begins.

    `question` and `contents` are characters ``[start, end)`` of `text`. `contents` are the parts that a chat template
    did not write; control tokens in them are plain text. `continues`: the answer continues the question as one text,
    without a chat template around them and without an end.
    """

    text: str
    question: tuple[int, int]
    contents: tuple[tuple[int, int], ...]
    continues: bool = False


def plain(text: str, at: int, question: str) -> Layout:
    """Return the layout of a prompt without a chat template, whose question begins at character `at`."""
    return Layout(text, (at, at + len(question)), ((0, len(text)),))


def running(question: str) -> Layout:
    """Return the layout of a text that the answer continues: the text itself."""
    return Layout(question, (0, len(question)), ((0, len(question)),), continues=True)


def rendered(tokenizer: Any, messages: Sequence[dict[str, str]], at: int, question: str) -> Layout:
    """Return the layout of a chat, in whose last message the question begins at character `at`.

    Raises:
        UnreadableError: the chat template is broken, refuses the messages, or changes the text of one.
    """
    try:
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of the model's author, and may fail in any way
        said = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
        detail = f"the chat template refuses it ({said}); prompt.chat=never uses none"
        raise UnreadableError("template", detail) from error
    contents: list[tuple[int, int]] = []
    cursor = 0
    for message in messages:
        start = text.find(message["content"], cursor)
        if start < 0:
            raise UnreadableError("template", "the chat template changes its text; prompt.chat=never uses none")
        cursor = start + len(message["content"])
        contents.append((start, cursor))
    first = contents[-1][0] + at
    return Layout(text, (first, first + len(question)), tuple(contents))
