"""What the command line answers with a text alone: help, explained settings and lists. Nothing is run or written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from duolearn_cli.cli.flags import HELP_FLAGS
from duolearn_cli.errors import UserError

# Lines that are longer are hard to read.
WIDEST = 100


def answer(
    command: str | None, words: Sequence[str], flags: Sequence[str], commands: Sequence[str], aliases: Mapping[str, str]
) -> str | None:
    """The text that a command line asks for; None if it asks for something to be done.

    Raises:
        UserError: there is no such command, setting, kind of list or folder.
    """
    config_dir, width = config_dir_of(flags), min(WIDEST, shutil.get_terminal_size().columns)
    asks_help = any(flag in HELP_FLAGS for flag in flags) or "help" in words
    # A kind named like a command, as `list measures` and `help unlearn`, must not be taken for that command.
    if command == "list":
        from duolearn_cli.cli.listing import listing

        kinds = [] if asks_help else [word for word in words if "=" not in word]
        return listing(kinds, config_dir, plugins_of(words), width)
    if command == "help" and words:
        from duolearn_cli.cli.settings_help import explained

        return explained(words, config_dir, plugins_of(words), width)
    if command == "help" or (command is None and (asks_help or not flags)):
        from duolearn_cli.cli.help import overview

        return overview(commands, aliases, width)
    if command is not None and command not in commands:
        from duolearn_cli.cli.unknown import no_command

        raise UserError(no_command(command, (*commands, *aliases, "help", "list")))
    if command is None or not asks_help:
        return None
    from duolearn_cli.cli.help import command_help

    return command_help(command, config_dir, width, every="--help-all" in flags)


def config_dir_of(flags: Sequence[str]) -> str | None:
    """The user's folder of configuration groups from ``--config-dir``; None if it is not given.

    Raises:
        UserError: there is no such folder.
    """
    folder = None
    for flag, value in zip(flags, [*flags[1:], ""], strict=False):
        if flag in ("--config-dir", "-cd"):
            folder = value
        elif flag.startswith(("--config-dir=", "-cd=")):
            folder = flag.partition("=")[2]
    if folder is not None and not Path(folder).is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder.")
    return folder


def plugins_of(words: Sequence[str]) -> list[str]:
    """The modules of ``plugins=[...]``, read without Hydra."""
    given = [word.partition("=")[2] for word in words if word.startswith("plugins=")]
    return [name.strip() for value in given for name in value.strip("[]").split(",") if name.strip()]
