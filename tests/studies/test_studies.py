"""Studies and tables say what is wrong with their settings, and leave nothing."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from duolearn_cli.benchmarks.methods.record import Result, write_record
from duolearn_cli.benchmarks.methods.results import figures
from duolearn_cli.report.benchmark import benchmark_table
from tests.benchmarks.methods.folders import leave_run
from tests.scripts import load

SCRIPTS = Path(__file__).parents[2] / "scripts"
STUDIES = SCRIPTS / "studies"


@pytest.mark.parametrize(
    "script, before",
    [("answer_form_study", []), ("coordinate_study", []), ("geometry_study", ["run", "found", "0/1", "1"])],
)
def test_a_wrong_setting_is_told_without_a_traceback(script, before, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [script, *before, "+forget=surgary"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(STUDIES / f"{script}.py"), run_name="__main__")
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
        runpy.run_path(str(STUDIES / "geometry_study.py"), run_name="__main__")
    assert str(ended.value).startswith(f"error: {told}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the memory table asks Linux for what is resident")
def test_the_memory_table_tells_which_configuration_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["memory_table", "found.json", "wrong: +forget=surgary"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(STUDIES / "memory_table.py"), run_name="__main__")
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


def ablation_jobs(folder, split_seeds):
    """Jobs of `full` and of one ablation that has every third answer wrong instead of every fourth."""
    for name, every in (("full", 4), ("no_boundary", 3)):
        for seed, split in enumerate(split_seeds):
            job = folder / f"{name}-{seed}"
            job.mkdir(parents=True)
            seeds = {"seed": seed, "split": {"seed": split}, "learn": {"seed": 0}}
            (job / "config.yaml").write_text(json.dumps({"ablation": name, **seeds}), encoding="utf-8")
            rows = [
                {
                    "model": "unlearned",
                    "split": f"{side}_train",
                    "id": f"{side}{split}-{k}",
                    "fact": f"{side}{split}-{k}",
                }
                | {"correct": bool(k % every)}
                for side in ("forget", "retain")
                for k in range(48)
            ]
            (job / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
            scores = {
                key: {"value": 0.5} for key in ("chance_corrected_forgetting", "knowledge_preservation", "mia_auc")
            }
            splits = {f"{side}_train": {"nll": {"value": 1.0}} for side in ("forget", "retain")}
            metrics = {"models": {"unlearned": {"scores": scores, "splits": splits}}}
            (job / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return folder


def test_the_ablation_table_counts_a_fact_once(tmp_path):
    """The same facts under three seeds are no more than under one; three splits have three times as many."""
    scripts = load("ablation_table")
    same, apart = (
        scripts.difference(found["no_boundary"], found["full"], "forget")
        for found in (
            scripts.read(ablation_jobs(tmp_path / name, own)) for name, own in (("a", [1] * 3), ("b", [1, 2, 3]))
        )
    )
    assert same["value"] == apart["value"] == pytest.approx(32 / 48 - 36 / 48)
    width = {name: own["high"] - own["low"] for name, own in (("same", same), ("apart", apart))}
    # Not quite: the facts that were not seen are as many for both.
    assert width["same"] == pytest.approx(3**0.5 * width["apart"], rel=0.08)
    table = scripts.table(scripts.read(tmp_path / "a"))
    assert table.rows[1][0] == "no_boundary" and table.rows[1][5].startswith("-8.3 [")


def test_the_results_table_gives_p_values_no_mean(tmp_path):
    scripts = load("results_table")
    assert scripts.mean([0.01, 0.4, None], ("gold", "forget", "ks_p_value")) == "0.010 to 0.400"
    own = [{"value": value, "low": value - 0.2, "high": value + 0.2} for value in (0.9, 0.95, 1.0)]
    shown = scripts.mean(own, ("scores", "mia_score"))
    assert shown.startswith("0.950 [0.7") and shown.endswith(", 1.000]")
    assert scripts.mean(own, ("gold", "forget", "likeness", "nll")) > shown
    assert scripts.mean([0.1, 0.2], ("gold", "forget", "ks")) == "0.150"


def test_the_results_table_is_made_from_the_answers_of_a_benchmark(tmp_path, monkeypatch, capsys):
    given = {name: {8: [Result.read(left(tmp_path / name, seed)) for seed in range(3)]} for name in ("a", "b")}
    about = {"schema": 2, "forget": "surgery", "dataset": "minimed", "model": "tiny", "privacy": "none", "search": {}}
    about |= {"criterion": "distance", "seed": 0, "seeds": [0, 1, 2]}
    about["methods"] = {name: {"choice": 0, "trials": []} for name in given}
    made = figures(about, given)
    write_record(tmp_path / "answers.json.gz", made, given)
    monkeypatch.setattr("sys.argv", ["results_table", str(tmp_path / "answers.json.gz")])
    runpy.run_path(str(SCRIPTS / "results_table.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert benchmark_table(made).markdown() in printed and "share one target" in printed
    (tmp_path / "answers.json.gz").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"error: .* is no answers\.json\.gz"):
        runpy.run_path(str(SCRIPTS / "results_table.py"), run_name="__main__")


def left(folder, seed):
    leave_run(folder / f"epochs-8-seed-{seed}", 0.6, 0.9, seed=seed)
    return folder / f"epochs-8-seed-{seed}"
