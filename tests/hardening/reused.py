"""What is reused and was changed in between: cached models and answers, checkpoints. One byte is enough."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from duolearn_cli.errors import RunError
from duolearn_cli.model import manifest
from tests.hardening.row import Act, Row
from tests.hardening.saved_files import FIXTURES, INTERRUPTED

CACHED = FIXTURES / "cache" / "models" / "target-cdae32518190991d"
MODEL = ("adapter_model.safetensors", "adapter_config.json", "history.jsonl", "environment.json", "learn.json")
CHECKPOINT = ("adapter_model.safetensors", "adapter_config.json", "state.json", "update.safetensors")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


CHANGES: dict[str, Callable[[Path], object]] = {
    "flipped": flipped,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}
MANIFESTS: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"schema": 1, "sha',
    "list": b"[]",
    "newer": b'{"schema": 2, "sha256": {}}',
    "no_checksums": b'{"schema": 1}',
    "not_utf8": b"\xff\xfe",
}


def sealed(source: Path, change: Callable[[Path], object], name: str, part: str) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        shutil.copytree(source, path)
        for folder in path.glob(part) if part else (path,):
            manifest.seal(folder)
        target = next(path.glob(f"{part}/{name}")) if part else path / name
        change(target)

    return make


def damaged_cache(folder: Path) -> None:
    """Ask the cache for a model: a damaged one is removed, which is told in one line."""
    from duolearn_cli.pipeline.model_cache import is_usable

    said: list[str] = []
    assert not is_usable(folder / "m", said.append)
    assert not (folder / "m").exists()
    raise RunError(said[0] if said else "no adapter, so it is no model")


def private_cache(folder: Path) -> None:
    """A private model is never removed: learning it again would spend its privacy twice."""
    from duolearn_cli.pipeline.model_cache import is_usable

    is_usable(folder / "m", lambda line: None)


def checkpoint(folder: Path) -> None:
    from tests.hardening.saved_files import load_checkpoint

    load_checkpoint(folder)


def rows() -> Iterator[Row]:
    for name in MODEL:
        for kind, change in CHANGES.items():
            is_gone = name == MODEL[0] and kind in ("gone", "folder")
            if is_gone:
                continue  # no adapter, no model: it is made anew
            made: dict[str, Act] = {"m": sealed(CACHED, change, name, "")}
            row = f"cache-{name}-{kind}"
            yield Row(row, damaged_cache, ("m", name, "damaged"), made, cleans=True, quick=kind == "flipped")
    for kind, content in MANIFESTS.items():
        change = _put(content)
        yield Row(
            f"cache-manifest-{kind}",
            damaged_cache,
            ("m", "manifest.json"),
            {"m": sealed(CACHED, change, "manifest.json", "")},
            cleans=True,
        )
    private = {"m": sealed(CACHED, _made_private, MODEL[0], "")}
    yield Row("cache-private", private_cache, ("m", "learned privately", "delete it"), private)
    for name in CHECKPOINT:
        for kind, change in CHANGES.items():
            made = {"run": sealed(INTERRUPTED, change, name, "checkpoints/step-*")}
            yield Row(f"checkpoint-{name}-{kind}", checkpoint, ("step-000002", name), made, quick=kind == "flipped")
    for kind, content in MANIFESTS.items():
        made = {"run": sealed(INTERRUPTED, _put(content), "manifest.json", "checkpoints/step-*")}
        yield Row(f"checkpoint-manifest-{kind}", checkpoint, ("step-000002", "manifest.json"), made)


def _made_private(path: Path) -> None:
    flipped(path)
    (path.parent / "privacy.json").write_text("{}")


def _put(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def state(step: int) -> str:
    return json.dumps({"schema": 2, "step": step, "signature": "d0f2bfafaeed11dd", "parts": 1})
