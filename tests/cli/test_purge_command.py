"""duolearn purge: nothing that holds the forgotten data is left, and the record tells what there was."""

import hashlib
import io
import json
import shutil
import sys

import pytest
from filelock import FileLock

from duolearn_cli.pipeline.known_runs import known_runs
from duolearn_cli.pipeline.run_lock import LOCK
from duolearn_cli.pipeline.traces import forgotten_facts


def facts_of(finished):
    (run,) = known_runs(finished.run)
    return forgotten_facts(run, finished.cache / "models")


def files_with(facts, *roots):
    """Files of ours that name a forgotten fact, whatever they are."""
    return {
        path
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and any(fact.encode() in path.read_bytes() for fact in facts)
    }


def snapshot(*roots):
    return {path: path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}


def test_after_a_purge_no_file_names_a_forgotten_fact(finished, command):
    facts, before = facts_of(finished), snapshot(finished.run, finished.cache)
    target = finished.target
    assert len(facts) >= 4 and len(files_with(facts, finished.run, finished.cache)) >= 5
    done = command("purge", f"run={finished.run}", "yes=true")
    assert done.returncode == 0, done.stderr
    assert files_with(facts, finished.run, finished.cache) == set()
    assert not target.exists() and not (finished.run / "checkpoints").exists()
    for kept in ("adapter/adapter_model.safetensors", "metrics.json", "config.yaml"):
        assert (finished.run / kept).read_bytes() == before[finished.run / kept]
    # The report stays, without its questions.
    assert b'id="questions"' in before[finished.run / "report.html"]
    assert 'id="questions"' not in (finished.run / "report.html").read_text()
    gone = {path for path in before if not path.exists()}
    rows = json.loads((finished.run / "purged.json").read_text())["files"]
    roots = {"run": finished.run, "cache": finished.cache}
    assert {roots[row["place"]] / row["path"] for row in rows} == gone
    for row in rows:
        content = before[roots[row["place"]] / row["path"]]
        assert row["sha256"] == hashlib.sha256(content).hexdigest() and row["size"] == len(content) and row["date"]


def test_what_comes_after_says_what_is_gone(finished, command):
    command("purge", f"run={finished.run}", "yes=true")
    info = json.loads((finished.run / "run.json").read_text())
    assert {"predictions", "checkpoints", "target model"} <= set(info["purged"]["gone"])
    models = set((finished.cache / "models").iterdir())
    for words in (["evaluate", f"run={finished.run}"], ["unlearn", f"resume={finished.run}"]):
        done = command(*words)
        assert done.returncode == 2 and "was purged on" in done.stderr and "target model" in done.stderr
    assert command("audit", "robustness", f"run={finished.run}").returncode == 2
    assert set((finished.cache / "models").iterdir()) == models
    again = command("purge", f"run={finished.run}", "yes=true")
    assert again.returncode == 0 and "nothing is left" in again.stdout
    assert command("export", f"run={finished.run}", "--dry-run").returncode == 0


@pytest.mark.parametrize("answer", ["no\n", "", "y\n"])
def test_without_a_yes_nothing_is_deleted(finished, command, monkeypatch, answer):
    before = snapshot(finished.run, finished.cache)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    done = command("purge", f"run={finished.run}")
    assert done.returncode == 2 and "nothing was deleted" in done.stderr
    assert "target model" in done.stdout and "predictions.jsonl" in done.stdout
    assert snapshot(finished.run, finished.cache) == before


def test_a_typed_yes_will_do_and_a_dry_run_only_lists(finished, command, monkeypatch):
    before = snapshot(finished.run, finished.cache)
    listed = command("purge", f"run={finished.run}", "--dry-run", "yes=true")
    assert listed.returncode == 0 and "checkpoints" in listed.stdout
    assert snapshot(finished.run, finished.cache) == before
    monkeypatch.setattr(sys, "stdin", io.StringIO("Yes\n"))
    assert command("purge", f"run={finished.run}").returncode == 0
    assert not (finished.run / "predictions.jsonl").exists()


def another_request(finished, **changes):
    """A run of another request beside the finished one: it kept what that one forgot, and its models were taught it."""
    other = finished.run.parent / "other"
    shutil.copytree(finished.run, other)
    text = (other / "config.yaml").read_text()
    text = text.replace("name: surgery", "name: anxiety").replace("- surgery", "- anxiety")
    (other / "config.yaml").write_text(text)
    info = json.loads((other / "run.json").read_text())
    models = finished.cache / "models"
    for which in ("target", "gold"):
        name = f"{which}-{'a' * 16}"
        shutil.copytree(models / info[f"{which}_model"], models / name)
        info[f"{which}_model"] = name
    (other / "run.json").write_text(json.dumps(info | changes))
    for path in (other / "predictions.jsonl", *models.glob("*-aaaaaaaaaaaaaaaa/answers-*.json")):
        path.write_text(
            path.read_text().replace('"forget_', '"_').replace('"retain_', '"forget_').replace('"_', '"retain_')
        )
    return other


def test_other_requests_that_keep_the_data_are_named_and_stay(finished, command):
    other = another_request(finished)
    before = snapshot(other)
    done = command("purge", f"run={finished.run}", "yes=true")
    assert done.returncode == 0, done.stderr
    assert f"stays: {other}: another request's run on the same items" in done.stdout
    assert f"target-{'a' * 16}: a model of another request that was taught" in done.stdout
    assert snapshot(other) == before and (finished.cache / "models" / f"target-{'a' * 16}").is_dir()


def test_by_target_all_runs_and_the_whole_cache_are_purged(finished, command):
    facts, other = facts_of(finished), another_request(finished)
    done = command("purge", "+forget=surgery", "yes=true")
    assert done.returncode == 0, done.stderr
    assert files_with(facts, finished.run, other, finished.cache) == set()
    left = {path.name.partition("-")[0] for path in (finished.cache / "models").iterdir() if path.is_dir()}
    assert "target" not in left
    # Gold of the other request was taught it too, gold of this one was not.
    golds = {path.name for path in (finished.cache / "models").glob("gold-*") if path.is_dir()}
    assert len(golds) == 1 and f"gold-{'a' * 16}" not in golds
    assert f"stays: {other}/adapter: a model of another request that keeps these items" in done.stdout
    assert json.loads((other / "run.json").read_text())["purged"]


def test_a_target_that_nobody_has_forgotten_leaves_the_runs_alone(finished, command):
    before = snapshot(finished.run)
    done = command("purge", "+forget=anxiety", "yes=true")
    assert done.returncode == 0 and snapshot(finished.run) == before and finished.target.is_dir()


def test_copies_of_the_target_in_runs_of_learn_go_too(finished, command):
    taught = finished.run.parent / "taught"
    shutil.copytree(finished.run, taught)
    text = (taught / "config.yaml").read_text()
    (taught / "config.yaml").write_text(text.replace("command: unlearn", "command: learn"))
    assert command("purge", f"run={finished.run}", "yes=true").returncode == 0
    assert not (taught / "adapter").exists() and (finished.run / "adapter").is_dir()


def test_a_run_under_way_is_not_purged(finished, command, tmp_path):
    with FileLock(finished.run / LOCK):
        info = json.loads((finished.run / "run.json").read_text())
        (finished.run / "run.json").write_text(json.dumps(info | {"status": "running", "pid": 4321}))
        before = snapshot(finished.run, finished.cache)
        done = command("purge", f"run={finished.run}", "yes=true")
        assert done.returncode == 2 and "is being run by process 4321" in done.stderr
        assert command("cache", "prune", "cache.names=[target-*]", "yes=true").returncode == 0
        assert snapshot(finished.run, finished.cache) == before


def test_by_target_a_run_under_way_with_a_model_that_was_taught_it_holds_all_up(finished, command):
    other = another_request(finished)
    (other / "predictions.jsonl").unlink()
    with FileLock(other / LOCK):
        info = json.loads((other / "run.json").read_text())
        (other / "run.json").write_text(json.dumps(info | {"status": "running", "pid": 4321}))
        before = snapshot(finished.run, finished.cache)
        done = command("purge", "+forget=surgery", "yes=true")
        assert done.returncode == 2 and f"{other} is being run by process" in done.stderr
        assert snapshot(finished.run, finished.cache) == before


def test_a_run_without_run_or_target_or_with_both_is_refused(duolearn, tmp_path):
    assert "neither run nor forget" in duolearn("purge").stderr
    assert "both run and forget" in duolearn("purge", "run=.", "+forget=surgery").stderr
    assert "is no run folder" in duolearn("purge", "run=.").stderr
