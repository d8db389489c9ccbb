"""A run whose sentences are worded differently still verifies; one with other figures does not."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from duolearn_cli.evaluation.prose import texts, without_prose
from duolearn_cli.pipeline import record
from duolearn_cli.pipeline.verification import figures
from tests.pipeline.verification.test_tampering import set_metric
from tests.signed_run import open_to_all


def other_words(site):
    """Let metrics.json say all that it says in other words, as an earlier version might have."""
    metrics = site.read("metrics.json")
    metrics["flags"] = [f"Worded differently: {text}" for text in metrics["flags"]]
    metrics["advice"] = {f"Worded differently: {text}": "Do it." for text in metrics["advice"]}
    metrics["verdict"]["sentence"] = "It was said in another way."
    for light in metrics["verdict"]["lights"]:
        light |= {"name": "A light", "said": "it was said in another way", "reason": "It was so."}
    site.write("metrics.json", metrics)


def of_other_code(site):
    """Compute the hashes again, and let the record name the source files of another version."""
    site.rehash(code=site.read(record.FILE)["code"] | {"source": "0" * 64})


@pytest.mark.parametrize("path", [("verdict", "sentence"), ("verdict", "lights", 0, "said")], ids=["sentence", "light"])
def test_a_lie_in_the_words_of_this_version_is_named(site, path):
    set_metric(site, *path, value="Surgery is forgotten, beyond any doubt.")
    site.rehash()
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    assert f"metrics.json: {place} is 'Surgery is forgotten, beyond" in site.said()


@pytest.mark.parametrize("key", ["verdict", "advice"])
def test_neither_verdict_nor_advice_may_be_left_out(site, key):
    metrics = site.read("metrics.json")
    del metrics[key]
    site.write("metrics.json", metrics)
    of_other_code(site)
    assert f"metrics.json: {key}" in site.said()


def test_an_erasure_record_has_the_warnings_of_this_version(site, monkeypatch, tmp_path):
    set_metric(site, "flags", value=["About the data.", "All is well."])
    own = figures.aggregates
    monkeypatch.setattr(figures, "aggregates", lambda *args: own(*args) | {"flags": ["It was not forgotten."]})
    site.rehash()
    assert "metrics.json: flags[1] is 'All is well.'" in site.said(page=str(tmp_path / "page.html"))
    of_other_code(site)
    assert site.said(page=str(tmp_path / "page.html")) == ""
    assert json.loads((tmp_path / "page.json").read_text())["warnings"] == ["About the data.", "It was not forgotten."]


def test_other_words_verify_and_are_mentioned(site, capfd):
    other_words(site)
    assert "metrics.json: it was changed" in site.said()
    of_other_code(site)
    capfd.readouterr()
    assert site.said() == ""
    said = " ".join(capfd.readouterr().out.split())
    assert "metrics.json, wording: not checked: this version words" in said and "verified" in said


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict", "lights", 0, "state"), "off"),
        (("verdict", "lights", 0, "key"), "kept"),
        (("verdict", "lights", 1, "value"), 0.123),
        (("verdict", "lights", 1, "limit"), 0.5),
        (("verdict", "lights", 0, "bar", "value"), 0.123),
        (("verdict", "limits", "forgotten"), 0.5),
        (("verdict", "sentence"), None),
        (("flagged",), ["mia_auc"]),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_other_words_hide_no_other_figure(site, path, value):
    other_words(site)
    set_metric(site, *path, value=value)
    of_other_code(site)
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    assert f"metrics.json: {place} is" in site.said()


def test_a_warning_may_be_worded_differently_but_not_left_out(site, monkeypatch):
    set_metric(site, "flags", value=["About the data.", "It was raised in other words."])
    of_other_code(site)
    # The run itself raises none: twelve facts are too few for any.
    own = figures.aggregates
    monkeypatch.setattr(figures, "aggregates", lambda *args: own(*args) | {"flags": ["Raised."]})
    assert site.said() == ""
    set_metric(site, "flags", value=[])
    of_other_code(site)
    assert "metrics.json: flags is []" in site.said()


NOBODY = 65534


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv to be another user")
def test_a_clean_run_verifies_as_another_user_who_may_write_nothing(site):
    # The folders of pytest are closed to other users.
    with tempfile.TemporaryDirectory() as scratch:
        copy, home = Path(scratch) / "copy", Path(scratch) / "home"
        shutil.copytree(site.root, copy)
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        for folder in (Path(scratch), copy):
            folder.chmod(0o755)
        open_to_all(copy)
        before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
        environment = os.environ | {"HOME": str(home), "DUOLEARN_CACHE": str(home / "cache"), "TMPDIR": str(home)}
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        if subprocess.run(
            [*become, sys.executable, "-c", "import duolearn_cli"], env=environment, check=False
        ).returncode:
            pytest.skip("another user cannot read this Python")
        words = ["verify", f"run={copy / 'run'}", f"public_key={copy / 'owner.pub.pem'}"]
        command = [*become, sys.executable, "-m", "duolearn_cli", *words]
        verify = partial(
            subprocess.run, command, cwd=copy, env=environment, capture_output=True, text=True, check=False
        )
        done = verify()
        assert done.returncode == 0, done.stderr
        assert "verified" in done.stdout
        copy.chmod(0o700)
        refused = verify()
        assert refused.returncode == 2 and "may not read the folder; ask its owner" in refused.stderr
        assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_a_run_of_this_version_holds_no_sentence_that_is_not_declared(site, capfd):
    assert site.said() == "" and "wording" not in capfd.readouterr().out
    metrics = site.read("metrics.json")
    assert metrics["verdict"]["lights"]
    # Neither of these is computed again: versions of libraries, and a command.
    figures = without_prose({name: one for name, one in metrics.items() if name not in ("environment", "harness")})
    assert [(place, text) for place, text in texts(figures) if len(text.split()) > 2] == []
