"""Positional words of commands (action, concept, text, item), turned into overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from duolearn_cli.config.renamed import new_name
from duolearn_cli.config.words import ACTIONS, AUDITS
from duolearn_cli.errors import UserError, nearest

_OVERRIDE = re.compile(r"[+~]{0,2}[A-Za-z_$][\w./@:$-]*=|~[A-Za-z_]")
# The word after `find` is the text, whatever it contains, unless it is a flag of the command line.
_FLAG = re.compile(r"-{1,2}[a-z][a-z-]*(=.*)?", re.DOTALL)
_KEY = re.compile(r"(?P<sign>[+~]{0,2})(?P<key>[a-z_]+)(?==|$)")


def taken_text(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the text of ``hierarchy find TEXT`` out of the arguments, before anything else reads them.

    Return the other arguments, and the text as an override.
    """
    command = args.index("hierarchy") if "hierarchy" in args else len(args)
    for position in range(command + 1, len(args) - 1):
        if _OVERRIDE.match(args[position]) or _FLAG.fullmatch(args[position]):
            continue
        if args[position] == "find" and not _FLAG.fullmatch(args[position + 1]):
            return [*args[: position + 1], *args[position + 2 :]], [quoted("hierarchy_view.text", args[position + 1])]
        break
    return list(args), []


def action_overrides(words: Sequence[str]) -> list[str]:
    """Turn the words of ``hierarchy`` (``show NODE``, ``check``, ``find`` ...) into overrides; keep other overrides.

    Raises:
        UserError: an unknown action, or one word too many.
    """
    free = [word for word in words if not _OVERRIDE.match(word) and word != "--dry-run"]
    others = [in_full("hierarchy", word) for word in words if _OVERRIDE.match(word) or word == "--dry-run"]
    if not free and any(word.startswith("hierarchy_view.action=") for word in others):
        return others
    action = free.pop(0) if free else "show"
    if action not in ACTIONS:
        raise UserError(
            f"hierarchy {action}: there is no such action; allowed: {', '.join(ACTIONS)}{nearest(action, ACTIONS)}."
        )
    node = [quoted("hierarchy_view.node", free.pop(0))] if action == "show" and free else []
    if free:
        fix = "the text comes right after find, in quotes" if action == "find" else "several words need quotes"
        raise UserError(f"hierarchy {action}: {free[0]!r} is one word too many; {fix}.")
    return [f"hierarchy_view.action={action}", *node, *others]


def audit_overrides(words: Sequence[str]) -> list[str]:
    """Turn ``audit privacy`` or ``audit robustness`` into an override.

    Raises:
        UserError: the kind of audit is missing or unknown, or there is a second word.
    """
    free = [word for word in words if not _OVERRIDE.match(word) and word != "--dry-run"]
    if len(free) != 1 or free[0] not in AUDITS:
        problem = f"audit {' '.join(free)}: there is no such audit" if free else "audit: the kind of audit is missing"
        raise UserError(f"{problem}; allowed: {', '.join(AUDITS)}{nearest(free[0] if free else '', AUDITS)}.")
    return [f"audit.kind={free[0]}", *(word for word in words if word != free[0])]


def word_overrides(words: Sequence[str], command: str, known: Sequence[str], key: str | None) -> list[str]:
    """Turn the action of ``cache list`` or ``data export`` into an override of `key`; drop it if `key` is None.

    Raises:
        UserError: an unknown action, more than one, or none where `key` is None.
    """
    free = [word for word in words if not _OVERRIDE.match(word) and word != "--dry-run"]
    given = [word for word in words if word not in free]
    if not free and key:
        return given
    if len(free) != 1 or free[0] not in known:
        said = f"{command} {' '.join(free)}: there is no such action" if free else f"{command}: the action is missing"
        raise UserError(f"{said}; allowed: {', '.join(known)}{nearest(free[0] if free else '', known)}.")
    return [*([f"{key}={free[0]}"] if key else []), *given]


def item_overrides(words: Sequence[str]) -> list[str]:
    """Turn the ID of ``inspect ID`` into an override, whatever characters it contains.

    Raises:
        UserError: there is more than one word.
    """
    free = [word for word in words if not _OVERRIDE.match(word)]
    if len(free) > 1:
        raise UserError(f"inspect: {free[1]!r} is one word too many; give one item's id, in quotes if it has spaces.")
    given = [in_full("inspect", word) for word in words if _OVERRIDE.match(word)]
    return [*(quoted("inspect.item", word) for word in free), *given]


def list_overrides(words: Sequence[str], key: str) -> list[str]:
    """Turn the folders of ``compare RUN RUN`` or ``runs FOLDER`` into one override of `key`, a list."""
    # A sweep may call its jobs `seed=1`: what is a folder is no override.
    free = [word for word in words if word != "--dry-run" and (not _OVERRIDE.match(word) or Path(word).is_dir())]
    given = [word for word in words if word not in free]
    return [*([f"{key}=[{','.join(map(quoted_value, free))}]"] if free else []), *given]


def question_overrides(words: Sequence[str]) -> list[str]:
    """Turn the text of ``ask "QUESTION"`` into an override, whatever characters it contains.

    Raises:
        UserError: there is more than one word.
    """
    free = [word for word in words if not _OVERRIDE.match(word) and word != "--dry-run"]
    if len(free) > 1:
        raise UserError(f"ask: {free[1]!r} is one word too many; give the question as one word, in quotes.")
    return [*(quoted("ask.question", word) for word in free), *(word for word in words if word not in free)]


def in_full(command: str, word: str) -> str:
    """Return an override with the full name of its setting: ``depth=3`` after `hierarchy` sets hierarchy_view.depth."""
    short = _KEY.match(word)
    name = new_name(short["key"], command) if short else None
    return f"{short['sign']}{name}{word[short.end() :]}" if short and name else word


def normalised(word: str) -> str:
    """``--dry-run`` is a setting; ``forget=surgery`` selects the group as ``+forget=surgery`` does."""
    if word == "--dry-run":
        return "dry_run=true"
    return f"+{word}" if word.startswith(("forget=", "ablation=")) else word


def verify_overrides(words: Sequence[str]) -> list[str]:
    """Give the settings of `verify` their full names: ``deep=true`` sets verify.deep."""
    from dataclasses import fields  # help of other commands does not wait for the schema

    from duolearn_cli.config.record import VerifyConfig

    short = tuple(f"{spec.name}=" for spec in fields(VerifyConfig))
    return [f"verify.{word}" if word.startswith(short) else word for word in words]


def quoted(key: str, value: str) -> str:
    """Return the override that sets `key` to exactly `value`, whatever characters it contains."""
    return f"{key}={quoted_value(value)}"


def quoted_value(value: str) -> str:
    """Return `value` as the quoted string of an override.

    Hydra's grammar requires escaped quotes, and doubled backslashes before a quote or the end. OmegaConf requires an
    escaped dollar sign in ``${``, and doubled backslashes before it.
    """
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    escaped = re.sub(r"(\\+)(?='|\Z)", r"\1\1", literal).replace("'", "\\'")
    return f"'{escaped}'"
