"""Every setting as a row, read from the schema and the components' classes: for help, the reference and completion."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.components import component_class, is_trusted
from duolearn_cli.config.kinds import REQUIRED, allowed, kind
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.files import conf_dir, groups

_PACKAGE = re.compile(r"^# *@package +(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        key: the dotted key that a command line sets.
        kind: its type in words.
        allowed: its words or its range; empty where every value of the type is fine.
        default: its value before presets; REQUIRED if there is none.
        help: its sentence.
        common: the commands whose short help shows it.
        choice: the option of a group that has it, ``method=npo``; empty for settings of every run.
    """

    key: str
    kind: str
    allowed: str
    default: Any
    help: str
    common: tuple[str, ...] = ()
    choice: str = ""

    @property
    def words(self) -> list[str]:
        """The words that it allows, if these are all that it allows."""
        if self.kind == "true or false":
            return ["true", "false"]
        # What a number allows is a range, which is no list of words.
        return self.allowed.split(", ") if self.kind.startswith("a text") and self.allowed else []

    @property
    def group(self) -> str:
        """The key of the settings that this one is among; empty at the top."""
        return self.key.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Component:
    """An option of a group that brings a class and settings of its own.

    Attributes:
        group: ``method``, ``dataset`` and so on.
        option: the name of its YAML.
        place: the key below which its settings are.
        node: what its YAML says.
        path: the YAML.
    """

    group: str
    option: str
    place: str
    node: DictConfig
    path: Path

    @property
    def choice(self) -> str:
        return f"{self.group}={self.option}"

    def is_trusted(self, plugins: Sequence[str]) -> bool:
        return is_trusted(str(self.node.get("_target_")), plugins)

    def owner(self, plugins: Sequence[str]) -> type:
        """Its class. Raises ConfigError where it cannot be imported."""
        return component_class(self.node, plugins)


def settings_of(owner: type, prefix: str = "", choice: str = "") -> Iterator[Setting]:
    """Yield the settings of a dataclass and of the groups in it, in the order of declaration."""
    # The annotations of our modules are strings (`from __future__ import annotations`), so `spec.type` names no type.
    hints = typing.get_type_hints(owner)
    for spec in dataclasses.fields(owner):
        key, wanted = f"{prefix}{spec.name}", hints[spec.name]
        if dataclasses.is_dataclass(wanted):
            yield from settings_of(typing.cast(type, wanted), f"{key}.", choice)
        else:
            meta = spec.metadata
            said, common = meta.get("help", ""), tuple(meta.get("common", ()))
            yield Setting(key, kind(wanted), allowed(meta), _default(spec), said, common, choice)


def group_docs(owner: type = RunConfig, prefix: str = "") -> dict[str, str]:
    """What each group of settings is for, by its key: the first paragraph of its class's docstring."""
    docs = dict[str, str]()
    for name, wanted in typing.get_type_hints(owner).items():
        if dataclasses.is_dataclass(wanted):
            docs[f"{prefix}{name}"] = first_paragraph(typing.cast(type, wanted))
            docs |= group_docs(typing.cast(type, wanted), f"{prefix}{name}.")
    return docs


def first_paragraph(owner: type) -> str:
    return " ".join((owner.__doc__ or "").partition("\n\n")[0].split())


def components(extra: Path | None = None) -> list[Component]:
    """The options of all groups that name a class, ours and those of the folder `extra`."""
    found = [_component(group, option, extra) for group, options in groups(extra).items() for option in options]
    return [one for one in found if one is not None]


def component_settings(one: Component, plugins: Sequence[str] = ()) -> Iterator[Setting]:
    """Yield the settings of a component, with the defaults of its YAML.

    Raises:
        ConfigError: its class cannot be imported.
    """
    for setting in settings_of(one.owner(plugins), f"{one.place}.", one.choice):
        value = OmegaConf.select(one.node, setting.key.removeprefix(f"{one.place}."), default=setting.default)
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        yield dataclasses.replace(setting, default=plain)


def catalogue(extra: Path | None = None, plugins: Sequence[str] = ()) -> list[Setting]:
    """Every setting: those of the schema, then those of each component whose class may be imported."""
    # Reading the settings of a class imports its module. Help must not run code that the user has not named.
    trusted = (one for one in components(extra) if one.is_trusted(plugins))
    own = (setting for one in trusted for setting in component_settings(one, plugins))
    return [*settings_of(RunConfig), *own]


def preset_path(group: str, option: str, extra: Path | None = None) -> Path | None:
    """The YAML of an option; the user's folder comes first, as it does in a run."""
    paths = (root / group / f"{option}.yaml" for root in (extra, conf_dir()) if root)
    return next((path for path in paths if path.is_file()), None)


def placed(path: Path) -> DictConfig:
    """What a preset sets, from the top of the configuration: Hydra puts it below its group unless it says otherwise."""
    named = _PACKAGE.search(path.read_text(encoding="utf-8"))
    place = named[1] if named else path.parent.name
    document = OmegaConf.load(path)
    if place == "_global_":
        return typing.cast(DictConfig, document)
    whole = OmegaConf.create()
    OmegaConf.update(whole, place, document, force_add=True)
    return whole


def _component(group: str, option: str, extra: Path | None) -> Component | None:
    path = preset_path(group, option, extra)
    if path is None or "_target_" not in path.read_text(encoding="utf-8"):
        return None
    found = _with_target(placed(path), "")
    return Component(group, option, *found, path) if found else None


def _with_target(node: DictConfig, place: str) -> tuple[str, DictConfig] | None:
    """The first node that names a class, and its key."""
    if "_target_" in node:
        return place, node
    # Not resolved: an interpolation may point to a part of the configuration that this file does not have.
    below = ((f"{place}.{name}".lstrip("."), inner) for name, inner in node.items_ex(resolve=False))
    tries = (_with_target(inner, key) for key, inner in below if isinstance(inner, DictConfig))
    return next((one for one in tries if one), None)


def _default(spec: dataclasses.Field[Any]) -> Any:
    if spec.default is not dataclasses.MISSING:
        return spec.default
    return REQUIRED if spec.default_factory is dataclasses.MISSING else spec.default_factory()
