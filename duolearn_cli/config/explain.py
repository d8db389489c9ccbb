"""Turn errors of Hydra and OmegaConf into one line: the key, its value, what is allowed, the nearest match."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.catalogue import settings_of
from duolearn_cli.config.kinds import kind
from duolearn_cli.config.renamed import new_name
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.words import ADDED_GROUPS, MEASURE, OPTIONAL_COMPONENTS
from duolearn_cli.errors import nearest
from duolearn_cli.files import conf_dir, groups

DEFAULTS = {"dataset": "minimed", "method": "duolearn", "hierarchy": "medical4"}
COMPONENTS = tuple(DEFAULTS)
# Settings that hold entries by name.
NEW_ENTRIES = ("benchmark.search.", "dataset.parts.")
# How Hydra's parser says that it cannot read a value.
_UNREAD = ("no viable alternative", "NoViableAlt", "mismatched input", "extraneous input", "token recognition")
_WRONG_TYPE = (
    "could not be converted",
    "Invalid type",
    "Cannot convert",
    "is not a valid bool",
    "is not Optional",
    "is not a subclass",
    "not a ListConfig",
)


def key_of(override: str) -> str:
    """Return the dotted key or group that an override sets."""
    return override.lstrip("+~").partition("=")[0]


def group_problems(overrides: Sequence[str], extra: Path | None) -> Iterator[str]:
    """Yield groups that got a list: Hydra accepts one and silently uses its last option."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    known, parser = groups(extra), OverridesParser.create()
    for text in overrides:
        try:
            parsed = parser.parse_override(text)
        except HydraException:
            continue  # composing says why
        group = parsed.key_or_group
        if group == MEASURE and isinstance(parsed.value(), list):
            continue
        if group not in known or parsed.is_delete() or parsed.is_sweep_override() or isinstance(parsed.value(), str):
            continue
        two = " for two targets: +forget=custom forget.concepts=[surgery,anxiety];" if group == "forget" else ""
        sign = "+" if group in ADDED_GROUPS else ""
        yield (
            f"{text.lstrip('+')}: {group} takes one option;{two} for a sweep: -m {sign}{group}=FIRST,SECOND; "
            f"allowed: {', '.join(known[group])}."
        )


def explain(error: Exception, override: str, choices: Sequence[str], extra: Path | None = None) -> str:
    """Say in one line what is wrong with `override`, given the sound group `choices` beside it."""
    text = " ".join(f"{error} {error.__cause__ or ''}".split())
    options = groups(extra)
    return (
        _wrong_form(override, text, options)
        or _wrong_option(override, text, options)
        or _wrong_place(override, text, choices, extra)
        or (f"{override}: {_without_address(text)}" if override else _without_address(text))
    )


def _without_address(text: str) -> str:
    """A message of Hydra's without the page that explains its grammar."""
    return re.sub(r" *See https?://\S+( for details)?", "", text)


def _wrong_form(override: str, text: str, options: Mapping[str, Mapping[str, str]]) -> str | None:
    """Say what is wrong with the form of an override: no equals sign, one plus too many, several values. Else None."""
    key, _, value = override.lstrip("+~").partition("=")
    if unreadable := _unreadable(override, text, options):
        return unreadable
    if "requires --multirun" in text:
        return f"{override}: these are several values; for a sweep over them add -m."
    if "more than once in the final defaults list" in text:
        return f"{override}: {key} has an option already, and is set without a plus: {override.lstrip('+')}."
    if "Config group override must be a string" in text or ("Could not override" in text and "@" in key):
        return f"{override}: {key} takes no value here; choose an option as GROUP=OPTION, such as method=npo."
    if "An item is already at" in text:
        return f"{override}: this is there already, and is set without a plus: {override.lstrip('+')}."
    if "add --multirun" in text:
        if key == MEASURE:
            return f"{key}={value}: for several in one run write +{key}=[{value}]; for a sweep over them add -m."
        if key in options:
            return f"{key}={value}: {key} takes one option; for a sweep over several add -m."
        return f"{override}: for a sweep add -m; for a list write {key}=[{value}]; for a text with commas quote it."
    if "Multiple values for" in text:
        return f"{override}: {key} is given twice; give it once, or sweep with -m {override},OTHER."
    return None


def _unreadable(override: str, text: str, options: Mapping[str, Mapping[str, str]]) -> str | None:
    """Say why a word can't be read as KEY=VALUE. None if the error is about something else."""
    key, equals, value = override.lstrip("+~").partition("=")
    if equals and re.fullmatch(r"[\w./@:$-]+", key):
        if not any(sign in text for sign in _UNREAD):
            return None
        fix = "close every bracket and quote, and put quotes around a text with special characters"
        return f"{override}: the value {value} cannot be read; {fix}: \"{key}='TEXT'\"."
    return f"{override}: a setting is KEY=VALUE{_meant(key, bool(equals), options)}"


def _meant(word: str, is_pair: bool, options: Mapping[str, Mapping[str, str]]) -> str:
    """The setting or flag that a word alone may stand for, as the end of a message."""
    if is_pair:
        return ", without spaces around it and in KEY; put quotes around a VALUE with spaces."
    if word in options:
        sign, names = "+" * (word in ADDED_GROUPS), ", ".join(options[word])
        return f"; choose an option: {sign}{word}=NAME; allowed: {names}."
    if word.replace("-", "").replace("_", "") == "dryrun":
        return "; did you mean --dry-run?"
    owners = [group for group, names in options.items() if word in names]
    meant = [f"{'+' * (group in ADDED_GROUPS)}{group}={word}" for group in owners] or _similar(word, options)
    return f"; did you mean {' or '.join(meant)}?" if meant else "; duolearn help KEY explains one."


def _similar(word: str, options: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The setting, or the option of a group, that is spelled nearly as `word`."""
    names = {
        option: f"{'+' * (group in ADDED_GROUPS)}{group}={option}" for group in options for option in options[group]
    }
    names |= {field.name: f"{field.name}=VALUE" for field in dataclasses.fields(RunConfig)}
    return [names[found] for found in difflib.get_close_matches(word, names, n=1, cutoff=0.75)]


def _wrong_option(override: str, text: str, options: Mapping[str, Mapping[str, str]]) -> str | None:
    """Say what is wrong with the option of a group. None if the error is about something else."""
    key, _, value = override.lstrip("+~").partition("=")
    if key not in options or "Could not" not in text:
        return None
    names = list(options[key])
    if value in names and not override.startswith("+"):
        return f"{override}: {key} has no default; it is added with a plus: +{override}."
    return f"{key}={value}: there is no such {key}; allowed: {', '.join(names)}{nearest(value, names)}."


def _wrong_place(override: str, text: str, choices: Sequence[str], extra: Path | None) -> str | None:
    """Say which setting does not exist, or which type it expects. None if the error is about something else."""
    key, _, value = override.lstrip("+~").partition("=")
    # OmegaConf names the inner key of a whole group that is set at once: split={sed: 1}.
    inner = re.search(r"full_key: (\S+)", text)
    place = inner[1] if inner and inner[1].startswith(f"{key}.") else key
    if wrong := re.search(r"Key '([^']+)' (?:is )?not in", text):
        return _unknown(place, wrong[1], choices, extra)
    if any(sign in text for sign in _WRONG_TYPE):
        where = "" if place == key else f"{place}: "
        return f"{key}={value}: {where}{_expected(place, text)}"
    return None


def _unknown(place: str, name: str, choices: Sequence[str], extra: Path | None) -> str:
    """Say that there is no setting at the dotted key `place`; `name` is the part of it that is unknown."""
    if place.startswith(NEW_ENTRIES):
        return f"{place}: an entry that is not there yet is added with a plus: +{place}={{...}}."
    if place == MEASURE:
        return f"+{place}: the first line of a measure's YAML is `# @package measures.NAME`, with a NAME of its own."
    if renamed := new_name(place):
        return f"{place}: this setting is called {renamed}."
    allowed = _allowed_beside(place, choices, extra)
    if not allowed:
        return f"{place}: there is no such setting; this {place.partition('.')[0]} has none at all."
    if elsewhere := _elsewhere(name) if "." not in place else "":
        return f"{place}: there is no such setting at the top; did you mean {elsewhere}? `duolearn help {place}`"
    return f"{place}: there is no such setting; allowed: {', '.join(allowed)}{nearest(name, allowed)}."


def _elsewhere(name: str) -> str:
    """The full keys of the settings that end in `name`."""
    return " or ".join(row.key for row in settings_of(RunConfig) if row.key.endswith(f".{name}"))


def schema_type(owner: Any, name: str) -> Any:
    """Return the declared type of a dataclass's field."""
    return typing.get_type_hints(owner)[name]


def _schema_at(path: Sequence[str], owner: type = RunConfig) -> Any:
    """The dataclass field type at a dotted path of a schema, or None."""
    node: Any = owner
    for part in path:
        fields = {f.name: f for f in dataclasses.fields(node)} if dataclasses.is_dataclass(node) else {}
        if part not in fields:
            return None
        node = schema_type(node, part)
    return node


def _allowed_beside(key: str, choices: Sequence[str], extra: Path | None) -> list[str]:
    """Return the names that are allowed in place of the first unknown part of a dotted key."""
    parts = key.split(".")
    if parts[0] == "measures" and len(parts) > 2:
        return _component_settings([MEASURE, *parts[2:]], [f"{MEASURE}={parts[1]}"], extra)
    if parts[0] in (*COMPONENTS, *OPTIONAL_COMPONENTS) and len(parts) > 1:
        return _component_settings(parts, choices, extra)
    for depth in range(len(parts) - 1, -1, -1):
        owner = _schema_at(parts[:depth])
        if dataclasses.is_dataclass(owner):
            return [f.name for f in dataclasses.fields(owner)]
    return [f.name for f in dataclasses.fields(RunConfig)]


def _component_settings(parts: Sequence[str], choices: Sequence[str], extra: Path | None) -> list[str]:
    """Return the settings of the chosen component from its YAML file, at the depth where the dotted key leaves it."""
    name = parts[0]
    chosen = [choice.partition("=")[2] for choice in choices if key_of(choice) == name] or [DEFAULTS.get(name, "")]
    for root in filter(None, (extra, conf_dir())):
        path = root / name / f"{chosen[-1]}.yaml"
        if path.is_file():
            document: Any = OmegaConf.load(path)
            node = document.get(name, document)
            for part in parts[1:-1]:
                node = node[part] if isinstance(node.get(part), DictConfig) else node
            return [str(key) for key in node if key != "_target_"]
    return []


def wrong_type(key: str, text: str, owner: type) -> str:
    """Say what a component's setting accepts; `key` may end in a place of a list, ``weights[0]``."""
    return _expected(re.sub(r"\[.*", "", key), text, owner)


def _expected(key: str, text: str, owner: type = RunConfig) -> str:
    wanted = _schema_at(key.split("."), owner)
    if wanted is None:
        return text
    return f"expected {kind(wanted)}."
