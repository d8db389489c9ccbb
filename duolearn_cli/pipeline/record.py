"""record.json: hashes of what a run read and made, and where it ran. It is written last; see outputs/README.md."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.components import dataset_name
from duolearn_cli.config.provenance import code, host
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import UserError
from duolearn_cli.files import cache_dir, file_hash, write_json
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.pipeline import private_starts, signing
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.privacy.account import FILE as ACCOUNT_FILE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE, SCHEMA = "record.json", 1
# Files that can be made again from the rest, or are needed only until the run has ended, and the stores of trackers,
# which change when their own programs open them. The record leaves them out.
REWRITABLE = ("log.txt", "report.html", "report.md", "figures", "checkpoints", "trackers")
# Components that read files, and how the names of settings end whose values are files.
READING = ("dataset", "retain_from", "hierarchy")
# The accounts that later private runs leave beside a finished run's adapter (`private_starts`).
_LATER_RUNS = re.compile(rf"adapter/{private_starts.FOLDER}/(lock|[0-9a-f]+/{re.escape(ACCOUNT_FILE)})")
_NAMES_FILE = re.compile(r"[._](path|file|folder|dir)s?(\[\d+\])?$")
MODELS = ("target", "gold")
INTERRUPTED = 130


@contextmanager
def recorded(run: Run, config: RunConfig) -> Iterator[None]:
    """Make the run active. When it has ended, in whatever way, write its record, and sign it if `record.sign` is set.

    Raises:
        RunError: the key cannot be read; this is found before anything is computed.
    """
    key = signing.private_key(Path(config.record.sign), "record.sign") if config.record.sign else None
    error: BaseException | None = None
    began = False
    try:
        with run.active():
            began = True
            remove(run.folder)
            yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        if error is None:
            write(run, config, key)
        elif began:
            # The error matters more than its record: on a full disk there is no room for one.
            with suppress(UserError, OSError):
                write(run, config, key, exit_status(error))


def write(run: Run, config: RunConfig, key: Ed25519PrivateKey | None = None, status: int = 0) -> None:
    """Write the record of a run that has ended, and its signature."""
    write_json(run.folder / FILE, make(run, config, status))
    if key:
        signing.sign((run.folder / FILE).read_bytes(), key, run.folder / signing.FILE)


def remove(folder: Path) -> None:
    """Remove the record of a run that continues: it is no longer true."""
    for name in (FILE, signing.FILE):
        (folder / name).unlink(missing_ok=True)


def make(run: Run, config: RunConfig, status: int = 0) -> dict[str, Any]:
    """The content of record.json."""
    info = run.info
    body = {
        "schema": SCHEMA,
        **facts(info, config),
        "exit_status": status,
        "user": config.record.user,
        "host": host(),
        "environment": info["versions"] | _numerics(run.folder),
        "code": code(config.plugins),
        "data_files": data_files(config),
        "models": models(info, config),
        "files": manifest(run.folder),
    }
    return body | {"digest": digest(body)}


def facts(info: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    """The fields that follow from run.json and config.yaml. `duolearn verify` reads both again and compares."""
    return {
        "command": info.get("command"),
        "forget": config.forget.name,
        "model": config.model.name,
        "dataset": dataset_name(config.dataset),
        "method": str(config.method._target_).rpartition(".")[2],
        "privacy": config.privacy.name,
        "status": info.get("status"),
        "times": {name: info.get(name) for name in ("created", "started", "ended")},
        "seeds": info.get("seeds"),
        # Only the kind of device: which one of several GPUs it was says nothing about the numbers.
        "device": str(info.get("device")).partition(":")[0],
        "precision": info.get("precision"),
        "base_weights": info.get("weights_sha256"),
        "items": info.get("data"),
        "signature": info.get("signature"),
    }


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its digest: of its JSON with sorted keys and no spaces."""
    content = {name: value for name, value in body.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of each file that the record covers, by its path in the run folder."""
    return {name: _hashed(folder / name) for name in vouched(folder)}


def vouched(folder: Path) -> list[str]:
    """The files of a run folder that its record covers, sorted."""
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in inside if not _is_left_out(path))


def _is_left_out(path: Path) -> bool:
    # A file has a hidden name while it is written, see `files.write_text`; a crash may leave one.
    is_hidden = any(part.startswith(".") for part in path.parts)
    name = path.as_posix()
    is_later = bool(_LATER_RUNS.fullmatch(name))
    return is_hidden or is_later or path.parts[0] in REWRITABLE or name in (FILE, signing.FILE)


def data_files(config: RunConfig) -> list[dict[str, Any]]:
    """Setting, name, size and hash of each file that the data sets and the hierarchy were read from.

    Embedded files are part of the code's hash. Folders are left out, since their names may identify a user.
    """
    return [
        {"setting": key, "name": name, **_hashed(path)}
        for key, root in data_paths(config).items()
        for name, path in files_at(root).items()
    ]


def data_paths(config: RunConfig) -> dict[str, Path]:
    """The file or folder that each setting names, by setting, as far as it exists."""
    settings = cast(dict[str, Any], OmegaConf.to_container(cast(DictConfig, config), resolve=True))
    leaves = [leaf for name in READING for leaf in _leaves(name, settings[name])]
    if config.evaluation.lm_eval:
        leaves.append(("evaluation.lm_eval", config.evaluation.lm_eval))
    return {key: path for key, value in leaves if (path := _existing(value))}


def _leaves(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Settings that name a file or a folder, with their values: the name of the setting or a slash shows it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(f"{key}[{place}]", inner)
    elif isinstance(value, str) and (_NAMES_FILE.search(key) or "/" in value):
        yield key, value


def _existing(value: str) -> Path | None:
    with suppress(OSError, RuntimeError, ValueError):  # too long for a path, no such user's home, a zero byte
        path = Path(value).expanduser()
        return path if path.exists() else None
    return None


def files_at(root: Path) -> dict[str, Path]:
    """The file, or the files below the folder, by name."""
    if root.is_file():
        return {root.name: root}
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}


def models(info: Mapping[str, Any], config: RunConfig) -> dict[str, dict[str, Any]]:
    """Name in the cache and hash of the target and gold adapters of the run, and of the adapter that it scored."""
    return {name: {"name": path.parent.name, **_hashed(path)} for name, path in model_files(info, config).items()}


def model_files(info: Mapping[str, Any], config: RunConfig) -> dict[str, Path]:
    """The adapter file of each model outside of the run folder, by model, as far as it exists."""
    root = cache_dir(config.cache_dir) / "models"
    found = {name: root / str(info.get(f"{name}_model")) / ADAPTER_FILE for name in MODELS}
    if scored := scored_adapter(config):
        found["scored"] = scored / ADAPTER_FILE
    return {name: path for name, path in found.items() if path.is_file()}


def scored_adapter(config: RunConfig) -> Path | None:
    """The folder of the adapter that `duolearn evaluate` scores; None for other commands and for the base model."""
    if config.command != "evaluate":
        return None
    return Path(config.run) / "adapter" if config.run else Path(config.adapter) if config.adapter else None


def exit_status(error: BaseException) -> int:
    """The exit status of a command that ended with `error`."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.status if isinstance(error, UserError) else 1


def _numerics(folder: Path) -> dict[str, Any]:
    """Threads and instruction set or GPU, from metrics.json; empty for a run without metrics."""
    try:
        return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["environment"]["here"]
    except (OSError, ValueError, LookupError):
        return {}


def _hashed(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_hash(path)}
