"""``duolearn help KEY`` and the settings in ``duolearn COMMAND --help``: type, default, range and sentence of each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from duolearn_cli.cli.listing import columns
from duolearn_cli.cli.reference import COMMAND, default_of
from duolearn_cli.config.catalogue import Setting, catalogue, group_docs
from duolearn_cli.config.presets import Composed, composed
from duolearn_cli.errors import ConfigError, nearest
from duolearn_cli.files import conf_dir, groups


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, and the values that a command gives them."""

    rows: Sequence[Setting]
    found: Composed

    @staticmethod
    def of(command: str, overrides: Sequence[str], config_dir: str | None, plugins: Sequence[str] = ()) -> Settings:
        """Raises ConfigError for an override or a plugin that is wrong."""
        extra = Path(config_dir) if config_dir else None
        return Settings(catalogue(extra, plugins), composed(command, overrides, config_dir, plugins))

    def is_active(self, row: Setting) -> bool:
        """Whether a run has the setting: components that were not chosen have others."""
        group, _, option = row.choice.partition("=")
        return not row.choice or self.found.choices.get(group) == option

    @property
    def active(self) -> list[Setting]:
        return [row for row in self.rows if self.is_active(row)]


def explained(words: Sequence[str], config_dir: str | None, plugins: Sequence[str], width: int) -> str:
    """What the words name, each a key, a group or a part of a key, with the options that ``GROUP=OPTION`` chooses.

    Raises:
        ConfigError: a word names no setting, or an override is wrong.
    """
    overrides = [word for word in words if "=" in word]
    settings = Settings.of(COMMAND, overrides, config_dir, plugins)
    # With a key, options only say for which model, method and so on; alone, they are what is asked about.
    asked = [word for word in words if "=" not in word] or overrides
    keys = [word.lstrip("+~").partition("=")[0] for word in asked]
    if unknown := [problem for key in keys if (problem := _unknown(key, settings, config_dir))]:
        raise ConfigError("\n".join(unknown))
    return "\n".join(part for key in dict.fromkeys(keys) for part in _about(key, settings, config_dir, width))


def matching(key: str, rows: Sequence[Setting]) -> list[Setting]:
    """The settings that a word names: that key or group; else those of that last name; else those that contain it."""
    name, parts = key.rpartition(".")[2], re.compile(".*".join(map(re.escape, key.split("."))))
    tests = (
        lambda row: row.key == key or row.key.startswith(f"{key}."),
        lambda row: "." not in key and row.key.rpartition(".")[2] == name,
        lambda row: parts.search(row.key),
    )
    return next((found for test in tests if (found := [row for row in rows if test(row)])), [])


def is_command(word: str) -> bool:
    """Whether a command is called so: each has a file of its own in the configuration folder."""
    return word != "base" and word.isidentifier() and (conf_dir() / f"{word}.yaml").is_file()


def _unknown(key: str, settings: Settings, config_dir: str | None) -> str | None:
    """Why a word can't be explained; None if it can."""
    known = groups(Path(config_dir) if config_dir else None)
    if key in known or is_command(key) or (len(key) > 1 and matching(key, settings.rows)):
        return None
    keys = [row.key for row in settings.rows]
    # A word without a dot may be a group or the last part of a key.
    ends = {part for one in keys for part in (one.partition(".")[0], one.rpartition(".")[2])}
    hint = nearest(key, keys) if "." in key else nearest(key, [*known, *sorted(ends)])
    return f"help {key}: there is no such setting or group{hint}. `duolearn unlearn --help-all` lists every setting."


def _about(key: str, settings: Settings, config_dir: str | None, width: int) -> Iterator[str]:
    """The parts of the answer about one word: its command, its group, its options, its settings."""
    docs, known = group_docs(), groups(Path(config_dir) if config_dir else None)
    rows = matching(key, settings.rows)
    if is_command(key):
        yield textwrap.fill(f"The command: duolearn {key} --help shows how it is used.", width) + "\n"
    if key in docs:
        yield textwrap.fill(f"{key}: {docs[key]}", width) + "\n"
    if key in known:
        yield textwrap.fill(_choice(key, known[key], settings.found.choices.get(key)), width) + "\n"
    shown = _wanted(rows, settings)
    yield from (block(row, settings, width) for row in shown)
    if others := _others(shown, rows, width):
        yield others


def _choice(group: str, options: Iterable[str], chosen: str | None) -> str:
    """Which option of a group is chosen, and which others there are."""
    others = ", ".join(option for option in options if option != chosen)
    said = f"{group}={chosen} is chosen; others" if chosen else f"+{group}=NAME chooses one"
    return f"{said}: {others}. `duolearn list {group}` describes them."


def _wanted(rows: Sequence[Setting], settings: Settings) -> list[Setting]:
    """Of several components with such a setting the chosen one; all of them if no chosen one has it."""
    active = [row for row in rows if settings.is_active(row)]
    lost = [row for row in rows if row.choice] and not [row for row in active if row.choice]
    return list(rows) if lost else active


def _others(shown: Sequence[Setting], rows: Sequence[Setting], width: int) -> str:
    """The options whose settings of the same names are not shown."""
    others = dict.fromkeys(row.choice for row in rows if row not in shown)
    said = f"Others have such settings too; see `duolearn help KEY OPTION` with: {', '.join(others)}"
    return textwrap.fill(said, width) + "\n" if others else ""


def block(row: Setting, settings: Settings, width: int) -> str:
    """One setting: its key and value, its type and range, its sentence."""
    value, source = default_of(row, settings.found)
    origin = f"  (set by {source})" if source else f"  (with {row.choice})" if row.choice else ""
    limits = f"; allowed: {row.allowed}" if row.allowed else ""
    lines = [f"{row.kind}{limits}", row.help]
    text = "".join(textwrap.fill(line, width, initial_indent="    ", subsequent_indent="    ") + "\n" for line in lines)
    return f"{row.key} = {value}{origin}\n{text}"


def common(command: str, settings: Settings, width: int) -> str:
    """The settings that a command's users need most, below their groups."""
    return _grouped([row for row in settings.active if command in row.common], settings, width)


def every(settings: Settings, width: int) -> str:
    """Every setting that a run has, with type and range."""
    return "\n".join(block(row, settings, width) for row in settings.active)


def _grouped(rows: Iterable[Setting], settings: Settings, width: int) -> str:
    """Keys with their values and sentences, below what the first part of the key is for."""
    docs = group_docs()
    ordered = sorted(rows, key=_first_part)
    parts = list[str]()
    for group, members in groupby(ordered, key=_first_part):
        said = f"{group}: {docs[group]}" if group in docs else f"{group}={settings.found.choices.get(group, '')}"
        if group:
            parts.append("\n" + textwrap.fill(said, width, initial_indent="  ", subsequent_indent="    ") + "\n")
        pairs = ((f"{row.key}={default_of(row, settings.found)[0]}", row.help) for row in members)
        parts.append(columns(pairs, width, least=26))
    return "".join(parts)


def _first_part(row: Setting) -> str:
    """The group that a setting is shown in; empty for one at the top."""
    return row.key.partition(".")[0] if "." in row.key else ""
