"""A small finished run that is signed, another run beside it, and `verify` as a function."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from omegaconf import OmegaConf

from duolearn_cli.__main__ import main
from duolearn_cli.cli.commands import verify
from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import RunError
from duolearn_cli.files import file_hash
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from duolearn_cli.pipeline import record
from duolearn_cli.pipeline.requests import Chain, examine, settled
from duolearn_cli.pipeline.run_folder import Run
from tests.conftest import SMALL, last

HIERARCHY = Path(__file__).parents[1] / "duolearn_cli" / "concepts" / "medical4.tsv"
QUICK = (
    *SMALL,
    "evaluation.max_items=16",
    "evaluation.generate_items=2",
    "evaluation.new_tokens=8",
    "evaluation.report=false",
    "model.adapter.rank=2",
)


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Leave a private and a public key in `folder`; their files."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@dataclass(frozen=True)
class Site:
    """A machine's folder: the run, another run of it, the data file that both read, the cache, the keys."""

    root: Path
    config: object

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def other(self) -> Path:
        return self.root / "other"

    @property
    def public(self) -> Path:
        return self.root / "owner.pub.pem"

    def verify(self, run: Path | None = None, *overrides: str, **asked) -> str:
        """Verify a run, by default this site's. Raises RunError naming what does not match."""
        config = OmegaConf.merge(self.config, {"run": str(run or self.run), "verify": asked})
        return verify.run(config, Invocation(overrides))

    def said(self, **asked) -> str:
        """What the check of this site's run complains about; empty if all matches."""
        try:
            self.verify(**asked)
        except RunError as error:
            return str(error)
        return ""

    def read(self, name: str) -> dict:
        return json.loads((self.run / name).read_text(encoding="utf-8"))

    def write(self, name: str, value) -> None:
        (self.run / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def rechain(self) -> None:
        """What a forger does first: let requests.json say what config.yaml, metrics.json and the adapter say now."""
        adapter, (_, config) = self.run / "adapter", Run.open(self.run)
        chain, _ = examine(adapter)
        last = {key: value for key, value in chain.entries[-1].items() if key not in ("number", "previous", "hash")}
        metrics = self.read("metrics.json")
        last |= settled(config, metrics) if "models" in metrics else {}
        last["adapter"] = file_hash(adapter / ADAPTER_FILE)
        Chain(chain.entries[:-1]).then(last).write(adapter)

    def rehash(self, **fields) -> None:
        """What a forger does last: list the files as they are now, set `fields`, and compute the digest again."""
        self.rechain()
        found = self.read(record.FILE) | {"files": record.manifest(self.run)} | fields
        self.write(record.FILE, found | {"digest": record.digest(found)})


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """Made once; tests work on copies."""
    root = tmp_path_factory.mktemp("site")
    private, _ = write_keys(root, "owner")
    write_keys(root, "stranger")
    shutil.copy(HIERARCHY, root / "vocabulary.tsv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DUOLEARN_CACHE", str(root / "cache"))
        patch.setattr(sys, "argv", ["duolearn"])
        common = ["unlearn", "+forget=surgery", "hierarchy.path=vocabulary.tsv", f"record.sign={private}"]
        assert main([*common, *QUICK, "run_dir=run", "record.user=records office"]) == 0
        assert main([*common, *last(*QUICK, "evaluation.max_items=4"), "run_dir=other", "seed=1"]) == 0
    return Site(root, compose("verify", [f"run={root / 'run'}"]))


@pytest.fixture
def site(original, tmp_path, monkeypatch):
    """A copy of the site on another path, to tamper with."""
    root = tmp_path / "elsewhere"
    shutil.copytree(original.root, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("DUOLEARN_CACHE", str(root / "cache"))
    return Site(root, original.config)


def openssl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=False)


def open_to_all(folder: Path) -> None:
    """Let everybody read what is private by default: files with texts of the user."""
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
