"""duolearn data export: the items of a data set in MedMCQA's own format."""

from __future__ import annotations

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, export_file
from duolearn_cli.config.components import component
from duolearn_cli.data.readers.minimed import to_medmcqa
from duolearn_cli.files import write_jsonl


def run(config: DictConfig, invocation: Invocation) -> str:
    """Write every usable item; the file appears whole or not at all."""
    path = export_file(config.export_path)
    loaded = component(config.dataset, config.plugins).load()
    write_jsonl(path, [to_medmcqa(item) for item in loaded.items])
    rejected = f", {len(loaded.rejected)} rows rejected: {loaded.reasons()}" if loaded.rejected else ""
    print(f"{len(loaded.items)} items written to {path}{rejected}")
    for note in loaded.notes:
        print(note)
    return str(path)
