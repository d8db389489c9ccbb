"""Items whose answer continues a text: how the two join, and which prompts cannot ask them."""

from __future__ import annotations

from collections.abc import Iterable

from duolearn_cli.data.items import Item
from duolearn_cli.errors import ConfigError

# A word that follows one of these needs no space.
# Straight quotation marks are missing: the same mark opens and closes.
_OPENING = "([{<\u201c\u2018\u00ab"


def seam(question: str) -> str:
    """Return what joins a text and the words that continue it: a space, or nothing after white space or "("."""
    return "" if not question or question[-1].isspace() or question[-1] in _OPENING else " "


def refuse_letters(items: Iterable[Item], form: str) -> None:
    """Raise a ConfigError if the prompt form lists options and an item continues a text, which cannot list them."""
    if form == "letter" and (first := next((item for item in items if item.continues), None)):
        raise ConfigError(
            f"prompt.form=letter: item {first.id} continues a text, which lists no options. Fix: prompt.form=cloze."
        )
