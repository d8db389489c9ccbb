import json
import math
import subprocess
import sys

from omegaconf import OmegaConf

from duolearn_cli.report.jobs import Job, flatten, read_jobs, varying
from duolearn_cli.report.sweep import SweepTable, beside_mia, over_seeds, sweep_table
from duolearn_cli.report.tables import DASH

SCORES = {
    "forgetting_rate": {"value": 0.75, "low": 0.7, "high": 0.8, "n": 90, "higher_is_better": True},
    "knowledge_preservation": {"value": 0.97, "low": 0.95, "high": 0.99, "n": 90, "higher_is_better": True},
    "mia_score": {"value": math.nan, "low": None, "high": None, "n": 0, "higher_is_better": True},
}


def job(name, scores=SCORES, **settings):
    return Job(name, {"model.name": "tiny", **{k.replace("__", "."): v for k, v in settings.items()}}, scores)


def test_only_what_varies_is_shown_before_the_scores():
    table = sweep_table([job("0", seed=0), job("1", None, seed=1)])
    said = ("Recall of retain answers (%) ↑", "Recall of retain answers, share of the target's (%) ↑")
    attacks = ("MIA score ↑", "MIA score, worst attack ↑")
    labels = ("FR (%)", "Chance-corrected forgetting (%) → 100", "KPR (%) ↑", *said, "HMTA (%) ↑", *attacks)
    assert table.header == ("seed", *labels, "job")
    assert table.rows == (
        ("0", "75.0 [70.0, 80.0]", DASH, "97.0 [95.0, 99.0]", DASH, DASH, DASH, DASH, DASH, "0"),
        ("1", *[DASH] * 8, "1, failed"),
    )
    assert "warnings" not in table.title


def test_one_job_has_no_settings_column():
    assert sweep_table([job("0")]).header[0] == "FR (%)"


def test_settings_that_follow_from_the_chosen_option_are_left_out():
    duo = {"method._target_": "duolearn_cli.methods.duolearn.DuoLearn", "method.tau": -1.0, "method.beta": 1.0}
    npo = {"method._target_": "duolearn_cli.methods.npo.NPO", "method.beta": 0.1}
    jobs = [Job("0", duo, SCORES), Job("1", npo, SCORES)]
    assert varying(jobs) == ["method._target_"]
    assert sweep_table(jobs).header[0] == "method"
    assert [row[0] for row in sweep_table(jobs).rows] == ["DuoLearn", "NPO"]
    jobs.append(Job("2", npo | {"method.beta": 0.2}, SCORES))
    assert varying(jobs) == ["method._target_", "method.beta"]


def test_an_ablation_stands_for_the_settings_it_changes():
    jobs = [job("0", ablation="full", method__tau=-1.0, seed=0), job("1", ablation="none", method__tau=0.0, seed=0)]
    assert varying(jobs) == ["ablation"]
    jobs += [job("2", ablation="full", method__tau=-1.0, seed=1)]
    assert varying(jobs) == ["ablation", "seed"]


def test_means_over_seeds_have_the_facts_in_their_intervals():
    """The seeds alone would give 94.0 [84.1, 103.9]: t with two degrees of freedom, 4.303 * 0.04 / sqrt(3)."""

    def scored(value):
        one = {"value": value, "low": value - 0.05, "high": value + 0.02, "n": 9, "higher_is_better": True}
        return {"forgetting_rate": one, "mia_score": one}

    jobs = [job(str(n), scored(v), seed=n, split__seed=n, method__x="a") for n, v in enumerate((0.90, 0.94, 0.98))]
    jobs += [job("3", scored(0.5), seed=0, split__seed=0, method__x="b"), job("4", None, seed=1, method__x="b")]
    table = over_seeds(jobs)
    assert table.header[0] == "method.x" and table.header[-1] == "seeds"
    assert [row[0] for row in table.rows] == ["a", "b"]
    low = 94 - 100 * math.hypot(0.05, 4.302652729911275 * 0.04 / 3**0.5)
    assert table.rows[0][1] == f"94.0 [{low:.1f}, 100.0]" and table.rows[0][-1] == "3"
    assert table.rows[0][7].endswith(", 1.000]")
    assert table.rows[1][1] == "50.0" and table.rows[1][-1] == "1"
    two = over_seeds(jobs[:2])
    assert two.rows[0][0] == "92.0" and two.rows[0][-1] == "2"
    assert over_seeds([jobs[0], jobs[0]]) is None
    assert over_seeds(jobs[:1]) is None and over_seeds([jobs[0], jobs[3]]) is None


def test_neither_forgetting_too_little_nor_too_much_is_called_better():
    header = sweep_table([job("0")]).header
    assert "FR (%)" in header and "Chance-corrected forgetting (%) → 100" in header and "KPR (%) ↑" in header


def test_a_failed_job_without_configuration_adds_no_column():
    jobs = [job("0", seed=0), job("1", seed=0), Job("2", {}, None)]
    assert varying(jobs) == []


def test_flatten_keeps_lists_and_empty_groups():
    nested = {"a": {"b": 1, "c": [1, 2]}, "d": {}, "e": None}
    assert dict(flatten(nested)) == {"a.b": 1, "a.c": [1, 2], "d": {}, "e": None}


def sweep_folder(tmp_path, write_run, metrics):
    for number in (0, 2, 10):
        write_run(tmp_path / str(number), metrics | {"seed": number})
    (tmp_path / "1").mkdir()
    (tmp_path / "2" / "metrics.json").write_text("{")
    return tmp_path


def test_jobs_are_read_in_order_and_broken_ones_failed(tmp_path, write_run, metrics):
    jobs = read_jobs(sweep_folder(tmp_path, write_run, metrics))
    assert [(j.name, j.scores is None) for j in jobs] == [("0", False), ("1", True), ("2", True), ("10", False)]
    assert jobs[0].settings["forget.name"] == "surgery"


def test_the_callback_prints_and_writes(tmp_path, write_run, metrics, capsys):
    folder = sweep_folder(tmp_path, write_run, metrics)
    SweepTable().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}}))
    printed = capsys.readouterr().out
    assert "| seed |" in printed and "1, failed" in printed and "73.1 [68.1, 78.1]" in printed
    assert "| seed |" in (folder / "sweep.md").read_text()
    written = json.loads((folder / "sweep.json").read_text())
    assert written["schema"] == 1
    assert written["jobs"][3]["settings"] == {"seed": 10}
    assert written["jobs"][3]["scores"]["forgetting_rate"]["value"] == 0.731
    assert written["jobs"][3]["scores"]["chance_corrected_forgetting"]["value"] is None
    assert [entry["status"] for entry in written["jobs"]] == ["finished", "failed", "failed", "finished"]


def test_warnings_and_what_was_found_stand_below_the_table(tmp_path, write_run, metrics, capsys):
    scores = metrics["models"]["unlearned"]["scores"]
    scores["retain_recall_share"] = scores["mia_auc"] | {"value": 0.04, "low": 0.01, "high": 0.07}
    doubtful = metrics | {"flags": ["Ranking and saying disagree."], "flagged": ["knowledge_preservation"]}
    for number in (0, 1):
        write_run(tmp_path / str(number), doubtful | {"seed": number})
    write_run(tmp_path / "2", metrics | {"seed": 2, "flags": []})
    SweepTable().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    printed, page = capsys.readouterr().out, (tmp_path / "sweep.md").read_text()
    for text in (printed, page):
        assert "jobs 0, 1: Ranking and saying disagree." in text and text.count("Ranking and saying") == 1
        assert "all jobs: KPR 96.8 %; Recall of retain answers, share of the target's 4.0 %" in text
        assert "warnings in 2 of 3 jobs" in text and text.index("| seed |") < text.index("jobs 0, 1:")
        assert text.count("96.8 [94.8, 98.8] (!)") == 2
    assert "Sweep, with 95 % intervals; (!): see the warnings" in printed
    written = json.loads((tmp_path / "sweep.json").read_text())["jobs"]
    assert written[0]["flags"] == ["Ranking and saying disagree."] and written[2]["flags"] == []


def test_a_terminal_is_spared_a_hundred_warnings(tmp_path, write_run, metrics, capsys):
    for number in range(2):
        flags = [f"Warning {number}-{k}." for k in range(15)]
        write_run(tmp_path / str(number), metrics | {"seed": number, "flags": flags})
    SweepTable().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert "10 more warnings: see sweep.md" in capsys.readouterr().out
    assert "Warning 1-14." in (tmp_path / "sweep.md").read_text()


def test_an_empty_or_missing_sweep_folder_prints_nothing(tmp_path, capsys):
    SweepTable().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "none")}}}))
    assert capsys.readouterr().out == ""


def test_hydra_calls_it(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "defaults: [_self_]\nseed: 0\nhydra:\n  output_subdir: null\n"
        "  sweep: {dir: swept, subdir: '${hydra.job.num}'}\n"
        "  callbacks: {table: {_target_: duolearn_cli.report.sweep.SweepTable}}\n"
    )
    (tmp_path / "app.py").write_text(
        "import hydra\n@hydra.main(version_base='1.3', config_path='.', config_name='config')\n"
        "def main(config):\n    pass\nmain()\n"
    )
    command = [sys.executable, "-W", "error::UserWarning", "app.py", "-m", "seed=0,1"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "1, failed" in result.stdout and (tmp_path / "swept" / "sweep.json").is_file()


def test_mia_scores_stand_beside_golds_and_what_is_expected():
    def one(value):
        return {"value": value, "low": None, "high": None, "n": 60, "higher_is_better": True}

    scores = {"mia_score": one(0.96), "mia_expected": one(0.88), "mia_worst_expected": one(0.8)}
    jobs = [Job(str(k), {"seed": k}, scores, gold={"mia_score": one(0.9 + k / 20)}) for k in (0, 1)]
    told = "gold 0.900 to 0.950; if members did not differ from non-members 0.880"
    assert beside_mia(jobs) == [
        f"MIA score: {told}.",
        "MIA score, worst attack: if members did not differ from non-members 0.800.",
    ]
    assert beside_mia([job("0"), job("1", None)]) == []
