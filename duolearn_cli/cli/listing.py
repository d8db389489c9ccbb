"""``duolearn list``: the options of each group, one line each, read from their YAML and classes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from duolearn_cli.cli.unknown import plural
from duolearn_cli.config.words import ADDED_GROUPS
from duolearn_cli.errors import UserError, nearest
from duolearn_cli.files import groups


def listing(words: Sequence[str], config_dir: str | None, plugins: Sequence[str], width: int) -> str:
    """The options of the groups that `words` name; without words, what can be listed.

    Raises:
        UserError: there is no such group.
    """
    extra = Path(config_dir) if config_dir else None
    known = groups(extra)
    if not words:
        return _kinds(known, width)
    return "\n".join(_options(_group(word, known), known, extra, plugins, width) for word in words)


def _kinds(known: Mapping[str, Mapping[str, str]], width: int) -> str:
    rows = ((plural(group), f"{len(options)}: {', '.join(options)}") for group, options in known.items())
    return f"usage: duolearn list KIND\n\n{columns(rows, width)}"


def _group(word: str, known: Mapping[str, Mapping[str, str]]) -> str:
    names = {name: group for group in known for name in (group, plural(group))}
    if word not in names:
        kinds = [plural(group) for group in known]
        raise UserError(f"list {word}: this cannot be listed; allowed: {', '.join(kinds)}{nearest(word, kinds)}.")
    return names[word]


def _options(
    group: str, known: Mapping[str, Mapping[str, str]], extra: Path | None, plugins: Sequence[str], width: int
) -> str:
    rows = ((option, text or described(group, option, extra, plugins)) for option, text in known[group].items())
    sign = "+" * (group in ADDED_GROUPS)
    head = f"{plural(group)}: choose one with {sign}{group}=NAME; `duolearn help {group}` shows settings"
    own = _own_measures(width) if group == "measure" else ""
    return f"{own}{textwrap.fill(head, width)}\n{columns(rows, width)}"


def described(group: str, option: str, extra: Path | None, plugins: Sequence[str]) -> str:
    """The first sentence of the class that an option names, for a YAML without a comment.

    Raises:
        ConfigError: the class cannot be imported.
    """
    from duolearn_cli.config.catalogue import components, first_paragraph

    one = next((one for one in components(extra) if (one.group, one.option) == (group, option)), None)
    if one and not one.is_trusted(plugins):
        return f"a class of your own; plugins=[{str(one.node.get('_target_')).partition('.')[0]}] shows what it is"
    return first_sentence(first_paragraph(one.owner(plugins))) if one else ""


def _own_measures(width: int) -> str:
    """The measures that every run has."""
    from duolearn_cli.evaluation.measures import MEASURES

    rows = ((key, f"{measure.name}: {first_sentence(measure.definition)}") for key, measure in MEASURES.items())
    return f"measures that every run has (docs/metrics.md)\n{columns(rows, width)}\n"


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[.;:]) ", text, maxsplit=1)[0].rstrip(";:")


def columns(rows: Iterable[tuple[str, str]], width: int, least: int = 12) -> str:
    """Names, and beside them texts that are wrapped at `width` characters."""
    pairs = list(rows)
    left = min(26, max([least, *(len(name) + 2 for name, _ in pairs)]))
    return "".join(_wrapped(f"  {name:<{left}}", text, width, left + 2) for name, text in pairs)


def _wrapped(name: str, text: str, width: int, left: int) -> str:
    if len(name.rstrip()) > left - 2:  # a long name has a line of its own
        return f"{name.rstrip()}\n" + _wrapped(" " * left, text, width, left)
    lines = textwrap.wrap(text, max(24, width - left), break_long_words=False, break_on_hyphens=False) or [""]
    return f"{name}{lines[0]}\n".rstrip(" ") + "".join(f"{' ' * left}{line}\n" for line in lines[1:])
