"""Keys and signatures: those of OpenSSL work, others are refused with how to make one."""

import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from duolearn_cli.errors import RunError
from duolearn_cli.pipeline import signing
from tests.signed_run import openssl, write_keys

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def test_a_signature_comes_back(tmp_path):
    private, public = write_keys(tmp_path, "owner")
    signing.sign(b"content", signing.private_key(private, "sign"), tmp_path / signing.FILE)
    found, key = signing.Signature.read(tmp_path / signing.FILE), signing.public_key(public, "public_key")
    assert found.key == signing.fingerprint(key)
    assert signing.is_signed(b"content", found, key) and not signing.is_signed(b"Content", found, key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_openssl_makes_keys_and_verifies_signatures(tmp_path):
    private, public, content, value = (tmp_path / name for name in ("a.pem", "a.pub.pem", "record.json", "value"))
    assert openssl("genpkey", "-algorithm", "ed25519", "-out", str(private)).returncode == 0
    assert openssl("pkey", "-in", str(private), "-pubout", "-out", str(public)).returncode == 0
    content.write_bytes(b"{}")
    signing.sign(b"{}", signing.private_key(private, "sign"), tmp_path / signing.FILE)
    value.write_bytes(signing.Signature.read(tmp_path / signing.FILE).value)
    check = ["pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", str(content)]
    assert openssl(*check, "-sigfile", str(value)).returncode == 0
    content.write_bytes(b"[]")
    assert openssl(*check, "-sigfile", str(value)).returncode != 0


def test_keys_that_will_not_do(tmp_path):
    private, public = write_keys(tmp_path, "owner")
    other = tmp_path / "rsa.pem"
    rsa = generate_private_key(65537, 2048)
    other.write_bytes(rsa.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    for read, path, said in (
        (signing.private_key, tmp_path / "nowhere", "sign=.*nowhere: cannot be read"),
        (signing.private_key, public, "sign=.*no key in PEM form"),
        (signing.private_key, other, "a private Ed25519 key is needed.*openssl genpkey"),
        (signing.public_key, private, "no key in PEM form"),
    ):
        with pytest.raises(RunError, match=said):
            read(path, "sign")


def test_a_key_with_a_password(tmp_path, monkeypatch):
    path = tmp_path / "locked.pem"
    lock = serialization.BestAvailableEncryption(b"secret")
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, lock))
    with pytest.raises(RunError, match=signing.PASSWORD):
        signing.private_key(path, "sign")
    monkeypatch.setenv(signing.PASSWORD, "wrong")
    with pytest.raises(RunError, match=signing.PASSWORD):
        signing.private_key(path, "sign")
    monkeypatch.setenv(signing.PASSWORD, "secret")
    assert signing.private_key(path, "sign")
