"""Purges in record.json, and how to restore the record from before a purge.

A purge adds one entry to the list `purges` of the record: its date, what it deleted, the hash of purged.json, and the
digest that the record had before (`previous`). Nothing else of the record changes. So whoever has the record can
restore the earlier one byte by byte, and check an earlier signature with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolearn_cli.errors import RunError
from duolearn_cli.files import file_hash, json_text, write_json
from duolearn_cli.pipeline import record, signing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = "purged.json"


def record_purge(folder: Path, date: str, key: Ed25519PrivateKey | None = None) -> None:
    """Add to the record of a run what purged.json lists, unless it is there already. Sign the record with `key`.

    A run without a record, or without purged.json, is left alone.

    Raises:
        RunError: the record is damaged.
    """
    path = folder / record.FILE
    if not path.is_file() or not (folder / FILE).is_file():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not is_recorded(folder, found):
            _add(path, found, _entry(folder, found, date))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged, so the purge cannot be added to it: {error}.") from error
    if key:
        signing.sign(path.read_bytes(), key, folder / signing.FILE)


def is_recorded(folder: Path, found: Mapping[str, Any]) -> bool:
    """Whether the record has all that purged.json lists. True where nothing was purged."""
    path, purges = folder / FILE, found.get("purges")
    return not path.is_file() or bool(purges and purges[-1]["list"] == file_hash(path))


def _add(path: Path, found: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    # `purges` and `digest` stay at the end. `stages` rebuilds the earlier file byte by byte, for its signature.
    body = {name: value for name, value in found.items() if name not in ("purges", "digest")}
    body["purges"] = [*found.get("purges", []), entry]
    write_json(path, body | {"digest": record.digest(body)})


def _entry(folder: Path, found: Mapping[str, Any], date: str) -> dict[str, Any]:
    """The entry of a purge. Its counts and names are of all that was purged so far."""
    rows = rows_of(folder)
    own = sorted({row["path"] for row in rows if row["place"] == "run"})
    return {
        "date": date,
        "previous": found["digest"],
        "files": len(rows),
        "bytes": sum(row["size"] for row in rows),
        "kinds": sorted({row["kind"] for row in rows}),
        # Files such as log.txt are not in the record, so nobody misses them.
        "gone": [name for name in own if name in found["files"]],
        "list": file_hash(folder / FILE),
    }


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of purged.json, one for each file."""
    return json.loads((folder / FILE).read_text(encoding="utf-8"))["files"]


def stages(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the record, then the records from before each of its purges, the latest first."""
    current = dict(found)
    yield current
    while purges := current.get("purges"):
        *earlier, last = purges
        body = {name: value for name, value in current.items() if name not in ("purges", "digest")}
        current = body | ({"purges": earlier} if earlier else {}) | {"digest": last["previous"]}
        yield current


def gone(found: Mapping[str, Any]) -> set[str]:
    """The recorded files of a run folder that a purge has deleted."""
    purges = found.get("purges")
    return set(map(str, purges[-1]["gone"])) if purges else set()


def hash_before(path: Path) -> str:
    """SHA-256 of run.json without the field that a purge adds."""
    info = json.loads(path.read_text(encoding="utf-8"))
    info.pop("purged", None)
    # Written as the file was written: the hash is over its bytes, not over its content.
    return hashlib.sha256(json_text(info).encode()).hexdigest()
