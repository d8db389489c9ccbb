"""A row of a hardening table: what lies on disk, what is called, and what must come of it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from duolearn_cli.errors import UserError, printable

Act = Callable[[Path], object]
# What the handler of last resort says: a row that ends there is a failure.
LAST_RESORT = "fault of duolearn"


@dataclass(frozen=True)
class Row:
    """One input and its outcome.

    Attributes:
        act: the words of a command line, in which {} is the folder, or a function that takes the folder.
        names: what the message must contain, {} again for the folder.
        files: what lies in the folder before; a function makes its file itself.
        status: the exit status. 0: the input is accepted.
        seconds: of processor time.
        cleans: what is damaged is removed, as the message says.
        quick: belongs to the tenth that every test run has.
    """

    id: str
    act: Sequence[str] | Act
    names: Sequence[str] = ()
    files: Mapping[str, str | bytes | Act] = field(default_factory=dict)
    status: int = 2
    seconds: float = 30.0
    quick: bool = False
    cleans: bool = False


def check(row: Row, folder: Path) -> None:
    """Carry out a row and compare: status, message, time, and that nothing was left behind."""
    lay(row.files, folder)
    before, started = listing(folder), time.process_time()
    status, said = carried_out(row.act, folder)
    spent = time.process_time() - started
    check_said(row, status, said, folder)
    if status and not row.cleans:
        assert listing(folder) == before
    assert spent < row.seconds, f"{spent:.1f} s"


def check_said(row: Row, status: int, said: str, folder: Path) -> None:
    """Compare status and message with the row's."""
    assert LAST_RESORT not in said and "Traceback" not in said, said
    assert status == row.status, f"status {status}: {said}"
    missing = [name for name in row.names if name.replace("{}", str(folder)) not in said]
    assert not missing, f"{missing} not in: {said}"
    assert len(said) < 4000 or not status, f"{len(said)} characters: {said[:300]}"
    assert "\x1b" not in said, repr(said)


def lay(files: Mapping[str, str | bytes | Act], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            content(path)


def carried_out(act: Sequence[str] | Act, folder: Path) -> tuple[int, str]:
    """The exit status, and what was said to the user. What is no UserError is raised in a function's case."""
    if callable(act):
        try:
            act(folder)
        except UserError as error:
            return error.status, printable(str(error))  # as the command line shows it
        return 0, ""
    return command([word.replace("{}", str(folder)) for word in act], folder)


def command(words: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a command line in `folder`, in this process."""
    from duolearn_cli.__main__ import main

    out, err, here, argv = io.StringIO(), io.StringIO(), Path.cwd(), sys.argv
    os.chdir(folder)
    sys.argv = ["duolearn", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(words)
    finally:
        os.chdir(here)
        sys.argv = argv
    return status, f"{out.getvalue()}{err.getvalue()}"


def listing(folder: Path) -> list[str]:
    """Every path below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
