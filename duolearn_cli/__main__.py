"""The command line: subcommands, flags, help, completion, and errors as messages. Only this file reads sys.argv."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from duolearn_cli.cli.answers import answer
from duolearn_cli.cli.flags import check_flags, one_of, takes_value
from duolearn_cli.cli.positional import (
    action_overrides,
    audit_overrides,
    item_overrides,
    list_overrides,
    normalised,
    question_overrides,
    taken_text,
    verify_overrides,
    word_overrides,
)
from duolearn_cli.config.version import __version__
from duolearn_cli.config.words import CACHE_ACTIONS, DATA_ACTIONS
from duolearn_cli.errors import Interrupted, UserError, printable

COMMANDS = (
    "learn",
    "retrain",
    "unlearn",
    "evaluate",
    "verify",
    "audit",
    "inspect",
    "doctor",
    "fetch",
    "report",
    "compare",
    "runs",
    "ask",
    "export",
    "purge",
    "withdraw",
    "cache",
    "data",
    "hierarchy",
    "bench",
    "benchmark",
)
# Commands whose words are folders, and the setting that these are.
FOLDER_LISTS = {"compare": "compare.runs", "runs": "runs.folders"}
# Other names that a command can be given.
ALIASES = {"speed": "bench"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; by default those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 refused, 130 interrupted (143 and 129 by SIGTERM and SIGHUP).
    """
    args = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    try:
        with _stoppable():
            status = _dispatch(args)
        _flushed()
        return status
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # The reader of our output, such as `head`, has closed it. Flushing at exit would raise the error once more.
        _silenced()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        return error.status if isinstance(error, Interrupted) else 130
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # panics of libraries in Rust are no Exceptions
        from duolearn_cli.cli.last_resort import DEBUG, explained

        if os.environ.get(DEBUG):
            raise
        status, message = explained(error, args)
        print(f"error: {message}", file=sys.stderr)
        return status


def _open_streams() -> None:
    """Give a process that was started without output (``>&-``) one that goes nowhere."""
    nowhere = os.devnull
    sys.stdout = sys.stdout or open(nowhere, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(nowhere, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def _flushed() -> None:
    """Write out what is buffered: a full disk must be an error of the command, not a traceback after it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _silenced()
        if not isinstance(error, BrokenPipeError):
            raise UserError(f"the output could not be written: {error.strerror}.") from error


def _silenced() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _stoppable() -> Iterator[None]:
    """Take a batch system's or a closed terminal's signal (TERM, HUP) for Ctrl-C."""

    def stop(number: int, frame: Any) -> None:
        raise Interrupted(number)

    # Whoever has set another handler, as nohup has, keeps it.
    numbers = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    is_main = threading.current_thread() is threading.main_thread()
    for number in numbers if is_main else ():
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers if is_main else ():
            signal.signal(number, signal.SIG_DFL)


def _dispatch(args: list[str]) -> int:
    """Answer completion, version, help and lists, or launch the command.

    Imports are late: help must not wait for Hydra.
    """
    if "--shell-completion" in args or any(arg == "-sc" for arg in args):
        from duolearn_cli.cli.completion import complete

        return complete(args, COMMANDS, ALIASES)
    args, text = taken_text(args)
    if "--version" in args:
        print(f"duolearn {__version__}")
        return 0
    flags, words = _arranged(args)
    check_flags(flags)
    command = words.pop(0) if words else None
    command = ALIASES.get(command or "", command)
    if (found := answer(command, words, flags, COMMANDS, ALIASES)) is not None:
        print(found, end="")
        return 0
    if command is None:
        raise UserError(f"which command? Allowed: {', '.join(COMMANDS)}; duolearn --help describes them.")
    from duolearn_cli.cli.launch import launch

    if command == "hierarchy":
        words = [*action_overrides(words), *text]
    elif command == "audit":
        words = audit_overrides(words)
    elif command == "inspect":
        words = item_overrides(words)
    elif command == "data":
        words = word_overrides(words, "data", DATA_ACTIONS, None)
    elif command == "cache":
        words = word_overrides(words, "cache", CACHE_ACTIONS, "cache.action")
    elif command in ("verify", "withdraw"):
        words = verify_overrides(words)
    elif command in FOLDER_LISTS:
        words = list_overrides(words, FOLDER_LISTS[command])
    elif command == "ask":
        words = question_overrides(words)
    return launch(command, [*flags, *map(normalised, words)])


def _arranged(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments into flags with their values, and other words, with ``--dry-run`` last.

    Hydra's argparse accepts overrides only in one stretch, not between flags.
    """
    flags: list[str] = []
    words: list[str] = []
    remaining = list(args)
    while remaining:
        arg = remaining.pop(0)
        if arg == "--dry-run" or not arg.startswith("-"):
            words.append(arg)
            continue
        flags.append(arg)
        if takes_value(arg):
            if not remaining:
                raise UserError(f"{arg} needs a value{one_of(arg)}.")
            flags.append(remaining.pop(0))
    return flags, sorted(words, key=lambda word: word == "--dry-run")


if __name__ == "__main__":
    sys.exit(main())
