"""record.json: written last, however a run ends, and silent about who and where unless asked."""

import getpass
import json
import os
import platform
from contextlib import suppress

import pytest
from filelock import FileLock

from duolearn_cli.config.compose import compose
from duolearn_cli.errors import RunError, UserError
from duolearn_cli.pipeline import record, signing
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.run_lock import LOCK
from tests.signed_run import write_keys


@pytest.fixture
def config(tmp_path):
    return compose("unlearn", ["+forget=surgery", f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"])


def read(run):
    return json.loads((run.folder / record.FILE).read_text())


def ended(config, error=None):
    run = Run.create(config, [])
    with suppress(*([type(error)] if error else [])), record.recorded(run, config):
        if error:
            raise error
    return run


@pytest.mark.parametrize(
    ("error", "status", "left"),
    [
        (None, "finished", 0),
        (KeyboardInterrupt(), "interrupted", 130),
        (UserError("no"), "failed", 2),
        (ValueError("boom"), "failed", 1),
    ],
    ids=["finished", "interrupted", "refused", "failed"],
)
def test_a_record_says_how_the_run_ended(config, error, status, left):
    found = read(ended(config, error))
    assert (found["status"], found["exit_status"]) == (status, left)
    assert found["digest"] == record.digest(found)
    assert found["times"]["ended"] and set(found["files"]) == {"config.yaml", "run.json"}


def test_a_run_that_goes_on_has_no_record(config):
    run = ended(config, KeyboardInterrupt())
    (run.folder / signing.FILE).touch()
    with record.recorded(run, config):
        assert not (run.folder / record.FILE).exists() and not (run.folder / signing.FILE).exists()
    assert read(run)["status"] == "finished"


def test_the_record_of_a_run_in_use_is_left_alone(config):
    run = ended(config)
    before = read(run)
    run.update(status="running", pid=os.getppid())
    with FileLock(run.folder / LOCK), pytest.raises(RunError, match="is running in"), record.recorded(run, config):
        pass
    assert read(run) == before


def test_nobody_is_named_unless_asked(config):
    run = ended(config)
    text = (run.folder / record.FILE).read_text()
    assert read(run)["user"] is None
    assert platform.node() not in text and str(run.folder.parent) not in text
    assert getpass.getuser() == "root" or getpass.getuser() not in text
    config.record.user = "records office"
    assert read(ended(config))["user"] == "records office"


def test_a_key_that_cannot_be_read_is_found_before_anything_runs(config, tmp_path):
    config.record.sign = str(tmp_path / "nowhere.pem")
    run = Run.create(config, [])
    with pytest.raises(RunError, match=r"record\.sign=.*nowhere\.pem: cannot be read"), record.recorded(run, config):
        raise AssertionError("it ran")
    assert run.info["status"] == "created"


def test_a_run_is_signed_when_it_ends(config, tmp_path):
    private, public = write_keys(tmp_path, "owner")
    config.record.sign = str(private)
    run = ended(config)
    signature = signing.Signature.read(run.folder / signing.FILE)
    content, key = (run.folder / record.FILE).read_bytes(), signing.public_key(public, "public_key")
    assert signing.is_signed(content, signature, key) and not signing.is_signed(content + b" ", signature, key)


def test_data_files_are_those_that_settings_name(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "questions.csv").write_text("a\n")
    (tmp_path / "terms").mkdir()
    (tmp_path / "terms" / "one.tsv").write_text("b\n")
    # A folder that is called like a word of the configuration is no data.
    (tmp_path / "tiny").mkdir()
    (tmp_path / "minimed").mkdir()
    config.dataset = {
        "_target_": "x.Y",
        "path": "questions.csv",
        "split": "minimed",
        "fields": {"id": "tiny"},
        "text": "and/or" * 999,
    }
    config.hierarchy = {"_target_": "x.Z", "source": "./terms", "more_files": ["questions.csv", "none.csv"]}
    found = {(row["setting"], row["name"]) for row in record.data_files(config)}
    assert found == {
        ("dataset.path", "questions.csv"),
        ("hierarchy.source", "one.tsv"),
        ("hierarchy.more_files[0]", "questions.csv"),
    }


def test_what_is_not_vouched_for(tmp_path):
    for name in ("metrics.json", "requests.json", "log.txt", "report.md", ".part", "record.json", "signature.json"):
        (tmp_path / name).touch()
    for folder in ("adapter", "figures", "checkpoints"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").touch()
    assert record.vouched(tmp_path) == ["adapter/file", "metrics.json", "requests.json"]
