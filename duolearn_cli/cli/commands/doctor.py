"""duolearn doctor: check that this machine is ready, and that the chosen data and model can be used."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.config.components import component
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import UserError
from duolearn_cli.files import cache_dir
from duolearn_cli.model.weights import find_weights
from duolearn_cli.pipeline.prepare import load_hierarchy, prepare
from duolearn_cli.pipeline.run_folder import LIBRARIES

Check = tuple[str, Callable[[], str]]


def run(config: DictConfig, invocation: Invocation) -> str:
    """Print one line per check. Raises UserError at the end if any failed."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    failed = 0
    for name, check in checks(cast(RunConfig, config)):
        try:
            console.print(f"[green]ok[/]    {name:<12} {escape(check())}")
        except UserError as error:
            failed += 1
            console.print(f"[red]wrong[/] {name:<12} {escape(str(error))}")
    if failed:
        raise UserError(f"{failed} checks failed; the lines above say what to fix.")
    return ""


def checks(config: RunConfig) -> Iterator[Check]:
    """Yield the checks by name, the cheapest first."""
    # Functions, not results: a check that fails must not keep the later ones from running.
    yield "python", lambda: f"{platform.python_version()} on {platform.platform()}"
    yield "libraries", lambda: ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    yield "device", _device
    yield "cache", lambda: _writable(cache_dir(config.cache_dir))
    yield "output", lambda: _writable(Path(config.output_dir))
    yield "hierarchy", lambda: _hierarchy(config)
    yield "model", lambda: f"{config.model.name} at {find_weights(config.model, config.cache_dir).location}"
    yield "data", lambda: _data(config)
    if not OmegaConf.is_missing(config.forget, "name"):
        yield "study", lambda: str(prepare(config).summary())


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def _writable(folder: Path) -> str:
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        raise UserError(f"{folder} cannot be written; choose another folder.")
    return f"{folder} ({shutil.disk_usage(existing).free / 1e9:.0f} GB free)"


def _hierarchy(config: RunConfig) -> str:
    hierarchy = load_hierarchy(config)
    return "; ".join([f"{config.hierarchy.name}: {len(hierarchy)} concepts", *hierarchy.notes])


def _data(config: RunConfig) -> str:
    loaded = component(config.dataset, config.plugins).load()
    rejected = loaded.reasons()
    return "; ".join([f"{len(loaded.items)} items" + (f", rejected: {rejected}" if rejected else ""), *loaded.notes])
