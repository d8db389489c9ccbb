"""The studies in scripts/ say what is wrong with their settings, and leave nothing."""

import json
import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.mark.parametrize(
    "script, before",
    [("answer_form_study", []), ("coordinate_study", []), ("geometry_study", ["run", "found", "0/1", "1"])],
)
def test_a_wrong_setting_is_told_without_a_traceback(script, before, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [script, *before, "+forget=surgary"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
    assert str(ended.value).startswith("error: forget=surgary: ") and "did you mean 'surgery'?" in str(ended.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "part, every, variant, told",
    [
        ("half", "1", "none", "PART/PARTS is 'half'"),
        ("2/2", "1", "none", "PART/PARTS is '2/2'"),
        ("0/1", "0", "none", "EVERY is '0'"),
        ("0/1", "1", "nope", "only=nope"),
    ],
)
def test_the_geometry_study_tells_which_argument_is_wrong(part, every, variant, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["run", "found", part, every, f"only={variant}", "+forget=surgery"]
    monkeypatch.setattr("sys.argv", ["geometry_study", *given])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / "geometry_study.py"), run_name="__main__")
    assert str(ended.value).startswith(f"error: {told}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the memory table asks Linux for what is resident")
def test_the_memory_table_tells_which_configuration_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["memory_table", "found.json", "wrong: +forget=surgary"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / "memory_table.py"), run_name="__main__")
    message = str(ended.value)
    assert message.startswith("wrong: +forget=surgary\nerror: forget=surgary: ") and "Traceback" not in message
    assert not list(tmp_path.iterdir())


def test_the_ablation_table_asks_for_the_full_method(tmp_path, monkeypatch):
    job = tmp_path / "0"
    job.mkdir()
    seeds = {"seed": 0, "split": {"seed": 0}, "learn": {"seed": 0}}
    (job / "config.yaml").write_text(json.dumps({"ablation": "no_boundary", **seeds}), encoding="utf-8")
    splits = {f"{side}_train": {"nll": {"value": 1.0}} for side in ("forget", "retain")}
    metrics = {"models": {"unlearned": {"scores": {}, "splits": splits}}}
    (job / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (job / "predictions.jsonl").touch()
    monkeypatch.setattr("sys.argv", ["ablation_table", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / "ablation_table.py"), run_name="__main__")
    assert str(ended.value).startswith("error: ") and "no finished job of +ablation=full" in str(ended.value)
