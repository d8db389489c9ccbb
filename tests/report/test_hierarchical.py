"""Means over seeds and facts against a plain loop, and against what is known of their spread."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from duolearn_cli.report.hierarchical import SCORES, estimate, over_seeds_and_facts, sums_by_fact
from duolearn_cli.report.jobs import Job


def rows(after, *, before=None, facts=None, side="forget"):
    """The item file of one run: every item twice, before and after."""
    before = before if before is not None else [1] * len(after)
    found = []
    for k, (old, new) in enumerate(zip(before, after, strict=True)):
        fact = facts[k] if facts else f"f{k}"
        item = {"id": f"i{k}", "fact": fact, "split": f"{side}_train", "scores": [0, 0, 0, 0]}
        found += [item | {"model": "target", "correct": old}, item | {"model": "unlearned", "correct": new}]
    return found


def test_the_value_is_the_mean_of_the_runs():
    runs = [rows([1, 0, 0, 0]), rows([1, 1, 0, 0], before=[1, 1, 1, 0])]
    assert estimate(runs, *SCORES["forgetting_rate"]).value == pytest.approx((3 / 4 + 2 / 4) / 2)
    corrected = ((4 - 1) / (4 - 1) + (3 - 2) / (3 - 1)) / 2
    assert estimate(runs, *SCORES["chance_corrected_forgetting"]).value == pytest.approx(corrected)
    kept = [rows([1, 0], side="retain"), rows([1, 1], side="retain")]
    assert estimate(kept, *SCORES["knowledge_preservation"]).value == pytest.approx(0.75)
    assert estimate(runs, *SCORES["knowledge_preservation"]) is None


def test_the_spread_is_that_of_seeds_and_facts():
    """Seeds that agree leave the spread of facts alone, which they share; seeds that differ add theirs."""
    rng = np.random.default_rng(0)
    one = (rng.random(100) < 0.3).astype(int).tolist()
    same = estimate([rows(one)] * 5, *SCORES["forgetting_rate"])
    wald = 1.96 * math.sqrt(np.mean(one) * (1 - np.mean(one)) / 100)
    assert (same.high - same.low) / 2 == pytest.approx(wald, rel=0.15)
    apart = estimate([rows([1] * k + [0] * (100 - k)) for k in (10, 20, 30, 40, 50)], *SCORES["forgetting_rate"])
    assert apart.high - apart.low > 1.5 * (same.high - same.low)


def test_facts_that_seeds_do_not_share_are_drawn_apart():
    """Five times as many facts: less spread than five seeds on the same ones."""
    rng = np.random.default_rng(0)
    draws = [(rng.random(60) < 0.5).astype(int).tolist() for _ in range(5)]
    apart = [rows(draw, facts=[f"s{s}-{k}" for k in range(60)]) for s, draw in enumerate(draws)]
    shared = [rows(draws[0]) for _ in draws]
    found = [estimate(runs, *SCORES["forgetting_rate"]) for runs in (apart, shared)]
    assert found[0].high - found[0].low < 0.8 * (found[1].high - found[1].low)


def jobs(tmp_path, count):
    found = []
    for seed in range(count):
        folder = tmp_path / str(seed)
        folder.mkdir(parents=True)
        content = rows([1, 0, 0, 0, 1]) + rows([1, 1, 0, 1], side="retain")
        (folder / "predictions.jsonl").write_text("\n".join(map(json.dumps, content)))
        found.append(Job(str(seed), {"seed": seed, "method._target_": "a.Npo"}, {"forgetting_rate": {}}, None, folder))
    return found


def test_the_table_has_what_three_seeds_have(tmp_path):
    assert over_seeds_and_facts(jobs(tmp_path / "few", 2)) is None
    found = jobs(tmp_path / "many", 3)
    table = over_seeds_and_facts(found)
    assert table.rows[0][0].startswith("60.0 [") and table.rows[0][-1] == "3"
    (found[1].folder / "predictions.jsonl").write_text("{")
    assert over_seeds_and_facts(found) is None


def test_ties_count_in_whole_numbers():
    """Of four options three share the highest score: a third each, in twelfths exact."""
    row = {"id": "a", "fact": "a", "split": "forget_train", "scores": [0, 0, 0, -1]}
    rows = [row | {"model": "target", "correct": 1.0}, row | {"model": "unlearned", "correct": 1 / 3}]
    sums = sums_by_fact([rows], *SCORES["chance_corrected_forgetting"])
    assert sums.tolist() == [[[12 - 4, 12 - 3]]]
