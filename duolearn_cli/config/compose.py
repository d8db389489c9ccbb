"""Turn command-line overrides into a checked configuration. All problems are reported at once, none as a traceback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from duolearn_cli.config.check import check
from duolearn_cli.config.components import component, component_class
from duolearn_cli.config.explain import explain, group_problems, key_of
from duolearn_cli.config.own_groups import check_own_groups
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import conf_dir, groups

if TYPE_CHECKING:
    from hydra.core.config_search_path import ConfigSearchPath

# `component` and `component_class` too: whoever composes from Python builds from the result.
__all__ = ["component", "component_class", "compose", "register_schema", "sweep_folder"]


def register_schema() -> None:
    """Make the typed schema known to Hydra. Idempotent."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="run_schema", node=RunConfig)


def compose(command: str, overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose and check one job's configuration.

    Raises:
        ConfigError: every problem found, one a line.
    """
    check_own_groups(_search(config_dir))
    problems = list(group_problems(overrides, _search(config_dir)))
    if not problems:
        try:
            config = _compose(command, overrides, config_dir)
        except Exception as error:  # Hydra's and OmegaConf's errors share no base class
            problems = list(_blame(error, command, overrides, config_dir))
        else:
            problems = list(check(config, _search(config_dir)))
            if not problems:
                return config
    raise ConfigError("\n".join(problems))


def sweep_folder(command: str, overrides: Sequence[str], config_dir: str | None = None) -> Path:
    """Return the folder of a sweep's jobs; `overrides` are those of its first job, and have been checked.

    Raises:
        ConfigError: the folder's name holds an interpolation that fails.
    """
    try:
        return Path(str(_compose(command, overrides, config_dir, whole=True).hydra.sweep.dir))
    except OmegaConfBaseException as error:
        raise ConfigError(f"hydra.sweep.dir: {str(error).splitlines()[0]}.") from error


def _compose(command: str, overrides: Sequence[str], config_dir: str | None, *, whole: bool = False) -> DictConfig:
    """Compose as the command line does, with the user's folder of groups on the search path.

    Args:
        whole: include Hydra's own settings.
    """
    import hydra

    with _hydra_on(_search_path(config_dir)):
        return hydra.compose(command, overrides=list(overrides), return_hydra_config=whole)


def unchecked(command: str, overrides: Sequence[str], config_dir: str | None) -> tuple[DictConfig, list[str]]:
    """Compose a configuration that need not be complete, for help.

    Return it with the files it is made of, from the first to the last, by their paths below the configuration folder.

    Raises:
        ConfigError: an override is wrong; one problem a line.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    check_own_groups(_search(config_dir))
    try:
        config = _compose(command, overrides, config_dir)
    except Exception as error:  # Hydra's and OmegaConf's errors share no base class
        raise ConfigError("\n".join(_blame(error, command, overrides, config_dir))) from error
    with _hydra_on(_search_path(config_dir)):
        loader = GlobalHydra.instance().config_loader()
        files = loader.compute_defaults_list(command, list(overrides), RunMode.RUN).defaults
    return config, [file.config_path for file in files if file.config_path]


def _search_path(config_dir: str | None) -> ConfigSearchPath:
    """Where Hydra looks for files: our folder, and before it the user's folder of groups."""
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery

    register_schema()
    search = create_config_search_path(str(conf_dir()))
    if config_dir:
        search.prepend("command-line", f"file://{Path(config_dir).resolve()}", SearchPathQuery(provider="schema"))
    return search


@contextmanager
def _hydra_on(search: ConfigSearchPath) -> Iterator[None]:
    """Start Hydra on a search path. Afterwards, restore the Hydra of an application or notebook that called us."""
    from hydra._internal.hydra import Hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import JobRuntime

    running, name = GlobalHydra.instance().hydra, JobRuntime.instance().get("name")
    GlobalHydra.instance().clear()
    try:
        Hydra.create_main_hydra2("duolearn", search)
        yield
    finally:
        GlobalHydra.instance().hydra = running
        JobRuntime.instance().set("name", name)


def _blame(whole: Exception, command: str, overrides: Sequence[str], config_dir: str | None) -> Iterator[str]:
    """Yield the fault of each override, tried alone beside the group choices that compose."""
    # Group choices first: whether a setting exists depends on the component that was chosen.
    choices: list[str] = []
    blamed: list[str] = []
    known_groups = groups(_search(config_dir))
    for override in sorted(overrides, key=lambda text: key_of(text) not in known_groups):
        try:
            _compose(command, [*choices, override], config_dir)
        except Exception as error:
            blamed.append(explain(error, override, choices, _search(config_dir)))
            continue
        if key_of(override) in known_groups:
            choices.append(override)
    yield from blamed or [explain(whole, "", choices, _search(config_dir))]


def _search(config_dir: str | None) -> Path | None:
    return Path(config_dir) if config_dir else None
