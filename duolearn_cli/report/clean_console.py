"""A console that shows data as text: escape sequences in it are not passed on to the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from duolearn_cli.errors import visible


class CleanConsole(Console):
    """rich's console, whose own styles are the only escape sequences that it writes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
