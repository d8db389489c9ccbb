"""The patients of a recorded forget target: as keyed hashes, or their number alone, since the record is handed on."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from duolearn_cli.concepts.hierarchy import Target
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.config.patient_key import patient_key
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.items import Loaded
from duolearn_cli.errors import DataError, RunError
from duolearn_cli.pipeline.run_folder import Run

KEYED, UNNAMED = "hmac_sha256:", "(not recorded)"


def patient_hash(patient: str, key: bytes) -> str:
    """HMAC-SHA256 of a patient's identifier. Without the key nobody can find out who it is."""
    # A plain hash is not enough: patients have so few identifiers that all of them can be tried.
    return hmac.new(key, str(patient).encode(), hashlib.sha256).hexdigest()


def hidden(patients: Iterable[str], key: bytes | None) -> list[str]:
    """The patients as a record names them. Without a key only their number is left."""
    return sorted(one if _is_hidden(one) else _hidden(one, key) for one in map(str, patients))


def _hidden(patient: str, key: bytes | None) -> str:
    return KEYED + patient_hash(patient, key) if key else UNNAMED


def _is_hidden(patient: str) -> bool:
    return patient == UNNAMED or patient.startswith(KEYED)


def named(targets: Sequence[ForgetTarget], adapter: Path, key: bytes | None) -> list[ForgetTarget]:
    """The targets of earlier requests with the names of their patients, as the run folder around `adapter` has them.

    Keyed hashes stay where there is no run folder: `found_by_key` finds their patients in the data.

    Raises:
        RunError: a record leaves out who the patients are, and neither the run folder nor the key says it.
    """
    known = _of_run(adapter, len(targets))
    return [_named(number, *pair, adapter, key) for number, pair in enumerate(zip(targets, known, strict=True), 1)]


def _named(number: int, target: ForgetTarget, known: list[str], adapter: Path, key: bytes | None) -> ForgetTarget:
    if not any(map(_is_hidden, target.patients)):
        return target
    if known and may_be(known, target.patients, key):
        return replace(target, patients=known)
    if UNNAMED in target.patients:
        raise RunError(
            f"after={adapter}: request {number} ({target.name}) is limited to {len(target.patients)} patients, and its "
            "record leaves out who they are, since it was made without patient_key. Give the run folder that holds "
            "this adapter, whose config.yaml names them."
        )
    if key is None:
        raise RunError(
            f"after={adapter}: request {number} ({target.name}) is limited to {len(target.patients)} patients, which "
            "its record names by keyed hashes alone. Give patient_key=FILE, the key of that request."
        )
    return target


def may_be(known: Iterable[str], recorded: Sequence[str], key: bytes | None) -> bool:
    """Whether patients may be those of a record: the same ones as far as it names them or the key can tell, as many."""
    patients, own = sorted(map(str, known)), sorted(map(str, recorded))
    if not any(map(_is_hidden, own)):
        return patients == own  # a record of an older version has the names
    if key is None or UNNAMED in own:
        return len(patients) == len(own)
    return hidden(patients, key) == own


def _of_run(adapter: Path, number: int) -> list[list[str]]:
    """By request the patients that the run folder around an adapter names; empty lists where there is none."""
    run = Run.around(adapter)
    if run is None or run[0].folder.resolve() != adapter.resolve().parent:
        return [[] for _ in range(number)]
    config = cast(RunConfig, run[1])
    patients = [[str(one) for one in spec.patients] for spec in (*config.requests, config.forget)]
    return patients if len(patients) == number else [[] for _ in range(number)]


def found_by_key(target: Target, loaded: Loaded, config: RunConfig) -> Target:
    """The target with the names of patients whose keyed hashes it has.

    Raises:
        DataError: the data has no patient with one of the hashes.
        ConfigError: the key cannot be read.
    """
    hashes = {one for one in target.scope.patients if one.startswith(KEYED)}
    if not hashes:
        return target
    key = patient_key(config.patient_key)
    everybody = {one.patient for one in (*loaded.items, *loaded.documents) if one.patient is not None}
    names = {_hidden(name, key): name for name in sorted(everybody)}
    if lost := hashes - names.keys():
        raise DataError(
            f"patient_key={config.patient_key}: {len(lost)} of the {len(hashes)} patients of the request {target.name} "
            "are not found in the data. The key must be that of the request, and the data must have its patients."
        )
    patients = frozenset(names.get(one, one) for one in target.scope.patients)
    return replace(target, scope=replace(target.scope, patients=patients))
