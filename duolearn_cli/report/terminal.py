"""The output of a command while it works: rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from duolearn_cli.errors import visible
from duolearn_cli.report.tables import DASH, Table, number

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Everything shown is also logged; a run folder stores it in log.txt.
log = logging.getLogger("duolearn")
LINE_SECONDS = 10.0
LINES_PER_PROGRESS = 10
PLAIN_WIDTH = 120


class Advance(Protocol):
    """Reports to a progress display that `n` more are done, with the latest values."""

    def __call__(self, values: Mapping[str, float] | None = None, n: int = 1) -> None: ...


class Display:
    """Shows progress and results. Off a terminal, or with TERM=dumb, each event is one line without control codes."""

    def __init__(self, console: Console | None = None) -> None:
        from duolearn_cli.report.clean_console import CleanConsole

        # Explicit, because rich takes a pipe for a terminal in some CI systems and would then redraw in a log file.
        self._console = console or CleanConsole(force_terminal=sys.stdout.isatty(), highlight=False)
        self.plain = not self._console.is_terminal or self._console.is_dumb_terminal

    def stage(self, title: str) -> None:
        """Announce the next stage of the work."""
        log.info("%s", title)
        if self.plain:
            self._line(title)
        else:
            self._console.print(f"\n{title}", style="bold", markup=False, highlight=False)

    def note(self, text: str) -> None:
        """Show and log one line about something that happened."""
        log.info("%s", text)
        if self.plain:
            self._line(f"  {text}")
        else:
            self._console.print(wrapped(text, self._console.width), markup=False, highlight=False, soft_wrap=True)

    def path(self, path: Path) -> None:
        """Show the full path of a file or folder on a line of its own, which can be copied as a whole."""
        log.info("%s", path)
        self._line(str(path.resolve()))

    def show(self, renderable: RenderableType) -> None:
        """Print a string or anything that rich can render. Off a terminal, a `Table` becomes Markdown."""
        if not self.plain:
            self._console.print(renderable, markup=False)
        elif isinstance(renderable, Table):
            self._line(f"\n{renderable.title}\n\n{renderable.markdown()}\n")
        else:
            self._line(renderable if isinstance(renderable, str) else _as_plain_text(renderable))

    def table(self, text_or_renderable: RenderableType) -> None:
        """Print a table. The lines of a table given as text are not wrapped, however narrow the terminal is."""
        if isinstance(text_or_renderable, str) and not self.plain:
            self._console.print(text_or_renderable, markup=False, highlight=False, soft_wrap=True)
        else:
            self.show(text_or_renderable)

    def progress(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """Return a context that counts to `total` and shows the time elapsed, the time left and the latest values."""
        return _plain_progress(self._line, title, total) if self.plain else _live_progress(self._console, title, total)

    def _line(self, text: str) -> None:
        file = self._console.file
        # The encoding of a log file may lack arrows. A question mark is better than a crash after hours of work.
        encoding = getattr(file, "encoding", None) or "utf-8"
        try:
            file.write(visible(text).encode(encoding, "replace").decode(encoding) + "\n")
            file.flush()
        except OSError:
            # The reader has gone (`| head`), or the disk of the log is full. Hours of work do not end for that: log.txt
            # has every line.
            self._console.file = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def wrapped(text: str, width: int) -> str:
    """A note that breaks between words only: a path or a command in it stays whole."""
    # A path that is broken over two lines cannot be copied.
    return textwrap.fill(
        text,
        max(width, 20),
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _as_plain_text(renderable: RenderableType) -> str:
    from rich.console import Console

    # A fixed width would cut the cells of a wide table; a pipe has no edge.
    wide = Console(file=StringIO(), force_terminal=False, color_system=None, width=10_000)
    width = max(PLAIN_WIDTH, wide.measure(renderable).maximum)
    console = Console(file=StringIO(), force_terminal=False, color_system=None, width=width)
    console.print(renderable, markup=False)
    return console.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]


@dataclass
class PlainProgress:
    """Progress as lines: one per tenth of the total, one if ten seconds have passed without one, and one at the end."""

    write: Callable[[str], None]
    title: str
    total: int
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    values: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.written_at = self.clock()
        self.written = 0

    def advance(self, values: Mapping[str, float] | None = None, n: int = 1) -> None:
        self.done += n
        self.values = values or self.values
        now = self.clock()
        far = (self.done - self.written) * LINES_PER_PROGRESS >= self.total
        if far or self.done >= self.total or now - self.written_at >= LINE_SECONDS:
            self.write(self.line(now - self.started))
            self.written, self.written_at = self.done, now

    def line(self, elapsed: float) -> str:
        """Return the state after `elapsed` seconds as one line."""
        left = elapsed * max(0, self.total - self.done) / max(1, self.done)
        parts = [f"{self.done}/{self.total}", f"{clock_time(elapsed)} elapsed", f"{clock_time(left)} left"]
        return f"  {self.title}: " + ", ".join([*parts, *_named(self.values)])


@contextmanager
def _plain_progress(write: Callable[[str], None], title: str, total: int) -> Iterator[Advance]:
    yield PlainProgress(write, title, total).advance


@contextmanager
def _live_progress(console: Console, title: str, total: int) -> Iterator[Advance]:
    from rich.console import Group
    from rich.live import Live
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    bar = Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    )
    task = bar.add_task(title, total=total)
    # Values have a line of their own, so that the bar is not cut on a narrow terminal.
    latest = Text(style="dim")

    def advance(values: Mapping[str, float] | None = None, n: int = 1) -> None:
        bar.advance(task, n)
        if values:
            latest.plain = "    " + " · ".join(_named(values))

    with Live(get_renderable=lambda: Group(bar, latest) if latest.plain else bar, console=console):
        yield advance


def _named(values: Mapping[str, float]) -> list[str]:
    return [f"{name.replace('_', ' ')} {_short(value)}" for name, value in values.items()]


def _short(value: float | None) -> str:
    return DASH if number(value) is None else f"{value:.4g}"


def clock_time(seconds: float) -> str:
    """Format seconds as ``m:ss``, or as ``h:mm:ss`` from one hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
