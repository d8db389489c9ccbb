"""Checks of the record, its signature, the files that it lists, its purges and its settings. They need no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from omegaconf import DictConfig

from duolearn_cli.errors import RunError
from duolearn_cli.files import file_hash, json_text
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.pipeline import purged, record, signing
from duolearn_cli.pipeline.requests import FILE as REQUESTS
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.traces import is_purgeable
from duolearn_cli.pipeline.verification.finding import Finding, differences, not_checked
from duolearn_cli.privacy.account import FILE as ACCOUNT_FILE

ALWAYS = ("config.yaml", "run.json")
ANSWERS = ("predictions.jsonl", "written.jsonl", "plain.jsonl")
METRICS = "metrics.json"
SCORED = (METRICS, *ANSWERS)
ADAPTER = (f"adapter/{ADAPTER_FILE}", "adapter/adapter_config.json")
# Types of the fields that the checks read, and the fields that hold one mapping for each file.
SHAPE = {"digest": str, "code": dict, "files": dict, "models": dict, "data_files": list}
NESTED = ("files", "models", "data_files", "purges")
OF_A_PURGE = {"date": str, "previous": str, "list": str, "gone": list}


def read_record(folder: Path) -> dict[str, Any]:
    """Read record.json.

    Raises:
        RunError: it is missing, or is no record of this schema.
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
    shape = {**SHAPE, **({"purges": list} if "purges" in found else {})}
    # The checks read these fields without further tests: an edited record must not end in a traceback.
    if wrong := [name for name, kind in shape.items() if not _has_shape(name, found.get(name), kind)]:
        raise RunError(f"{path} is damaged: `{wrong[0]}` is not what a record has there.")
    return found


def _has_shape(name: str, value: Any, kind: type) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not isinstance(value, kind) or (name in NESTED and not all(isinstance(one, dict) for one in inner)):
        return False
    fields = OF_A_PURGE.items() if name == "purges" else ()
    return all(isinstance(one.get(field), needed) for one in inner for field, needed in fields)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read metrics.json. Raises RunError if it is not a JSON object."""
    try:
        found = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / METRICS} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise RunError(f"{folder / METRICS}: a JSON object is needed.")
    return found


def of_record(folder: Path, found: Mapping[str, Any], public_key: Path | None) -> Iterator[Finding]:
    """Check the record's digest, the digests from before its purges, its signature, and that the run has finished."""
    if found["digest"] != record.digest(found):
        yield Finding(record.FILE, "it was changed after it was written: its digest is not that of its content")
    for purge, before in zip(reversed(found.get("purges", [])), list(purged.stages(found))[1:], strict=True):
        if before["digest"] != record.digest(before):
            said = f"the purge of {purge['date']} does not follow the record that was there before: its digest differs"
            yield Finding(record.FILE, said)
    yield from _signature(folder, found, public_key)
    status, left = found.get("status"), found.get("exit_status")
    if status != "finished" or left != 0:
        yield Finding(record.FILE, f"the run has not finished: status {status}, exit status {left}")


def _signature(folder: Path, found: Mapping[str, Any], public_key: Path | None) -> Iterator[Finding]:
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
        # A purge changes the record. Without the key it cannot sign it again, but the earlier one can be restored.
        earlier = (json_text(stage).encode() for stage in list(purged.stages(found))[1:])
        if any(signing.is_signed(content, signature, key) for content in earlier):
            yield not_checked(
                signing.FILE, "it belongs to the record from before a purge; the purge itself is not signed"
            )
        else:
            yield Finding(signing.FILE, f"it does not belong to this {record.FILE}, which was changed or replaced")


def of_files(folder: Path, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Find files that are missing, changed, or not in the record."""
    gone, is_purged = purged.gone(found), bool(found.get("purges"))
    for name, known in found["files"].items():
        path = PurePosixPath(name)
        # A record may come from someone else. Its paths must not make us read and compare files elsewhere.
        if path.is_absolute() or ".." in path.parts:
            yield Finding(record.FILE, f"it lists {name}, which is outside of the run folder")
            return
        # A purge adds a field to run.json after the end of the run, so its hash is another one.
        if name in gone or (name == "run.json" and is_purged and _only_marked(folder / path, known)):
            continue
        if problem := changed(folder / path, known):
            yield Finding(name, problem)
    for name in record.vouched(folder):
        if name == purged.FILE and not is_purged:
            yield Finding(
                name, "the record does not have this purge: duolearn purge was stopped, or the file was added"
            )
        elif name not in found["files"] and name != purged.FILE:
            yield Finding(name, "it is not in the record: it was added after the run, or renamed")


def _only_marked(path: Path, known: Mapping[str, Any]) -> bool:
    """Whether run.json is the recorded one but for the field that a purge adds."""
    try:
        return purged.hash_before(path) == known.get("sha256")
    except (OSError, ValueError, AttributeError):
        return False


def of_purges(folder: Path, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that the purges of the record are what purged.json lists, and that these files are gone."""
    if not found.get("purges"):
        return
    path, gone = folder / purged.FILE, purged.gone(found)
    if not path.is_file():
        yield Finding(purged.FILE, "it is missing, and the record has a purge")
        return
    if not purged.is_recorded(folder, found):
        yield Finding(purged.FILE, "it was changed: it is not the list of the record")
        return
    try:
        listed = {row["path"]: row["sha256"] for row in purged.rows_of(folder) if row["place"] == "run"}
    except (ValueError, LookupError, TypeError) as error:
        yield Finding(purged.FILE, f"it is damaged ({type(error).__name__}: {error})")
        return
    for name in sorted(gone):
        # A forger could delete any file and call it purged.
        if name not in found["files"] or not is_purgeable(name, str(found.get("command"))):
            yield Finding(record.FILE, f"it says that {name} was purged, which no purge deletes")
        elif listed.get(name) != found["files"][name].get("sha256"):
            yield Finding(purged.FILE, f"the {name} that was purged is not the one of the run: its SHA-256 differs")
        elif (folder / name).exists():
            yield Finding(name, "the record says that it was purged, but it is here; run duolearn purge again")


def changed(path: Path, known: Mapping[str, Any]) -> str:
    """Say how a file differs from its recorded size and hash; empty if it does not."""
    if not path.is_file():
        return "it is missing: it was removed or renamed"
    if not os.access(path, os.R_OK):
        return "it cannot be read: its permissions are for another user; chmod a+r lets everybody check it"
    # The size first, because it costs nothing and a hash reads the whole file.
    size = path.stat().st_size
    if size != known.get("bytes"):
        return f"it was changed: it has {size} bytes, the record says {known.get('bytes')}"
    if (now := file_hash(path)) != known.get("sha256"):
        return f"it was changed: its SHA-256 is {now[:16]}..., the record says {str(known.get('sha256'))[:16]}..."
    return ""


def of_settings(run: Run, config: DictConfig, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that the record agrees with run.json and config.yaml, and lists every file that such a run leaves."""
    recorded = record.facts(run.info, config)  # type: ignore[arg-type]
    own = {name: found.get(name) for name in recorded}
    yield from differences(record.FILE, own, recorded, "run.json with config.yaml")
    if found.get("command") != config.command:
        yield Finding("run.json", f"command is {found.get('command')}, but config.yaml says {config.command}")
    for name in needed(config):
        if name not in found["files"]:
            yield Finding(name, f"the record does not list it, and a finished run of {config.command} has one")


def needed(config: DictConfig) -> list[str]:
    """The files that a finished run with this configuration has."""
    adapter = [] if config.command == "evaluate" else ADAPTER
    chain = [f"adapter/{REQUESTS}"] if config.command == "unlearn" else []
    is_private = config.command == "unlearn" and config.privacy.epsilon is not None
    return [*ALWAYS, *SCORED, *adapter, *chain, *([f"adapter/{ACCOUNT_FILE}"] if is_private else [])]
