"""Words after `hierarchy`, `audit` and `inspect` that become overrides: an action, a concept, a text, an item."""

from __future__ import annotations

import re
from collections.abc import Sequence

from duolearn_cli.config.renamed import new_name
from duolearn_cli.config.words import ACTIONS, AUDITS
from duolearn_cli.errors import UserError, nearest

_OVERRIDE = re.compile(r"[+~]{0,2}[A-Za-z_$][\w./@:$-]*=|~[A-Za-z_]")
# The word after `find` is the text, whatever it holds, unless it is one of the command line's own flags.
_FLAG = re.compile(r"-{1,2}[a-z][a-z-]*(=.*)?", re.DOTALL)
_KEY = re.compile(r"(?P<sign>[+~]{0,2})(?P<key>[a-z_]+)(?==|$)")


def taken_text(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the text of ``hierarchy find TEXT`` out of the arguments, before anything else reads them."""
    command = args.index("hierarchy") if "hierarchy" in args else len(args)
    for place in range(command + 1, len(args) - 1):
        if _OVERRIDE.match(args[place]) or _FLAG.fullmatch(args[place]):
            continue
        if args[place] == "find" and not _FLAG.fullmatch(args[place + 1]):
            return [*args[: place + 1], *args[place + 2 :]], [quoted("hierarchy_view.text", args[place + 1])]
        break
    return list(args), []


def action_overrides(words: Sequence[str]) -> list[str]:
    """Turn ``show NODE``, ``check``, ``find`` or ``import`` into overrides; what is one already stays.

    Raises:
        UserError: an unknown action, or a word too many.
    """
    free = [word for word in words if not _OVERRIDE.match(word) and word != "--dry-run"]
    given = [in_full("hierarchy", word) for word in words if _OVERRIDE.match(word) or word == "--dry-run"]
    if not free and any(word.startswith("hierarchy_view.action=") for word in given):
        return given
    action = free.pop(0) if free else "show"
    if action not in ACTIONS:
        raise UserError(
            f"hierarchy {action}: there is no such action; allowed: {', '.join(ACTIONS)}{nearest(action, ACTIONS)}."
        )
    node = [quoted("hierarchy_view.node", free.pop(0))] if action == "show" and free else []
    if free:
        mend = "the text comes right after find, in quotes" if action == "find" else "several words need quotes"
        raise UserError(f"hierarchy {action}: {free[0]!r} is a word too many; {mend}.")
    return [f"hierarchy_view.action={action}", *node, *given]


def audit_overrides(words: Sequence[str]) -> list[str]:
    """Turn ``audit privacy`` or ``robustness`` into an override. Raises UserError for no, another or a second word."""
    free = [word for word in words if not _OVERRIDE.match(word) and word != "--dry-run"]
    if len(free) != 1 or free[0] not in AUDITS:
        said = f"audit {' '.join(free)}: there is no such audit" if free else "audit: it is not said what"
        raise UserError(f"{said}; allowed: {', '.join(AUDITS)}{nearest(free[0] if free else '', AUDITS)}.")
    return [f"audit.kind={free[0]}", *(word for word in words if word != free[0])]


def item_overrides(words: Sequence[str]) -> list[str]:
    """Turn the ID of ``inspect ID`` into an override, whatever characters it holds. Raises UserError for a second."""
    free = [word for word in words if not _OVERRIDE.match(word)]
    if len(free) > 1:
        raise UserError(f"inspect: {free[1]!r} is a word too many; give one item's id, in quotes where it has spaces.")
    given = [in_full("inspect", word) for word in words if _OVERRIDE.match(word)]
    return [*(quoted("inspect.item", word) for word in free), *given]


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


def quoted(key: str, value: str) -> str:
    """Return the override that sets `key` to exactly `value`, whatever it holds."""
    return f"{key}={quoted_value(value)}"


def quoted_value(value: str) -> str:
    """Return `value` as a quoted text of an override.

    Hydra's grammar wants backslashes doubled before a quote or the end, and quotes escaped; OmegaConf wants the dollar
    sign of ``${`` escaped, and backslashes before it doubled.
    """
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    escaped = re.sub(r"(\\+)(?='|\Z)", r"\1\1", literal).replace("'", "\\'")
    return f"'{escaped}'"
