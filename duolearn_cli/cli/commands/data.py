"""duolearn data export: the items of a data set in MedMCQA's own format, and its documents."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation, export_file
from duolearn_cli.config.components import component
from duolearn_cli.data.document_table import document_table
from duolearn_cli.data.exported import document_row, item_row
from duolearn_cli.data.items import Loaded
from duolearn_cli.data.readers.embedded_tables import NUM_OPTIONS
from duolearn_cli.data.readers.minimed import to_medmcqa
from duolearn_cli.errors import visible
from duolearn_cli.files import write_jsonl


def run(config: DictConfig, invocation: Invocation) -> str:
    """Write every usable item and document; a file appears whole or not at all."""
    path = export_file(config.export_path)
    loaded = component(config.dataset, config.plugins).load()
    written = []
    if loaded.items or not loaded.documents:
        _write_items(path, loaded)
        written.append(f"{len(loaded.items)} items written to {path}")
    if loaded.documents:
        # Beside the items: one file with both kinds of rows would fit no reader.
        beside = path.with_name(f"{path.stem}-documents{path.suffix}") if written else path
        write_jsonl(beside, [document_row(document) for document in loaded.documents])
        written.append(f"{len(loaded.documents)} documents written to {beside}")
    rejected = f", {len(loaded.rejected)} rows rejected: {loaded.reasons()}" if loaded.rejected else ""
    print(visible(f"{', '.join(written)}{rejected}"))
    for title, text in document_table(loaded.documents).rows() if loaded.documents else ():
        print(visible(f"  {title:<10} {text}"))
    for note in loaded.notes:
        print(visible(note))
    return str(path)


def _write_items(path: Path, loaded: Loaded) -> None:
    """Write items in MedMCQA's format if that has room for all their options, otherwise in our own."""
    fits = all(len(item.options) == NUM_OPTIONS for item in loaded.items)
    write_jsonl(path, [to_medmcqa(item) if fits else item_row(item) for item in loaded.items])
