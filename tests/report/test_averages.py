"""Means over seeds and facts: against plain loops, and what enters their intervals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from duolearn_cli.evaluation.measures import MEASURES
from duolearn_cli.evaluation.metrics.closed_forms import paired_difference
from duolearn_cli.evaluation.metrics.seeds import Spread, difference_over_seeds, over_seeds, ratio_errors
from duolearn_cli.report.answers import Answers, facts_of, sums_by_fact, wins
from duolearn_cli.report.averages import difference_over_jobs, errors_of, mean_over_jobs, shares_target
from duolearn_cli.report.jobs import Job, read_job
from tests.formulas import parts

KPR = MEASURES["knowledge_preservation"]


def rows(after, *, before=None, facts=None, side="forget"):
    """The item file of one run: every item twice, before and after."""
    before = before if before is not None else [1] * len(after)
    found = []
    for k, (old, new) in enumerate(zip(before, after, strict=True)):
        fact = facts[k] if facts else f"f{k}"
        item = {"id": f"{side}{k}", "fact": fact, "split": f"{side}_train", "scores": [0, 0, 0, 0]}
        found += [item | {"model": "target", "correct": old}, item | {"model": "unlearned", "correct": new}]
    return found


def test_sums_are_those_of_a_loop():
    one = Answers.of(rows([1, 0, 0, 1], before=[1, 1, 0, 1], facts=["b", "a", "a", "c"]))
    assert facts_of([one], "forget") == ["a", "b", "c"] and facts_of([one], "retain") == []
    sums = sums_by_fact([one], parts("chance_corrected_forgetting"))[0]
    # In quarters: what was lost, and what was known above chance.
    assert sums.tolist() == [[4, 4 * (1 - 2 / 4)], [0, 3], [0, 3]]


def test_a_fact_that_a_run_was_not_asked_is_nothing_to_it():
    runs = [Answers.of(rows([1, 0], facts=["a", "b"])), Answers.of(rows([1], facts=["c"]))]
    sums = sums_by_fact(runs, parts("forgetting_rate"))
    assert sums[0, 2].tolist() == [0, 0] and sums[1, :2].tolist() == [[0, 0], [0, 0]]


def test_ties_count_in_whole_numbers():
    """Of four options three share the highest score: a third each, in twelfths exact."""
    row = {"id": "a", "fact": "a", "split": "forget_train", "scores": [0, 0, 0, -1], "heldout": False, "pair": None}
    answers = Answers.of([row | {"model": "target", "correct": 1.0}, row | {"model": "unlearned", "correct": 1 / 3}])
    assert sums_by_fact([answers], parts("chance_corrected_forgetting")).tolist() == [[[12 - 4, 12 - 3]]]


def test_forgetting_goes_by_gold_where_a_run_says_so(tmp_path):
    """As the run's own figure does, where chance is not 1 / number of options."""
    row = {"id": "a", "fact": "a", "split": "forget_train", "scores": [0, 0, 0, -1], "heldout": False, "pair": None}
    hits = {"target": 1.0, "gold": 1.0, "unlearned": 0.0}
    lines = (json.dumps(row | {"model": model, "correct": hit}) for model, hit in hits.items())
    (tmp_path / "predictions.jsonl").write_text("\n".join(lines))
    for source, room in (("options", 3.0), ("gold", 0.0)):
        (tmp_path / "metrics.json").write_text(json.dumps({"floor": {"source": source}}))
        answers = Answers.read(tmp_path)
        assert answers is not None
        assert sums_by_fact([answers], parts("chance_corrected_forgetting")).tolist() == [[[4.0, room]]]


def test_an_item_file_without_the_gold_that_forgetting_goes_by_is_broken(tmp_path):
    (tmp_path / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows([1, 0]))))
    assert Answers.read(tmp_path) is not None
    (tmp_path / "metrics.json").write_text(json.dumps({"floor": {"source": "gold"}}))
    assert Answers.read(tmp_path) is None


def test_errors_are_what_leaving_a_fact_out_changes():
    """To first order: of many facts the jackknife finds the same."""
    rng = np.random.default_rng(0)
    sums = np.stack([rng.random((2, 200)), 0.5 + rng.random((2, 200))], axis=-1)
    whole = sums[..., 0].sum(1) / sums[..., 1].sum(1)
    left = np.stack([np.delete(sums, k, axis=1).sum(1) for k in range(200)], axis=1)
    assert ratio_errors(sums) == pytest.approx(whole[:, None] - left[..., 0] / left[..., 1], abs=1e-4)


def test_facts_in_common_are_no_scatter_of_seeds_and_others_are():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(1, 100)), rng.normal(size=(5, 500))
    same = Spread.of(np.repeat(one, 5, axis=0))
    assert same.apart == pytest.approx(0) and same.share == pytest.approx(1)
    blocks = np.kron(np.eye(5), np.ones((1, 100)))
    apart = Spread.of(other * blocks)
    assert apart.share == pytest.approx(5**-0.5) and apart.apart == pytest.approx(apart.mean, rel=1e-9)


def estimate(value, reach=0.1):
    return {"value": value, "low": value - reach, "high": value + reach}


def test_seeds_that_agree_leave_the_interval_of_the_facts():
    """The t-interval over seeds would have been of no width, or none."""
    found = over_seeds([estimate(0.5)] * 3)
    assert (found["low"], found["high"]) == pytest.approx((0.4, 0.6))


def test_both_kinds_of_doubt_add_up():
    found = over_seeds([estimate(value) for value in (0.4, 0.5, 0.6)])
    seeds = 4.302652729911275 * 0.1 / 3**0.5  # Student's t with two degrees of freedom
    assert found["value"] - found["low"] == pytest.approx((0.1**2 + seeds**2) ** 0.5)


def test_bounds_end_where_the_figure_does():
    found = over_seeds([estimate(value) for value in (0.8, 0.95, 1.0)], limits=(0, 1))
    assert found["high"] == 1.0 and found["low"] > 0


@pytest.mark.parametrize(
    "estimates", [[estimate(0.5)] * 2, [estimate(0.5), estimate(0.5), {"value": 0.4, "low": None}]]
)
def test_no_interval_where_it_would_claim_too_much(estimates):
    assert set(over_seeds(estimates)) == {"value"}


def test_a_difference_is_paired():
    """What is hard about a fact, and about a seed, is so for both."""
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(5, 40)) / 40
    found = difference_over_seeds([0.5, 0.6, 0.7, 0.8, 0.9], [0.4, 0.5, 0.6, 0.7, 0.8], np.stack([errors, errors]))
    alone = difference_over_seeds([0.1] * 5, [0.0] * 5, np.zeros((2, 5, 40)))
    assert found["value"] == pytest.approx(0.1)
    assert (found["low"], found["high"]) == pytest.approx((alone["low"], alone["high"]))


def test_a_difference_of_answers_that_agree_is_as_wide_as_that_of_one_run():
    found = difference_over_seeds([1.0] * 3, [1.0] * 3, np.zeros((2, 3, 8)))
    low, high = paired_difference(np.zeros(8), np.ones(8))
    assert (found["low"], found["high"]) == pytest.approx((low, high), rel=0.1) and found["low"] < -0.3


def test_wins_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    items = []
    for split, name in (("forget_train", "m"), ("forget_unseen", "n")):
        for k in range(5):
            for phrasing in range(2):
                own = {"id": f"{name}{k}{phrasing}", "fact": f"{name}{k}", "split": split, "scores": [0, 0], "pair": k}
                items.append(
                    own | {"model": "unlearned", "correct": 1, "nll": float(rng.integers(4)), "heldout": False}
                )
    items[0]["nll"] = items[-1]["nll"] = 2.0
    found, asked, members = wins([Answers.of(items)])
    assert members == [f"m{k}" for k in range(5)] and asked.all()

    def loss(fact):
        own = [row["nll"] for row in items if row["fact"] == fact]
        return sum(own) / len(own)

    for i, j in np.ndindex(5, 5):
        ours, theirs = loss(f"m{i}"), loss(f"n{j}")
        assert found[0, i, j] == (1.0 if ours < theirs else 0.5 if ours == theirs else 0.0)


def jobs(folder, outcomes, **settings):
    found = []
    for seed, after in enumerate(outcomes):
        own = folder / str(seed)
        own.mkdir(parents=True)
        (own / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows(after, side="retain"))))
        scores = {"knowledge_preservation": estimate(float(np.mean(after)), 0.2)}
        found.append(Job(str(seed), {"seed": seed, "learn.seed": 0, **settings}, scores, None, own))
    return found


def test_of_jobs_on_the_same_facts(tmp_path):
    own = jobs(tmp_path, [[1, 1, 0, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    answers = [Answers.read(job.folder) for job in own]
    found = mean_over_jobs(own, KPR, answers)
    errors = errors_of(answers, KPR)
    assert found == over_seeds([job.scores["knowledge_preservation"] for job in own], errors, limits=(0, np.inf))
    assert found["value"] == pytest.approx(2 / 3)
    # A broken item file tells nothing of what the runs have in common.
    (own[1].folder / "predictions.jsonl").write_text("{")
    broken = [Answers.read(job.folder) for job in own]
    wider = mean_over_jobs(own, KPR, broken)
    assert broken[1] is None and wider["high"] - wider["low"] > found["high"] - found["low"]
    assert set(mean_over_jobs([own[0], own[0], own[1]], KPR, answers)) == {"value"}
    assert mean_over_jobs(own, MEASURES["hmta"], answers) is None


def test_a_difference_of_jobs(tmp_path):
    first = jobs(tmp_path / "a", [[1, 1, 0, 1]] * 3)
    second = jobs(tmp_path / "b", [[0, 1, 0, 1]] * 3)
    found = difference_over_jobs(first, second, KPR)
    assert found["value"] == pytest.approx(0.25) and found["low"] < 0.25 < found["high"]
    assert difference_over_jobs([], [], KPR) is None


def test_jobs_of_one_target_are_told_from_those_of_several(tmp_path):
    own = jobs(tmp_path, [[1, 0]] * 3)
    assert shares_target(own) and not shares_target(own[:1])
    several = [Job(str(k), {"seed": k, "learn.seed": k}, {}) for k in range(3)]
    assert not shares_target(several)


def test_splits_of_several_seeds_have_several_targets(tmp_path):
    split = [Job(str(k), {"seed": 0, "split.seed": k, "learn.seed": 0}, {}) for k in range(3)]
    assert not shares_target(split)
    # What run.json tells goes before the settings: the same items, in another order of the split.
    assert shares_target([replace(job, target="target-1") for job in split])
    own = [Job(str(k), {"seed": k, "learn.seed": 0}, {}, target=f"target-{k}") for k in range(3)]
    assert not shares_target(own)


def test_rows_of_a_sweep_have_a_target_each():
    both = [
        Job(f"{name}{k}", {"model.name": name, "seed": k, "learn.seed": 0}, {}, target=f"target-{name}")
        for name in ("a", "b")
        for k in range(3)
    ]
    assert shares_target(both)


def test_the_target_of_a_job_is_that_of_its_run(tmp_path):
    assert read_job(tmp_path).target is None
    (tmp_path / "run.json").write_text(json.dumps({"target_model": "target-1"}))
    assert read_job(tmp_path).target == "target-1"
