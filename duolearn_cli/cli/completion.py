"""Completion for the shell: commands, their actions, flags and values of settings; Hydra completes the rest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from duolearn_cli.cli.flags import PLAIN, SHORT, WITH_VALUE
from duolearn_cli.config.words import ACTIONS, AUDITS, CACHE_ACTIONS, DATA_ACTIONS

_ACTIONS = {"hierarchy": ACTIONS, "audit": AUDITS, "data": DATA_ACTIONS, "cache": CACHE_ACTIONS}


def complete(args: Sequence[str], commands: Sequence[str], aliases: Mapping[str, str]) -> int:
    """Print what may follow on the command line of the variable COMP_LINE, and return the exit status.

    Commands and actions are taken out of the line that Hydra sees.
    """
    from duolearn_cli.cli.launch import hydra_completion

    words = os.environ.get("COMP_LINE", "").split(" ")
    # Hydra's flag also installs and removes completion (`-sc install=bash`); then there is no line to complete.
    is_query = any("query" in arg for arg in args)
    if len(words) > 1:
        words[1] = aliases.get(words[1], words[1])
    # Hydra's parser ends the process at a flag that is not finished, so it never sees one.
    if is_query and (found := _own(words, (*commands, *aliases, "help", "list"))) is not None:
        print("\n".join(found))
        return 0
    command = words[1] if len(words) > 1 and words[1] in commands else "unlearn"
    if words[2:3] and words[2] in _ACTIONS.get(command, ()):
        del words[2]
    if len(words) > 1 and words[1] in commands:
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    return hydra_completion(command, list(args))


def _own(words: Sequence[str], first: Sequence[str]) -> list[str] | None:
    """What completes the last word if it is no override of Hydra's; None if it may be one."""
    last, command = words[-1], words[1] if len(words) > 1 else ""
    if last.startswith("-"):
        return _starting(last, [flag for flag in (*PLAIN, *WITH_VALUE, *SHORT) if flag != "-r"])
    if len(words) <= 2:
        return _starting(last, first)
    before = SHORT.get(words[-2], words[-2])
    if WITH_VALUE.get(before):
        return _starting(last, WITH_VALUE[before])
    if command == "help":
        return _starting(last, _keys())
    if command == "list":
        return _starting(last, _kinds())
    actions = _starting(last, _ACTIONS.get(command, ())) if len(words) == 3 else []
    return actions or (_values(last) if "=" in last else None)


def _starting(word: str, known: Sequence[str]) -> list[str]:
    return [name for name in known if name.startswith(word)]


def _keys() -> list[str]:
    from duolearn_cli.config.catalogue import catalogue

    # The catalogue imports every component, which other completions need not wait for.
    rows = catalogue()
    return list(dict.fromkeys([*(row.group for row in rows if row.group), *(row.key for row in rows)]))


def _kinds() -> list[str]:
    from duolearn_cli.cli.unknown import plural
    from duolearn_cli.files import groups

    return [plural(group) for group in groups()]


def _values(word: str) -> list[str] | None:
    """The words that a setting allows, each as ``KEY=WORD``; None if it is free, or no setting."""
    from duolearn_cli.config.catalogue import catalogue

    key, _, begun = word.partition("=")
    sign = key[: len(key) - len(key.lstrip("+"))]
    row = next((row for row in catalogue() if row.key == key.lstrip("+")), None)
    if row is None or not row.words:
        return None
    return [f"{sign}{row.key}={value}" for value in row.words if value.startswith(begun)]
