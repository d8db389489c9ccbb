"""Aggregates over runs against plain loops over their item files."""

import json

import numpy as np
import pytest

from duolearn_cli.benchmarks.methods import volumes as volumes_module
from duolearn_cli.benchmarks.methods.record import Result, read_record, write_record
from duolearn_cli.benchmarks.methods.results import figures
from duolearn_cli.benchmarks.methods.results import outcome as outcome_of
from duolearn_cli.benchmarks.methods.results import references as references_of
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.metrics.seeds import Noise
from tests.benchmarks.methods.folders import leave_run


def results(methods):
    """The runs of each method, read from their folders."""
    return {
        name: {epochs: [Result.read(folder) for folder in folders] for epochs, folders in by_epochs.items()}
        for name, by_epochs in methods.items()
    }


def volumes(methods):
    return volumes_module.volumes(results(methods))


def outcome(runs):
    return outcome_of(results({"a": runs})["a"])


def references(methods):
    return references_of(results(methods))


def leave_methods(tmp_path, points, seeds=(0, 1, 2), auc=0.5, shift=0.0):
    """A run a seed of each method; `points` are by method its (forgotten, kept) by number of passes."""
    found = {}
    for name, by_epochs in points.items():
        for epochs, point in by_epochs.items():
            for seed in seeds:
                folder = tmp_path / name / f"epochs-{epochs}-seed-{seed}"
                leave_run(folder, *point, seed=seed, auc=auc, shift=shift)
                found.setdefault(name, {}).setdefault(epochs, []).append(folder)
    return found


def point_of(folder):
    """Forgetting and keeping of a run, by a loop over its item file."""
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    after = {row["id"]: row for row in rows if row["model"] == "unlearned"}
    drop = possible = kept = known = 0.0
    for row in rows:
        if row["model"] != "target" or row["split"] == "forget_unseen":
            continue
        if row["split"].startswith("forget"):
            drop += row["correct"] - after[row["id"]]["correct"]
            possible += row["correct"] - 1 / 4
        else:
            kept, known = kept + after[row["id"]]["correct"], known + row["correct"]
    return drop / possible, kept / known


def test_the_volume_of_one_run_a_seed_is_the_rectangle_of_the_means(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}})
    area = np.prod(np.mean([point_of(folder) for folder in found["a"][8]], axis=0))
    whole = volumes(found)["a"]
    assert whole["hypervolume"]["value"] == pytest.approx(area)
    assert whole["hypervolume"]["low"] < area < whole["hypervolume"]["high"]
    assert whole["behind"] is None and whole["best"] == "a" and whole["seeds"] == 3


def test_a_method_at_chance_give_or_take_is_not_charged_for_it(tmp_path):
    """Seeds below chance make up for those above it: the means are cut, not each seed's value."""
    found = leave_methods(tmp_path, {"a": {8: (0.75, 1.0)}}, seeds=range(6))
    points = [point_of(folder) for folder in found["a"][8]]
    assert any(x > 1 for x, _ in points) and any(x < 1 for x, _ in points)
    whole = volumes(found)["a"]["hypervolume"]
    assert whole["value"] == pytest.approx(min(1, np.mean([x for x, _ in points])))
    assert whole["value"] > np.mean([min(1, x) for x, _ in points])


def test_the_volume_of_two_numbers_of_passes_is_of_what_either_dominates(tmp_path):
    found = leave_methods(tmp_path, {"a": {1: (0.3, 0.95), 5: (0.7, 0.6)}}, seeds=(0,))
    (x1, y1), (x5, y5) = (point_of(found["a"][epochs][0]) for epochs in (1, 5))
    assert x1 < x5 and y1 > y5
    assert volumes(found)["a"]["hypervolume"]["value"] == pytest.approx(x1 * y1 + (x5 - x1) * y5)


def test_the_volume_with_the_mia_score_is_a_box(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}}, shift=0.5)
    boxes = [(*point_of(folder), 1 - 2 * abs(area_of(folder) - 0.5)) for folder in found["a"][8]]
    whole = volumes(found)["a"]["hypervolume_mia"]
    assert whole["value"] == pytest.approx(np.prod(np.mean(boxes, axis=0)))
    assert 0 <= whole["low"] < whole["value"] < whole["high"] <= 1
    leave_also(tmp_path, found, "a", "diverged", 3)
    assert volumes(found)["a"]["hypervolume_mia"]["value"] == pytest.approx(3 / 4 * whole["value"])


def area_of(folder):
    """AUC of the loss attack of a run, by a loop over its item file."""
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    own = [row for row in rows if row["model"] == "unlearned" and row["pair"] is not None]
    ours, theirs = ([row["nll"] for row in own if row["split"] == split] for split in ("forget_train", "forget_unseen"))
    return np.mean([(a < b) + 0.5 * (a == b) for a in ours for b in theirs])


def test_facts_are_in_the_interval_of_the_mia_score(tmp_path):
    """Seeds that agree would have had none, or one of no width."""
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}}, auc=0.4)
    score = outcome(found["a"])["8"]["mia_score"]
    assert score["low"] < 0.61 and 0.99 < score["high"] <= 1


def test_a_method_that_is_clearly_worse_is_behind_beyond_its_interval(tmp_path):
    points = {"good": {8: (0.75, 0.98)}, "bad": {8: (0.2, 0.7)}, "same": {8: (0.75, 0.97)}}
    found = volumes(leave_methods(tmp_path, points))
    assert found["bad"]["best"] in ("good", "same")
    assert found["bad"]["behind"]["low"] > 0
    other = next(name for name in ("good", "same") if name != found["bad"]["best"])
    assert found[other]["behind"]["low"] <= 0 <= found[other]["behind"]["high"]


def test_answers_that_agree_are_no_certainty(tmp_path):
    """No fact was lost, by no seed of either method: the next one may be."""
    found = volumes(leave_methods(tmp_path, {"a": {8: (1.0, 1.0)}, "b": {8: (1.0, 1.0)}}))
    other = next(name for name in found if name != found[name]["best"])
    for whole in (found["a"]["hypervolume"], found["b"]["hypervolume"]):
        assert whole["value"] == whole["high"] == 1 and whole["low"] < 1 - 1 / 24
    behind = found[other]["behind"]
    assert behind["value"] == 0 and behind["low"] < -1 / 24 and behind["high"] > 1 / 24


def test_what_is_drawn_does_not_hang_on_the_order_of_methods(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}, "b": {8: (0.5, 0.8)}})
    assert volumes(found) == volumes(dict(reversed(found.items())))


def test_intervals_of_more_comparisons_are_wider(tmp_path):
    two = {"good": {8: (0.75, 0.98)}, "bad": {8: (0.4, 0.8)}}
    many = two | {f"other{k}": {8: (0.3, 0.5 + k / 50)} for k in range(8)}
    narrow, wide = (volumes(leave_methods(tmp_path / str(len(own)), own))["bad"]["behind"] for own in (two, many))
    assert narrow["value"] == wide["value"]
    assert wide["value"] - wide["low"] > 1.2 * (narrow["value"] - narrow["low"])


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
    area = np.prod(np.mean([point_of(folder) for folder in found["b"][8]], axis=0))
    leave_also(tmp_path, found, "a", "finished", 3)
    leave_also(tmp_path, found, "b", "diverged", 3)
    whole = volumes(found)
    assert whole["a"]["seeds"] == 4 and whole["b"]["hypervolume"]["value"] == pytest.approx(3 / 4 * area)


def test_a_method_without_a_finished_run_is_left_out(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}})
    leave_also(tmp_path, found, "c", "diverged", 0)
    assert set(volumes(found)) == {"a"}
    assert outcome(found["c"]) == {"8": {"finished": 0, "diverged": 1, "planned": 1}}
    assert volumes({"c": found["c"]}) == {} and references({"c": found["c"]}) == {}


def test_two_seeds_give_no_interval(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}}, seeds=(0, 1))
    assert volumes(found)["a"]["hypervolume"]["low"] is None
    assert "low" not in outcome(found["a"])["8"]["knowledge_preservation"]


def test_what_runs_gave(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}})
    told = outcome(found["a"])["8"]
    points = [point_of(folder) for folder in found["a"][8]]
    assert told["knowledge_preservation"]["value"] == pytest.approx(np.mean([kept for _, kept in points]))
    assert told["ks"] == pytest.approx(0.1) and told["flags"] == ["flag of 0.1"]
    assert told["changed"] == pytest.approx(0.01)
    assert told["mia_auc"]["value"] == 0.5 and told["mia_auc"]["low"] < 0.5 < told["mia_auc"]["high"]
    assert references({"a": found["a"]})["gold"]["mia_auc"]["value"] == 0.9


def test_golds_of_several_seeds_tell_how_near_gold_one_can_be(tmp_path):
    found = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}})
    assert references(found)["floor"] is None and references(found)["learned"] == 1
    for seed, folder in enumerate(found["a"][8]):
        (folder / "config.yaml").write_text(f"seed: {seed}\nlearn: {{seed: {seed}}}\n")
    told = references(found)
    assert told["learned"] == told["floor"]["golds"] == 3 and 0 < told["floor"]["ks"] < 1
    assert told["gold"]["mia_auc"]["value"] == pytest.approx(0.9) and told["gold"]["mia_auc"]["low"] < 0.9


def test_the_record_holds_all_that_figures_are_made_of(tmp_path):
    """Read from one small file, the figures are those of the run folders."""
    given = leave_methods(tmp_path, {"a": {8: (0.6, 0.9)}, "b": {8: (0.5, 0.9)}})
    leave_also(tmp_path, given, "b", "diverged", 3)
    tries = {"schema": 2, "methods": {name: {"choice": 0, "trials": []} for name in given}}
    whole = figures(tries, results(given))
    write_record(tmp_path / "answers.json.gz", whole, results(given))
    told, again = read_record(tmp_path / "answers.json.gz")
    assert told == json.loads(json.dumps(whole)) == json.loads(json.dumps(figures(tries, again)))
    size = (tmp_path / "answers.json.gz").stat().st_size
    assert size < 0.1 * sum(path.stat().st_size for path in tmp_path.rglob("predictions.jsonl"))


@pytest.mark.parametrize("content", [b"", b"{}", b"\x1f\x8b broken"])
def test_a_file_that_is_no_record_is_told(tmp_path, content):
    (tmp_path / "answers.json.gz").write_bytes(content)
    with pytest.raises(RunError, match=r"answers.json.gz: this is no answers.json.gz of a benchmark"):
        read_record(tmp_path / "answers.json.gz")


def test_draws_of_other_seeds_have_students_tails():
    noise = Noise.draw(np.random.default_rng(0), 20_000, 3)
    drawn = noise.of(np.array([0.4, 0.5, 0.6]))
    assert np.quantile(drawn, 0.975) == pytest.approx(4.302652729911275 * 0.1 / 3**0.5, rel=0.05)
    # What the facts have given to the scatter is in their own draws, too: half of it is taken off.
    assert noise.of(np.array([0.4, 0.5, 0.6]), 0.1**2 / 3) == pytest.approx(drawn / 2**0.5)
