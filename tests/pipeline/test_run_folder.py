"""Run folders are exclusive and complete, and record how the run ended."""

import json
import logging
import os

import pytest

from duolearn_cli.config.compose import compose
from duolearn_cli.errors import RunError
from duolearn_cli.files import finite
from duolearn_cli.pipeline.run_folder import Run, check_space, run_name


@pytest.fixture
def config(tmp_path):
    return compose("unlearn", ["+forget=surgery", f"output_dir={tmp_path}/out"])


def test_two_runs_in_one_second_have_two_folders(config):
    runs = [Run.create(config, ["+forget=surgery"]) for _ in range(3)]
    assert len({run.folder for run in runs}) == 3
    assert run_name(config) == "unlearn-duolearn-surgery"


def test_configuration_comes_back_as_it_went(config):
    run = Run.create(config, [])
    opened, back = Run.open(run.folder)
    assert back == config and opened.folder == run.folder


@pytest.mark.parametrize(
    ("error", "status"), [(None, "finished"), (KeyboardInterrupt(), "interrupted"), (ValueError("boom"), "failed")]
)
def test_the_folder_says_how_the_run_ended(config, error, status):
    run = Run.create(config, [])
    try:
        with run.active():
            logging.getLogger("duolearn").info("hello")
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert run.info["status"] == status
    assert run.info["error"] == ("ValueError: boom" if status == "failed" else None)
    assert "hello" in (run.folder / "log.txt").read_text()


def test_a_folder_in_use_is_refused(config):
    run = Run.create(config, [])
    run.update(status="running", pid=os.getppid())
    with pytest.raises(RunError, match="is running in"), run.active():
        pass


def test_no_run_folder(tmp_path):
    with pytest.raises(RunError, match=r"config\.yaml"):
        Run.open(tmp_path)


def test_history_can_be_cut_back(config):
    run = Run.create(config, [])
    for stage, step in (("learn", 1), ("unlearn", 1), ("unlearn", 2), ("unlearn", 3)):
        run.record({"stage": stage, "step": step})
    run.forget_history_after("unlearn", 1)
    lines = [json.loads(line) for line in (run.folder / "history.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [("learn", 1), ("unlearn", 1)]


def test_too_little_space_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(RunError, match="are free"):
        check_space(tmp_path / "not" / "there", 10**18)
    check_space(tmp_path, 1)


def test_an_unwritable_output_folder_is_a_message(config, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunError, match="output_dir"):
        Run.create(config, [])


def test_json_has_no_nan():
    assert finite({"a": [float("nan"), 1.0, (float("inf"),)]}) == {"a": [None, 1.0, [None]]}
