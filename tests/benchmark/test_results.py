"""Aggregates over runs against plain loops over their item files."""

import json

import numpy as np
import pytest

from duolearn_cli.benchmark.results import outcome, references, volumes
from tests.benchmark.folders import leave_run


def leave_methods(tmp_path, points, seeds=(0, 1, 2), auc=0.5):
    """A run a seed of each method; `points` are by method its (forgotten, kept) by number of passes."""
    found = {}
    for name, by_epochs in points.items():
        for epochs, point in by_epochs.items():
            for seed in seeds:
                folder = tmp_path / name / f"epochs-{epochs}-seed-{seed}"
                leave_run(folder, *point, seed=seed, auc=auc)
                found.setdefault(name, {}).setdefault(epochs, []).append(folder)
    return found


def point_of(folder):
    """Forgetting and keeping of a run, by a loop over its item file."""
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    after = {row["id"]: row for row in rows if row["model"] == "unlearned"}
    drop = possible = kept = known = 0.0
    for row in rows:
        if row["model"] != "target":
            continue
        if row["split"].startswith("forget"):
            drop += row["correct"] - after[row["id"]]["correct"]
            possible += row["correct"] - 1 / 4
        else:
            kept, known = kept + after[row["id"]]["correct"], known + row["correct"]
    return min(max(drop / possible, 0), 1), kept / known


def test_the_volume_of_one_run_a_seed_is_the_mean_of_rectangles(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}})
    areas = [np.prod(point_of(folder)) for folder in found["a"][8]]
    whole = volumes(found)["a"]
    assert whole["hypervolume"]["value"] == pytest.approx(np.mean(areas))
    assert whole["hypervolume"]["low"] < np.mean(areas) < whole["hypervolume"]["high"]
    assert whole["behind"] is None and whole["best"] == "a" and whole["seeds"] == 3


def test_the_volume_of_two_numbers_of_passes_is_of_what_either_dominates(tmp_path):
    found = leave_methods(tmp_path, {"a": {1: (0.3, 0.95), 5: (0.7, 0.6)}}, seeds=(0,))
    (x1, y1), (x5, y5) = (point_of(found["a"][epochs][0]) for epochs in (1, 5))
    assert x1 < x5 and y1 > y5
    assert volumes(found)["a"]["hypervolume"]["value"] == pytest.approx(x1 * y1 + (x5 - x1) * y5)


def test_the_volume_with_the_mia_score_is_the_mean_of_boxes(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}}, auc=0.8)
    boxes = [np.prod(point_of(folder)) * (1 - 2 * 0.3) for folder in found["a"][8]]
    whole = volumes(found)["a"]["hypervolume_mia"]
    assert whole["value"] == pytest.approx(np.mean(boxes))
    half = 4.302652729911275 * np.std(boxes, ddof=1) / 3**0.5  # Student's t with two degrees of freedom
    assert (whole["low"], whole["high"]) == pytest.approx((np.mean(boxes) - half, np.mean(boxes) + half))
    leave_also(tmp_path, found, "a", "diverged", 3)
    assert volumes(found)["a"]["hypervolume_mia"]["value"] == pytest.approx(sum(boxes) / 4)


def test_a_method_that_is_clearly_worse_is_behind_beyond_its_interval(tmp_path):
    points = {"good": {8: (0.75, 0.98)}, "bad": {8: (0.2, 0.7)}, "same": {8: (0.75, 0.97)}}
    found = volumes(leave_methods(tmp_path, points))
    assert found["bad"]["best"] in ("good", "same")
    assert found["bad"]["behind"]["low"] > 0
    other = next(name for name in ("good", "same") if name != found["bad"]["best"])
    assert found[other]["behind"]["low"] <= 0 <= found[other]["behind"]["high"]


def test_intervals_of_more_comparisons_are_wider(tmp_path):
    two = {"good": {8: (0.75, 0.98)}, "bad": {8: (0.4, 0.8)}}
    many = two | {f"other{k}": {8: (0.3, 0.5 + k / 50)} for k in range(8)}
    narrow, wide = (volumes(leave_methods(tmp_path / str(len(own)), own))["bad"]["behind"] for own in (two, many))
    assert narrow["value"] == wide["value"]
    assert wide["high"] - wide["low"] > 1.2 * (narrow["high"] - narrow["low"])


def leave_also(tmp_path, found, name, status, seed):
    folder = tmp_path / name / f"epochs-8-seed-{seed}"
    leave_run(folder, 0.5, 0.9, status=status, seed=seed)
    found.setdefault(name, {}).setdefault(8, []).append(folder)


def test_only_seeds_that_all_methods_are_done_with_count(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}, "b": {8: (0.5, 0.9)}})
    leave_also(tmp_path, found, "a", "finished", 3)
    leave_also(tmp_path, found, "b", "interrupted", 3)
    assert volumes(found)["a"]["seeds"] == 3
    told = outcome(found["b"])["8"]
    assert (told["finished"], told["diverged"], told["planned"]) == (3, 0, 4)


def test_a_run_that_diverged_dominates_nothing(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}, "b": {8: (0.5, 0.9)}})
    areas = [np.prod(point_of(folder)) for folder in found["b"][8]]
    leave_also(tmp_path, found, "a", "finished", 3)
    leave_also(tmp_path, found, "b", "diverged", 3)
    whole = volumes(found)
    assert whole["a"]["seeds"] == 4 and whole["b"]["hypervolume"]["value"] == pytest.approx(sum(areas) / 4)


def test_a_method_without_a_finished_run_is_left_out(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}})
    leave_also(tmp_path, found, "c", "diverged", 0)
    assert set(volumes(found)) == {"a"}
    assert outcome(found["c"]) == {"8": {"finished": 0, "diverged": 1, "planned": 1}}
    assert volumes({"c": found["c"]}) == {} and references({"c": found["c"]}) == {}


def test_two_seeds_give_no_interval(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}}, seeds=(0, 1))
    assert volumes(found)["a"]["hypervolume"]["low"] is None
    assert outcome(found["a"])["8"]["knowledge_preservation"]["low"] is None


def test_what_runs_gave(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}})
    told = outcome(found["a"])["8"]
    points = [point_of(folder) for folder in found["a"][8]]
    assert told["knowledge_preservation"]["value"] == pytest.approx(np.mean([kept for _, kept in points]))
    assert told["ks"] == pytest.approx(0.1) and told["flags"] == ["flag of 0.1"]
    assert told["changed"] == pytest.approx(0.01)
    assert told["mia_auc"] == {"value": 0.5}
    assert references({"a": found["a"]})["gold"]["mia_auc"]["value"] == 0.9
