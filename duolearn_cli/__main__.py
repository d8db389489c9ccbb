"""The command line: subcommands, flags, help, completion, and errors as messages. Only this file reads sys.argv."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from duolearn_cli.cli.positional import (
    action_overrides,
    audit_overrides,
    item_overrides,
    normalised,
    taken_text,
    verify_overrides,
    word_overrides,
)
from duolearn_cli.config.version import __version__
from duolearn_cli.config.words import ACTIONS, AUDITS, CACHE_ACTIONS, DATA_ACTIONS
from duolearn_cli.errors import UserError, nearest

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
    "export",
    "purge",
    "withdraw",
    "cache",
    "data",
    "hierarchy",
    "bench",
    "benchmark",
)
# Other names that a command can be given.
ALIASES = {"speed": "bench"}
# Hydra's flags that take a value: the word after one of them is no override.
VALUE_FLAGS = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
INFO_FLAGS = ("--info", "-i")
INFO_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


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
    """Answer completion, version and help, or launch the command. Imports are late: help must not wait for Hydra."""
    if "--shell-completion" in args or any(arg == "-sc" for arg in args):
        return _complete(args)
    args, text = taken_text(args)
    if "--version" in args:
        print(f"duolearn {__version__}")
        return 0
    flags, words = _arranged(args)
    command = words.pop(0) if words else None
    command = ALIASES.get(command or "", command)
    asks_help = any(arg in ("--help", "-h") for arg in flags) or "help" in (command, *words) or not args
    config_dir = _config_dir(flags)
    if asks_help and command in (None, "help"):
        from duolearn_cli.cli.help import overview

        print(overview(COMMANDS, ALIASES), end="")
        return 0
    if command is None:
        raise UserError(f"which command? Allowed: {', '.join(COMMANDS)}; duolearn --help describes them.")
    if command not in COMMANDS:
        known = (*COMMANDS, *ALIASES)
        raise UserError(f"{command!r} is no command; allowed: {', '.join(known)}{nearest(command, known)}.")
    if asks_help:
        from duolearn_cli.cli.help import command_help

        print(command_help(command, config_dir), end="")
        return 0
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
        if arg in VALUE_FLAGS:
            if not remaining:
                raise UserError(f"{arg} needs a value.")
            flags.append(remaining.pop(0))
        elif arg in INFO_FLAGS:
            # The value is optional, and argparse would take the first override for it: write the default out.
            flags.append(remaining.pop(0) if remaining and remaining[0] in INFO_TOPICS else INFO_TOPICS[0])
    return flags, sorted(words, key=lambda word: word == "--dry-run")


def _config_dir(flags: Sequence[str]) -> str | None:
    """The user's folder of configuration groups from ``--config-dir``; None if it is not given.

    Raises:
        UserError: there is no such folder.
    """
    folder = None
    for flag, value in zip(flags, [*flags[1:], ""], strict=False):
        if flag in ("--config-dir", "-cd"):
            folder = value
        elif flag.startswith("--config-dir="):
            folder = flag.partition("=")[2]
    if folder is not None and not Path(folder).is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder.")
    return folder


def _complete(args: list[str]) -> int:
    """Complete a command line for the shell.

    Subcommands and their actions are completed here, and removed from the line that Hydra sees; Hydra completes
    overrides. Return the exit status.
    """
    from duolearn_cli.cli.launch import hydra_completion

    words = os.environ.get("COMP_LINE", "").split(" ")
    if any("query" in arg for arg in args) and len(words) <= 2:
        print("\n".join(name for name in (*COMMANDS, *ALIASES) if name.startswith(words[-1])))
        return 0
    if len(words) > 1:
        words[1] = ALIASES.get(words[1], words[1])
    command = words[1] if len(words) > 1 and words[1] in COMMANDS else "unlearn"
    actions = {"hierarchy": ACTIONS, "audit": AUDITS, "data": DATA_ACTIONS, "cache": CACHE_ACTIONS}.get(command, ())
    if actions and len(words) == 3:
        if matching := [action for action in actions if action.startswith(words[2])]:
            print("\n".join(matching))
            return 0
    elif words[2:3] and words[2] in actions:
        del words[2]
    if len(words) > 1 and words[1] in COMMANDS:
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    return hydra_completion(command, args)


if __name__ == "__main__":
    sys.exit(main())
