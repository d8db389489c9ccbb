"""The price of privacy in a sweep, and what all of its models together spend."""

import json
import math

from omegaconf import OmegaConf

from duolearn_cli.privacy.accounting import Spending, epsilon
from duolearn_cli.report.jobs import Job, read_jobs
from duolearn_cli.report.price import price_table, released_together, sweep_note
from duolearn_cli.report.sweep import SweepTable
from duolearn_cli.report.tables import DASH
from tests.privacy.test_account import account, entry


def job(name, level, seed, rate, kept, given=None, **settings):
    scores = {"forgetting_rate": {"value": rate}, "knowledge_preservation": {"value": kept}}
    budget = {"privacy.name": level, "privacy.epsilon": None if level == "none" else float(level[3:])}
    return Job(name, {**budget, "seed": seed, "split.seed": 0, **settings}, scores, given)


def test_differences_are_paired_by_seed():
    jobs = [job(str(s), "none", s, 0.8 + s / 100, 1.0) for s in range(3)]
    jobs += [job(str(3 + s), "eps4", s, 0.5 + s / 100, 0.9 + s / 50) for s in range(3)]
    jobs += [job("6", "eps8", 0, 0.6, 0.95), Job("7", {}, None)]
    table = price_table(jobs)
    assert table.header[0] == "privacy" and table.header[-1] == "seeds"
    assert [row[0] for row in table.rows] == ["eps4", "eps8"]
    # Seeds move both alike: a difference without spread has no interval.
    assert table.rows[0][1:3] == ("51.0", "-30.0")
    assert table.rows[0][3:5] == (DASH, DASH)
    # t with two degrees of freedom: 4.303 * 2 / sqrt(3)
    assert table.rows[0][5:7] == ("92.0", "-8.0 [-13.0, -3.0]")
    assert table.rows[1] == ("eps8", "60.0", "-20.0", DASH, DASH, "95.0", "-5.0", "1")


def test_other_settings_are_compared_with_their_own():
    jobs = [
        job(f"{level}{lr}", level, 0, 0.1 * lr + (level == "none"), 1.0, **{"unlearn.learning_rate": lr})
        for level in ("none", "eps1")
        for lr in (1, 2)
    ]
    rows = {row[:2]: row[3] for row in price_table(jobs).rows}
    assert rows == {("1", "eps1"): "-100.0", ("2", "eps1"): "-100.0"}


def test_nothing_to_compare():
    assert price_table([job("0", "none", 0, 0.8, 1.0), job("1", "none", 1, 0.8, 1.0)]) is None
    assert price_table([job("0", "eps4", 0, 0.8, 1.0), job("1", "eps8", 0, 0.8, 1.0)]) is None


def test_models_released_together():
    jobs = [job(str(s), "eps4", s, 0.5, 0.9, account(entry())) for s in range(3)]
    together = released_together([*jobs, Job("3", {}, None)])
    assert together["retain"] == epsilon([Spending(1.0, 0.1, 20)] * 3, 1e-5)
    note = sweep_note(jobs, together)
    assert "3 runs on the same records" in note and f"retain: {together['retain']:.3g}" in note
    mixed = released_together([*jobs, job("3", "none", 0, 0.8, 1.0)])
    assert mixed == {"retain": math.inf, "forget": math.inf}
    assert "retain: infinite" in sweep_note(jobs, mixed)
    assert released_together([job("0", "none", 0, 0.8, 1.0)]) == {} and sweep_note(jobs, {}) is None


def test_the_callback_tells_the_sum(tmp_path, write_run, metrics, capsys):
    for number in (0, 1):
        folder = write_run(tmp_path / str(number), metrics | {"seed": number})
        (folder / "adapter").mkdir()
        account(entry(forget=None)).write(folder / "adapter")
    (tmp_path / "1" / "adapter" / "privacy.json").write_text("{")
    assert [found.account is None for found in read_jobs(tmp_path)] == [False, True]
    account(entry(forget=None)).write(tmp_path / "1" / "adapter")
    config = {"hydra": {"sweep": {"dir": str(tmp_path)}}}
    SweepTable().on_multirun_end(OmegaConf.create(config))
    assert "Choosing among them" in capsys.readouterr().out
    assert "Choosing among them" in (tmp_path / "sweep.md").read_text()
    said = json.loads((tmp_path / "sweep.json").read_text())["epsilon_together"]
    assert said["forget"] is None and said["retain"] == epsilon([Spending(1.0, 0.1, 20)] * 2, 1e-5)
    SweepTable().on_multirun_end(OmegaConf.create(config | {"command": "audit"}))
    assert capsys.readouterr().out == ""
