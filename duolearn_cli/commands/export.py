"""duolearn export: a data set in MedMCQA's own format."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.commands.common import Invocation
from duolearn_cli.composition import component
from duolearn_cli.data.minimed import to_medmcqa
from duolearn_cli.errors import DataError
from duolearn_cli.run import write_jsonl


def run(config: DictConfig, invocation: Invocation) -> str:
    """Write every usable item; the file appears whole or not at all."""
    path = Path(config.export_path)
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise DataError(f"export_path={path}: {error.strerror}.") from error
    if is_folder:
        raise DataError(f"export_path={path}: this is a folder; give the path of a file.")
    if not path.parent.is_dir():
        raise DataError(f"export_path={path}: there is no folder {path.parent}.")
    items = component(config.dataset, config.plugins).load().items
    write_jsonl(path, [to_medmcqa(item) for item in items])
    print(f"{len(items)} items written to {path}")
    return str(path)
