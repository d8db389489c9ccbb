"""Build the component that a node of a configuration describes: a method, a data set, a hierarchy."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.errors import ConfigError

# Components that have moved since they were first released: run folders and users' own YAML keep naming the old module.
_READERS = ("local", "medmcqa", "mhqa", "minimed")
_SOURCES = ("csv_file", "embedded", "icd10cm", "mesh", "obo")
MOVED = {
    **{f"duolearn_cli.data.{name}": f"duolearn_cli.data.readers.{name}" for name in _READERS},
    **{f"duolearn_cli.hierarchies.{name}": f"duolearn_cli.concepts.sources.{name}" for name in _SOURCES},
}
_FIRST = {new: old for old, new in MOVED.items()}


def first_target(target: str) -> str:
    """Return the ``_target_`` that a component had when it was first released.

    Hashes of settings hold this name, so that they outlive moves of code.
    """
    module, _, name = target.rpartition(".")
    return f"{_FIRST.get(module, module)}.{name}"


def component_class(node: DictConfig, plugins: Sequence[str]) -> type:
    """Import the dataclass that ``_target_`` names, from this package or the user's named modules only."""
    target = str(node.get("_target_", ""))
    module, _, name = target.rpartition(".")
    module = MOVED.get(module, module)
    if not is_trusted(target, plugins):
        raise ConfigError(
            f"_target_={target!r}: only classes of duolearn_cli or of a module named in `plugins` are run."
        )
    if plugins and (here := str(Path.cwd())) not in sys.path:
        # At the end, so that a file of the user's never shadows a library.
        sys.path.append(here)
    try:
        owner = getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module may fail in any way
        raise ConfigError(f"_target_={target!r} cannot be imported: {error}.{_hint(error, module)}") from error
    if not dataclasses.is_dataclass(owner):
        raise ConfigError(f"_target_={target!r} is not a dataclass, so its settings cannot be checked.")
    return owner  # type: ignore[return-value]


def is_trusted(target: str, plugins: Sequence[str]) -> bool:
    """Whether a ``_target_`` may be imported: its module is ours or one that the user named."""
    module = target.rpartition(".")[0]
    return any(module == allowed or module.startswith(f"{allowed}.") for allowed in ("duolearn_cli", *plugins))


def _hint(error: Exception, module: str) -> str:
    """Where to import from, for a `module` that takes something from a place of ours where it is not."""
    if not isinstance(error, ImportError) or not (error.name or "").startswith("duolearn_cli") or error.name == module:
        return ""
    return (
        " What a component of your own needs is handed on by duolearn_cli.methods, duolearn_cli.data.readers and "
        "duolearn_cli.concepts.sources: import it from there."
    )


def dataset_name(node: DictConfig) -> str:
    """Return the name of a data set in results: that of its preset (``local``); a user's own class in lower case."""
    module, _, name = str(node._target_).rpartition(".")
    return module.rpartition(".")[2] if module.startswith("duolearn_cli.data.") else name.lower()


def is_embedded(config: Any) -> bool:
    """Whether all items of a run come from the data of this package, which anyone may read."""
    sources = [config.dataset, *([config.retain_from] if config.retain_from is not None else [])]
    return all(dataset_name(source) == "minimed" for source in sources)


def component(node: DictConfig, plugins: Sequence[str] = ()) -> Any:
    """Build the component that a checked configuration node describes."""
    schema = OmegaConf.structured(component_class(node, plugins))
    return OmegaConf.to_object(OmegaConf.merge(schema, _without_target(node)))


def _without_target(node: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(node, resolve=True)
    return {key: value for key, value in values.items() if key != "_target_"}  # type: ignore[union-attr]
