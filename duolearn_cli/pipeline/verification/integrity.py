"""The record itself, its signature, the files that it lists, and what it says about settings. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from omegaconf import DictConfig

from duolearn_cli.errors import RunError
from duolearn_cli.files import file_hash
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.pipeline import record, signing
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.verification.finding import Finding, differences, not_checked
from duolearn_cli.privacy.account import FILE as ACCOUNT_FILE

ALWAYS = ("config.yaml", "run.json")
ANSWERS = ("predictions.jsonl", "written.jsonl", "plain.jsonl")
SCORED = ("metrics.json", *ANSWERS)
ADAPTER = (f"adapter/{ADAPTER_FILE}", "adapter/adapter_config.json")
# Fields of a record that checks go into, and those that hold one mapping a file.
SHAPE = {"digest": str, "code": dict, "files": dict, "models": dict, "data_files": list}
NESTED = ("files", "models", "data_files")


def read_record(folder: Path) -> dict[str, Any]:
    """The content of record.json.

    Raises:
        RunError: there is none, or it is no record of this schema.
    """
    path = folder / record.FILE
    if not path.is_file():
        raise RunError(f"{path} is missing: the run is of an older version, has not ended, or its record was removed.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: it cannot be read as JSON ({error}).") from error
    if not isinstance(found, dict) or found.get("schema") != record.SCHEMA:
        raise RunError(f"{path} is no record of schema {record.SCHEMA}, which this version of duolearn reads.")
    for name, kind in SHAPE.items():
        value = found.get(name)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, kind) or (name in NESTED and not all(isinstance(one, dict) for one in inner)):
            raise RunError(f"{path} is damaged: `{name}` is not what a record has there.")
    return found


def of_record(folder: Path, found: Mapping[str, Any], public_key: Path | None) -> Iterator[Finding]:
    """The record's own digest and its signature; whether the run has finished."""
    if found["digest"] != record.digest(found):
        yield Finding(record.FILE, "it was changed after it was written: its digest is not that of its content")
    yield from _signature(folder, public_key)
    status, left = found.get("status"), found.get("exit_status")
    if status != "finished" or left != 0:
        yield Finding(record.FILE, f"the run has not finished: status {status}, exit status {left}")


def _signature(folder: Path, public_key: Path | None) -> Iterator[Finding]:
    path = folder / signing.FILE
    if not path.is_file():
        if public_key:
            yield Finding(
                signing.FILE, "it is missing, so nothing shows that the owner of the key vouches for this run"
            )
        return
    try:
        signature = signing.Signature.read(path)
    except (OSError, ValueError, LookupError, TypeError) as error:
        yield Finding(signing.FILE, f"it is damaged ({error})")
        return
    if not public_key:
        yield not_checked(signing.FILE, f"give public_key=FILE of the key {signature.key[:16]}... to check it")
        return
    key = signing.public_key(public_key, "public_key")
    if signature.key != signing.fingerprint(key):
        yield Finding(
            signing.FILE,
            f"it is of another key, {signature.key[:16]}..., not of {public_key} ({signing.fingerprint(key)[:16]}...)",
        )
    elif not signing.is_signed((folder / record.FILE).read_bytes(), signature, key):
        yield Finding(signing.FILE, f"it does not belong to this {record.FILE}, which was changed or replaced")


def of_files(folder: Path, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Files that are missing, changed, or not in the record."""
    for name, known in found["files"].items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            yield Finding(record.FILE, f"it lists {name}, which is outside of the run folder")
            return
        if problem := changed(folder / path, known):
            yield Finding(name, problem)
    for name in record.vouched(folder):
        if name not in found["files"]:
            yield Finding(name, "it is not in the record: it was added after the run, or renamed")


def changed(path: Path, known: Mapping[str, Any]) -> str:
    """How a file differs from its recorded size and hash; empty where it does not."""
    if not path.is_file():
        return "it is missing: it was removed or renamed"
    size = path.stat().st_size
    if size != known.get("bytes"):
        return f"it was changed: it has {size} bytes, the record says {known.get('bytes')}"
    if (now := file_hash(path)) != known.get("sha256"):
        return f"it was changed: its SHA-256 is {now[:16]}..., the record says {str(known.get('sha256'))[:16]}..."
    return ""


def of_settings(run: Run, config: DictConfig, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the record agrees with run.json and config.yaml, and lists what such a run leaves."""
    told = record.facts(run.info, config)  # type: ignore[arg-type]
    own = {name: found.get(name) for name in told}
    yield from differences(record.FILE, own, told, "run.json with config.yaml")
    if found.get("command") != config.command:
        yield Finding("run.json", f"command is {found.get('command')}, but config.yaml says {config.command}")
    for name in needed(config):
        if name not in found["files"]:
            yield Finding(name, f"the record does not list it, and a finished run of {config.command} has one")


def needed(config: DictConfig) -> list[str]:
    """The files that a finished run of this configuration has."""
    adapter = [] if config.command == "evaluate" else ADAPTER
    is_private = config.command == "unlearn" and config.privacy.epsilon is not None
    return [*ALWAYS, *SCORED, *adapter, *([f"adapter/{ACCOUNT_FILE}"] if is_private else [])]
