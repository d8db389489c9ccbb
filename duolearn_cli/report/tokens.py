"""The tokens of an item, coloured by class and weight, and as a table that needs no colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.report.tables import DASH, Table

if TYPE_CHECKING:
    from rich.text import Text

# Vermilion, blue, grey: as in the figures.
COLORS = {UNLEARN: (213, 94, 0), PRESERVE: (0, 114, 178), NEUTRAL: (127, 127, 127)}
NAMES = {UNLEARN: "U", PRESERVE: "P", NEUTRAL: "N"}


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token of an item.

    Attributes:
        text: its text, with the spaces before it.
        kind: its class, see `concepts.token_classes`.
        concept, level: name and level of its concept, None without one.
        score: the dual-purpose score (Tran et al. 2025), the target's nll minus the base's (nats). None if no model was
            run, or if the token has no prediction.
    """

    text: str
    kind: int
    weight: float
    concept: str | None = None
    level: int | None = None
    score: float | None = None


def coloured(tokens: Sequence[TokenView]) -> Text:
    """Return the text with the colour of its class behind each token, paler for smaller weights, none if neutral."""
    from rich.text import Text

    heaviest = max((token.weight for token in tokens), default=1.0) or 1.0
    text = Text()
    for token in tokens:
        shade = _shade(COLORS[token.kind], token.weight / heaviest)
        text.append(token.text, style="" if token.kind == NEUTRAL else f"white on {shade}")
    return text


def _shade(color: tuple[int, int, int], strength: float) -> str:
    """Mix a colour with grey: pure at strength 1, one third at strength 0."""
    # One third at least: a token of little weight must still be told from a neutral one.
    part = 1 / 3 + 2 / 3 * min(1.0, max(0.0, strength))
    mixed = (round(part * channel + (1 - part) * 127) for channel in color)
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def legend() -> Text:
    from rich.text import Text

    words = {UNLEARN: " U unlearn ", PRESERVE: " P preserve "}
    parts = [Text(word, style=f"white on {_shade(COLORS[kind], 1.0)}") for kind, word in words.items()]
    return Text("  ").join([*parts, Text("N neutral"), Text("paler: smaller weight", style="dim")])


def token_table(tokens: Sequence[TokenView]) -> Table:
    """Return the table of tokens, one row each. It has a column of scores only if some token has one."""
    scored = any(token.score is not None for token in tokens)
    header = ("Token", "Class", "Concept", "Level", "Weight", *(["Score (nats)"] * scored))
    rows = tuple(
        (
            repr(token.text),
            NAMES[token.kind],
            token.concept or DASH,
            DASH if token.level is None else str(token.level),
            f"{token.weight:.2f}",
            *([DASH if token.score is None else f"{token.score:+.2f}"] * scored),
        )
        for token in tokens
    )
    return Table("Tokens", header, rows, num_text=3)
