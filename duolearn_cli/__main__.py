"""The command line: subcommands, flags, help, completion, and errors as messages. The only file that knows sys.argv."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from duolearn_cli import __version__
from duolearn_cli.errors import UserError, nearest

COMMANDS = ("learn", "retrain", "unlearn", "evaluate", "doctor", "fetch", "export")
HYDRA_ONLY = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 failed, 2 refused, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _dispatch(args: list[str]) -> int:
    if "--shell-completion" in args or any(arg == "-sc" for arg in args):
        return _complete(args)
    if "--version" in args:
        print(f"duolearn {__version__}")
        return 0
    command = next((arg for arg in args if not arg.startswith("-")), None)
    asks_help = any(arg in ("--help", "-h", "help") for arg in args) or not args
    if asks_help and (command is None or command == "help"):
        from duolearn_cli.help import overview

        print(overview(COMMANDS), end="")
        return 0
    if command not in COMMANDS:
        raise UserError(f"{command!r} is no command; allowed: {', '.join(COMMANDS)}{nearest(str(command), COMMANDS)}.")
    args.remove(command)
    if asks_help:
        from duolearn_cli.help import command_help

        print(command_help(command, _config_dir(args)), end="")
        return 0
    from duolearn_cli.launch import launch

    return launch(command, [_normalised(arg) for arg in args])


def _normalised(arg: str) -> str:
    """``--dry-run`` is a setting; ``forget=surgery`` selects the group as ``+forget=surgery`` does."""
    if arg == "--dry-run":
        return "dry_run=true"
    return f"+{arg}" if arg.startswith("forget=") else arg


def _config_dir(args: Sequence[str]) -> str | None:
    for flag, value in zip(args, [*args[1:], ""], strict=False):
        if flag in ("--config-dir", "-cd"):
            return value
        if flag.startswith("--config-dir="):
            return flag.partition("=")[2]
    return None


def _complete(args: list[str]) -> int:
    """Shell completion: Hydra completes overrides; the subcommand is completed here and hidden from Hydra."""
    from duolearn_cli.launch import hydra_completion

    words = os.environ.get("COMP_LINE", "").split(" ")
    if any("query" in arg for arg in args) and len(words) <= 2:
        print("\n".join(name for name in COMMANDS if name.startswith(words[-1])))
        return 0
    command = words[1] if len(words) > 1 and words[1] in COMMANDS else "unlearn"
    if len(words) > 1 and words[1] in COMMANDS:
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    return hydra_completion(command, args)


if __name__ == "__main__":
    sys.exit(main())
