"""The user's secret key for hashes of patients, read and checked without anything heavy."""

from __future__ import annotations

from pathlib import Path

from duolearn_cli.errors import ConfigError

# Shorter keys can be guessed, and with them who the patients are.
KEY_BYTES = 16


def patient_key(path: str | None) -> bytes | None:
    """The user's key for hashes of patients. Raises ConfigError where the file cannot be read or is too short."""
    if path is None:
        return None
    try:
        key = Path(path).expanduser().read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"patient_key={path}: the file cannot be read: {error.strerror}.") from error
    if len(key) < KEY_BYTES:
        raise ConfigError(f"patient_key={path}: the key has {len(key)} bytes; allowed: {KEY_BYTES} or more, by chance.")
    return key
