"""The command line: subcommands, flags, help, completion, and errors as messages. Only this file reads sys.argv."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

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
from duolearn_cli.errors import UserError

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
        The exit status: 0 done, 1 failed, 2 refused, 130 interrupted.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # The reader of our output, such as `head`, has closed it. Flushing at exit would raise the error once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


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
