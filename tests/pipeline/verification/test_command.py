"""`duolearn verify` as a user calls it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from duolearn_cli.cli.positional import verify_overrides
from tests.signed_run import open_to_all, write_keys


def test_names_of_settings_are_short():
    words = ["run=x", "deep=true", "public_key=a", "verify.sign=b", "page=c", "runtime.threads=1"]
    full = ["run=x", "verify.deep=true", "verify.public_key=a", "verify.sign=b", "verify.page=c", "runtime.threads=1"]
    assert verify_overrides(words) == full


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which run is verified? Give run=FOLDER"),
        (["run=nowhere"], "there is no such folder"),
        (["run=.", "--dry-run"], "verify has no dry run, because it changes nothing"),
        (["run=.", "model=smollm2_135m"], "leave out: model=smollm2_135m"),
        (["run=.", "dep=true"], "dep: there is no such setting"),
        (["run=."], "record.json is missing"),
        (["run=.", "sign=nowhere.pem"], "sign=nowhere.pem: cannot be read"),
        (["run=.", "page=erasure.txt"], "give a file NAME.html"),
    ],
)
def test_what_is_refused(duolearn, arguments, said):
    done = duolearn("verify", *arguments)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_run_is_verified_signed_and_put_on_a_page(site, duolearn, tmp_path):
    private, public = write_keys(tmp_path, "office")
    asked = ["verify", f"run={site.run}", f"cache_dir={site.root / 'cache'}"]
    done = duolearn(*asked, f"sign={private}", f"page={tmp_path / 'page.html'}")
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout and "Erasure record: surgery" in (tmp_path / "page.html").read_text()
    assert duolearn(*asked, f"public_key={public}").returncode == 0
    done = duolearn(*asked, f"public_key={site.public}")
    assert done.returncode == 2 and "it is of another key" in done.stderr
    refused = duolearn(*asked, f"page={site.run / 'page.html'}")
    assert refused.returncode == 2 and "give a file outside of it" in refused.stderr


# Verifies twice, since another user may not be allowed to read what Python imports; then the second time counts.
AS_ANOTHER = """
import os, sys
from duolearn_cli.__main__ import main
words = sys.argv[1:]
first = main(words)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    open("run/new", "w")
except PermissionError:
    sys.exit(first or main(words))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_another_user_verifies_a_copy(original):
    """On another path, where the owner lets everybody read, and without the right to write."""
    folder = Path(tempfile.mkdtemp())
    try:
        copy = shutil.copytree(original.root, folder / "copy")
        folder.chmod(0o755)
        copy.chmod(0o755)
        open_to_all(copy)
        words = ["verify", "run=run", f"cache_dir={copy}/cache", "public_key=owner.pub.pem"]
        done = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER, *words], cwd=copy, capture_output=True, text=True, check=False
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("verified: run") == 2


def test_a_file_that_only_its_owner_may_read_is_named(site, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("plain.jsonl"))
    assert "plain.jsonl: it cannot be read: its permissions are for another user" in site.said()


def test_what_does_not_match_is_named(site, duolearn):
    with (site.run / "metrics.json").open("a") as file:
        file.write(" ")
    done = duolearn("verify", f"run={site.run}")
    assert done.returncode == 2 and "metrics.json: it was changed" in done.stderr
