"""The price of privacy in a sweep, and what all of its models together spend."""

import json
import math
from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from duolearn_cli.privacy.account import composed_by_set
from duolearn_cli.privacy.accounting import Spending, epsilon
from duolearn_cli.report.jobs import Job, read_jobs
from duolearn_cli.report.price import price_table, released_together, sweep_note
from duolearn_cli.report.sweep import SweepTable
from duolearn_cli.report.tables import DASH
from tests.privacy.test_account import account, entry, spent


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
    # The seeds alone would give [-13.0, -3.0]; without item files nobody knows what the facts add.
    assert table.rows[0][5:7] == ("92.0", "-8.0")
    assert table.rows[1] == ("eps8", "60.0", "-20.0", DASH, DASH, "95.0", "-5.0", "1")


def test_differences_are_paired_by_fact_too(tmp_path):
    found = []
    for level, every in (("none", 6), ("eps4", 3)):
        for seed in range(3):
            folder = tmp_path / f"{level}{seed}"
            folder.mkdir()
            rows = [
                {"model": model, "id": str(k), "fact": f"f{k}", "split": "retain_train", "scores": [0, 0]}
                | {"correct": model == "target" or bool((k + seed) % every)}
                for k in range(60)
                for model in ("target", "unlearned")
            ]
            (folder / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows)))
            own = job(f"{level}{seed}", level, seed, 0.5, 1 - 1 / every)
            found.append(replace(own, folder=folder))
    value, _, ends = price_table(found).rows[0][6].partition(" ")
    low, high = map(float, ends.strip("[]").split(", "))
    assert value == "-16.7" and low < -16.7 < high < 0


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


def test_a_run_of_unknown_settings_is_no_baseline():
    lost = Job("1", {}, {"forgetting_rate": {"value": 0.9}})
    assert price_table([job("0", "eps4", 0, 0.5, 0.9), lost]) is None


def test_models_released_together():
    jobs = [job(str(s), "eps4", s, 0.5, 0.9, account(entry())) for s in range(3)]
    together = released_together([*jobs, Job("3", {}, None)])
    assert together.epsilon["retain"] == epsilon([Spending(1.0, 0.1, 20)] * 3, 1e-5)
    note = sweep_note([*jobs, Job("3", {}, None)], together)
    assert "4 runs on the same records" in note and "All 3 models of finished runs" in note
    assert "Choosing among them is not part of each run's epsilon" in note
    told = ", ".join(f"{together.epsilon[name]:.3g} ({name})" for name in ("retain", "forget"))
    assert f"spend at most epsilon {told} at delta 1e-05" in note and "promised" not in note


def test_runs_without_privacy_tell_everything():
    jobs = [job("0", "eps4", 0, 0.5, 0.9, account(entry())), job("1", "none", 0, 0.8, 1.0)]
    together = released_together(jobs)
    assert together.epsilon == {"retain": math.inf, "forget": math.inf}
    assert together.as_dict()["epsilon_together"] == {"retain": None, "forget": None}
    assert "infinite (retain), infinite (forget)" in sweep_note(jobs, together)
    assert "1 of them have no privacy account" in sweep_note(jobs, together)
    assert released_together([jobs[1]]) is None and sweep_note([jobs[1]], None) is None


def test_a_set_that_one_run_leaves_unprotected_is_infinite():
    jobs = [job(str(s), "eps4", s, 0.5, 0.9, account(entry(forget=noise))) for s, noise in ((0, 2.0), (1, None))]
    together = released_together(jobs)
    assert together.epsilon == {"retain": pytest.approx(spent(1.0, 1.0)), "forget": math.inf}
    assert "Infinite: the set is not protected in every run." in sweep_note(jobs, together)


def test_noise_from_a_seed_promises_nothing_for_the_sweep():
    jobs = [job(str(s), "eps4", s, 0.5, 0.9, account(entry(randomness=r))) for s, r in ((0, "secure"), (1, "seeded"))]
    together = released_together(jobs)
    assert "No privacy is promised" in sweep_note(jobs, together)
    assert together.as_dict()["promise_together"] is False


def test_units_that_differ_cannot_be_added_up():
    own = account(entry())
    jobs = [job("0", "eps4", 0, 0.5, 0.9, own), job("1", "eps4", 0, 0.5, 0.9, replace(own, unit="patient"))]
    together = released_together(jobs)
    assert set(together.epsilon.values()) == {math.inf}
    assert "different units (example, patient)" in sweep_note(jobs, together)


def test_a_record_that_changes_sets_pays_for_both():
    """To forget in one run and to retain in another: neither set's own sum bounds that."""
    jobs = [job(n, "eps4", 0, 0.5, 0.9, account(entry()), **{"forget.name": n}) for n in ("surgery", "skin")]
    together = released_together(jobs)
    assert together.epsilon == pytest.approx(dict.fromkeys(("retain", "forget"), spent(1.0, 2.0, 1.0, 2.0)))
    assert "as if it were in both sets" in sweep_note(jobs, together)
    bare = job("2", "eps4", 0, 0.5, 0.9, account(entry(forget=None)), **{"forget.name": "ears"})
    assert set(released_together([*jobs, bare]).epsilon.values()) == {math.inf}


def test_a_sum_is_never_below_what_one_of_its_runs_spent():
    for own in (account(entry()), account(entry(shared=True)), account(entry(), entry(retain=3.0, forget=1.5))):
        assert composed_by_set([own]) == pytest.approx(own.spent())


def test_a_stage_that_several_models_began_with_is_paid_once():
    first, second = entry(), replace(entry(), start="target-a")
    assert composed_by_set([account(first, second)] * 2)["forget"] == pytest.approx(spent(1.0, 2.0, 2.0))
    # Two models that were made alike are two all the same.
    other = account(first, replace(entry(), start="target-b"))
    assert composed_by_set([account(first, second), other])["forget"] == pytest.approx(spent(1.0, 1.0, 2.0, 2.0))
    # Without a name nobody knows which they were.
    unnamed = account(first, entry())
    assert composed_by_set([unnamed, unnamed])["retain"] == pytest.approx(spent(1.0, 1.0, 1.0, 1.0))


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
    said = json.loads((tmp_path / "sweep.json").read_text())
    retain = epsilon([Spending(1.0, 0.1, 20)] * 2, 1e-5)
    assert said["epsilon_together"] == {"retain": retain, "forget": None}
    assert said["delta_together"] == 1e-5 and said["promise_together"] is True
    SweepTable().on_multirun_end(OmegaConf.create(config | {"command": "audit"}))
    assert capsys.readouterr().out == ""
