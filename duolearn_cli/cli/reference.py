"""The reference of all settings as Markdown, written from the schema, the components' classes and the presets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from duolearn_cli.config.catalogue import (
    Component,
    Setting,
    component_settings,
    components,
    first_paragraph,
    group_docs,
    settings_of,
)
from duolearn_cli.config.kinds import REQUIRED, typed
from duolearn_cli.config.presets import Composed, composed
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.files import groups

INTRODUCTION = """\
# Settings

Give a setting on the command line as `KEY=VALUE`, such as `unlearn.epochs=5`. `duolearn help KEY` shows the same text.
The defaults are those of `duolearn unlearn` without further words. A preset in brackets is what sets the default.
"""
# The command whose presets the defaults are from.
COMMAND = "unlearn"
UNSET = "must be set"
_HEAD = "| key | type | default | allowed | what it does |\n|---|---|---|---|---|\n"


def reference() -> str:
    """The page: every setting, every preset, and the settings of every component."""
    return "\n".join([INTRODUCTION, *_schema(composed(COMMAND, (), None)), *_presets(), *_components()])


def default_of(setting: Setting, found: Composed) -> tuple[str, str]:
    """The value that a run has, as it is typed, and the preset that sets it; the preset may be empty."""
    if setting.key in found.choices:  # a component, whose own settings have rows of their own
        return found.choices[setting.key], ""
    if setting.choice:
        return _shown(setting.default), ""
    return _shown(found.values.get(setting.key, setting.default)), found.sources.get(setting.key, "")


def _shown(value: Any) -> str:
    return UNSET if value == REQUIRED else typed(value)


def _schema(found: Composed) -> Iterator[str]:
    docs = group_docs()
    ordered = sorted(settings_of(RunConfig), key=lambda setting: setting.group)
    for group, settings in groupby(ordered, key=lambda setting: setting.group):
        yield f"## {f'`{group}`' if group else 'At the top'}\n"
        yield f"{docs[group]}\n" if group else "Settings that belong to no group.\n"
        yield _table(settings, found)


def _presets() -> Iterator[str]:
    yield "## Presets\n\nA preset is an option of a group: `GROUP=OPTION` sets several settings at once.\n"
    for group, options in groups().items():
        rows = "".join(_row(f"`{group}={option}`", _escaped(text)) for option, text in options.items())
        yield f"### `{group}`\n\n| preset | what it is |\n|---|---|\n{rows}"


def _components() -> Iterator[str]:
    yield "## Settings of components\n\nMethods, data sets, hierarchies and measures bring settings of their own.\n"
    for one in components():
        yield from _component(one)


def _component(one: Component) -> Iterator[str]:
    yield f"### `{one.choice}`: settings\n\n{first_paragraph(one.owner(()))}\n"
    settings = list(component_settings(one))
    yield _table(settings, Composed({}, {}, {})) if settings else "It has no settings.\n"


def _table(settings: Iterable[Setting], found: Composed) -> str:
    return _HEAD + "".join(_line(setting, found) for setting in settings)


def _line(setting: Setting, found: Composed) -> str:
    value, source = default_of(setting, found)
    shown = value if value == UNSET else f"`{value}`"
    preset = f" (`{source}`)" if source else ""
    return _row(f"`{setting.key}`", setting.kind, shown + preset, setting.allowed or "any", _escaped(setting.help))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")
