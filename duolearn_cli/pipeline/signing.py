"""Ed25519 signatures of record.json (RFC 8032), by the library cryptography. Keys are PEM files, as of OpenSSL."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolearn_cli.errors import RunError
from duolearn_cli.files import write_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FILE, SCHEMA, ALGORITHM = "signature.json", 1, "Ed25519"
PASSWORD = "DUOLEARN_SIGN_PASSWORD"
MAKE = "openssl genpkey -algorithm ed25519 -out private.pem && openssl pkey -in private.pem -pubout -out public.pem"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature, and the fingerprint of the public key that it belongs to as its maker says."""

    key: str
    value: bytes

    @classmethod
    def read(cls, path: Path) -> Signature:
        """Raises ValueError, LookupError, TypeError or OSError where the file holds no signature."""
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["schema"], found["algorithm"]) != (SCHEMA, ALGORITHM):
            raise ValueError(f"schema {SCHEMA} and algorithm {ALGORITHM} are needed")
        return cls(str(found["key"]), base64.b64decode(found["signature"], validate=True))


def private_key(path: Path, setting: str) -> Ed25519PrivateKey:
    """Read a private key. Raises RunError naming the `setting` that gave the file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    # Not a setting: run.json records the words of the command line, and other users of the machine can see them.
    password = os.environ.get(PASSWORD)
    key = _loaded(path, setting, lambda pem: load_pem_private_key(pem, password.encode() if password else None))
    if not isinstance(key, Ed25519PrivateKey):
        raise RunError(f"{setting}={path}: a private {ALGORITHM} key is needed. One is made by: {MAKE}")
    return key


def public_key(path: Path, setting: str) -> Ed25519PublicKey:
    """Read a public key. Raises RunError naming the `setting` that gave the file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _loaded(path, setting, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise RunError(f"{setting}={path}: a public {ALGORITHM} key is needed, as `openssl pkey -pubout` writes it.")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key's 32 bytes, in hex digits."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def sign(content: bytes, key: Ed25519PrivateKey, path: Path) -> None:
    """Write the signature of `content` to `path`."""
    value = base64.b64encode(key.sign(content)).decode()
    write_json(
        path,
        {"schema": SCHEMA, "algorithm": ALGORITHM, "key": fingerprint(key.public_key()), "signature": value},
    )


def is_signed(content: bytes, signature: Signature, key: Ed25519PublicKey) -> bool:
    """Whether the signature is of `content` and by the owner of `key`."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature.value, content)
    except InvalidSignature:
        return False
    return True


def _loaded(path: Path, setting: str, load: Any) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(path.expanduser().read_bytes())
    except OSError as error:
        raise RunError(f"{setting}={path}: cannot be read ({error.strerror}). A key is made by: {MAKE}") from error
    except TypeError as error:  # encrypted and no password, or the other way round
        raise RunError(f"{setting}={path}: {error}. The password of a key is read from ${PASSWORD}.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RunError(
            f"{setting}={path}: this is no key in PEM form, or ${PASSWORD} is another key's. A key is made by: {MAKE}"
        ) from error
