"""What to say about a first word that is no command: what other tools call so, and what is spelled like it."""

from __future__ import annotations

from collections.abc import Sequence

from duolearn_cli.cli.flags import SHOWN
from duolearn_cli.config.words import ADDED_GROUPS
from duolearn_cli.errors import nearest
from duolearn_cli.files import groups

# Words that people try first, because other tools have them, and what does the same here.
USUAL = {
    "attack": "audit robustness",
    "chat": "ask",
    "check": "doctor",
    "config": "unlearn --cfg job",
    "delete": "purge",
    "diff": "compare",
    "download": "fetch",
    "dp": "audit privacy",
    "eval": "evaluate",
    "finetune": "learn",
    "forget": "unlearn",
    "ls": "list",
    "man": "help",
    "options": "help",
    "rm": "purge",
    "run": "unlearn",
    "settings": "help",
    "test": "evaluate",
    "train": "learn",
}


def no_command(word: str, known: Sequence[str]) -> str:
    """The message about a word that is none of the `known` commands."""
    return f"{word!r} is no command; allowed: {', '.join(known)}{_suggestion(word, known)}."


def _suggestion(word: str, known: Sequence[str]) -> str:
    bare, flags = word.lower().lstrip("-"), {flag.lstrip("-"): flag for flag in SHOWN}
    if bare in flags and not word.startswith("-"):
        return _meant(flags[bare])
    if word.startswith("-"):
        return "; a command comes first, such as duolearn unlearn +forget=surgery --dry-run"
    # A known command gets here when it is written in capitals.
    if bare in USUAL or bare in known:
        return _meant(USUAL.get(bare, bare))
    options = groups()
    if group := next((name for name in options if bare in (name, plural(name))), None):
        return _meant(f"list {plural(group)}")
    if found := [group for group, names in options.items() if bare in names]:
        # A forget target is what a command line needs most; an option of another group comes with one.
        option = f"{'+' * (found[0] in ADDED_GROUPS)}{found[0]}={bare}"
        return _meant(f"unlearn {option}" if "forget" in found else f"unlearn +forget=surgery {option}")
    return nearest(bare, known)


def plural(group: str) -> str:
    """What several options of a group are called."""
    if group in ("forget", "privacy", "retain_from"):  # these name no thing that can be counted
        return group
    return f"{group[:-1]}ies" if group.endswith("y") else f"{group}s"


def _meant(words: str) -> str:
    return f" (did you mean 'duolearn {words}'?)"
