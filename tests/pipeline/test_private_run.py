"""Private runs through the public command: guarantee, resume, further requests, private learning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256

import pytest
import torch
from safetensors.torch import load_file

from duolearn_cli.privacy.account import read_account
from tests.conftest import SMALL, last

PRIVATE = ["+forget=surgery", "privacy=eps4", *SMALL]


def runs(folder):
    return sorted(folder.glob("*/*"))


def started(duolearn, tmp_path, output, *overrides):
    done = duolearn("unlearn", *last(*PRIVATE, f"output_dir={output}", *overrides))
    assert done.returncode == 0, done.stderr + done.stdout
    (run,) = runs(tmp_path / output)
    return run


def adapter_of(run):
    tensors = load_file(run / "adapter" / "adapter_model.safetensors")
    return torch.cat([tensors[key].flatten() for key in sorted(tensors)])


def history_of(run):
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [line for line in lines if line["stage"] == "unlearn" and "step_norm" in line]


def test_a_private_run_promises_and_tells_and_its_account_travels(duolearn, cache, tmp_path):
    run = started(duolearn, tmp_path, "out")
    account = read_account(run / "adapter")
    assert account == read_account(run) and account.is_promise
    target = cache / "models" / json.loads((run / "run.json").read_text())["target_model"]
    assert account.last.start == sha256((target / "adapter_model.safetensors").read_bytes()).hexdigest()
    assert account.last.begun == account.num_steps == len(history_of(run))
    assert {"units_retain", "clip_rate_forget", "signal_to_noise_retain"} <= set(history_of(run)[0])
    told = json.loads((run / "metrics.json").read_text())["account"]
    assert told["promise"] is True and told["randomness"] == "secure"
    for name in ("retain", "forget"):
        curve = [epsilon for _, epsilon in told["sets"][name]["over_steps"]]
        assert curve == sorted(curve) and 3.9 < curve[-1] == told["sets"][name]["epsilon"] <= 4
    # The key was drawn for this run alone, and is in none of its files.
    again = started(duolearn, tmp_path, "again")
    assert not torch.equal(adapter_of(run), adapter_of(again))
    # Another request is refused before it starts: nothing is left to spend.
    before = list(tmp_path.iterdir())
    given = [f"adapter={run / 'adapter'}", "forgotten=[surgery]"]
    for refused, said in ((PRIVATE, "the budget is 4"), (["+forget=surgery", *SMALL], "leave nothing of it")):
        done = duolearn("unlearn", *refused, *given, "output_dir=refused")
        assert done.returncode == 2 and said in done.stderr
    assert list(tmp_path.iterdir()) == before
    # Without its account nobody knows what it has spent, neither of the model nor of the run.
    (run / "adapter" / "privacy.json").unlink()
    done = duolearn("unlearn", "+forget=surgery", *SMALL, *given, "output_dir=refused")
    assert done.returncode == 2 and "was made with a privacy account" in done.stderr
    (run / "privacy.json").unlink()
    done = duolearn("unlearn", f"resume={run}")
    assert done.returncode == 2 and "privacy.json is missing" in done.stderr


@pytest.mark.slow
def test_seeded_noise_is_reproducible_and_no_promise(duolearn, tmp_path):
    one, other = (started(duolearn, tmp_path, name, "privacy.randomness=seeded") for name in ("one", "other"))
    assert torch.equal(adapter_of(one), adapter_of(other))
    assert json.loads((one / "metrics.json").read_text())["account"]["promise"] is False


def test_the_dry_run_tells_the_price(duolearn, tmp_path):
    done = duolearn("unlearn", *PRIVATE, "privacy.protect=retain", "--dry-run", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert "privacy of retain" in done.stdout and "noise multiplier" in done.stdout
    assert "none: epsilon is infinite" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_second_request_begins_with_the_first_ones_model(duolearn, tmp_path):
    first = started(duolearn, tmp_path, "first", "privacy.budget=8")
    given = (f"adapter={first / 'adapter'}", "forgotten=[surgery]")
    second = started(duolearn, tmp_path, "second", "privacy=custom", "privacy.epsilon=3", *given)
    account = read_account(second / "adapter")
    assert len(account.entries) == 2 and account.entries[0] == read_account(first / "adapter").last
    told = json.loads((second / "metrics.json").read_text())["account"]["sets"]["retain"]
    assert told["epsilon_run"] <= 3 < told["epsilon"] < 7
    # What is compared is the model that the run began with.
    predictions = [
        {
            row["id"]: row["nll"]
            for row in map(json.loads, (run / "predictions.jsonl").read_text().splitlines())
            if row["model"] == model
        }
        for run, model in ((first, "unlearned"), (second, "target"))
    ]
    assert predictions[0] == pytest.approx(predictions[1])


@pytest.mark.slow
def test_a_privately_learned_target_is_part_of_the_promise(duolearn, tmp_path):
    done = duolearn("learn", "+forget=surgery", *SMALL, "privacy.learn_epsilon=2", "output_dir=learned")
    assert done.returncode == 0, done.stderr + done.stdout
    (learned,) = runs(tmp_path / "learned")
    assert read_account(learned / "adapter").last.stage == "learn"
    both = started(duolearn, tmp_path, "both", "privacy.learn_epsilon=2")
    account = read_account(both / "adapter")
    assert [entry.stage for entry in account.entries] == ["learn", "unlearn"]
    assert 4 < account.worst() <= 6
    # The same in two commands: the first reserves what the second will spend.
    terms = ("privacy.learn_epsilon=2", "privacy.budget=6", "output_dir=reserved")
    done = duolearn("learn", "+forget=surgery", *SMALL, *terms)
    assert done.returncode == 0, done.stderr + done.stdout
    (reserved,) = runs(tmp_path / "reserved")
    given = (f"adapter={reserved}/adapter", "forgotten=[]")
    after = read_account(started(duolearn, tmp_path, "after", *given) / "adapter")
    assert [entry.stage for entry in after.entries] == ["learn", "unlearn"] and after.budget == 6
    done = duolearn("unlearn", *PRIVATE, f"adapter={learned}/adapter", "forgotten=[]")
    assert done.returncode == 2 and "the budget is 2" in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("randomness", ["seeded", "secure"])
def test_an_interrupted_private_run_spends_what_an_unbroken_one_does(duolearn, cache, tmp_path, randomness):
    settings = last(*PRIVATE, "unlearn.epochs=30", f"privacy.randomness={randomness}")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "duolearn_cli", "unlearn", *settings],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"DUOLEARN_CACHE": str(cache)},
    )
    for line in process.stdout:
        if "unlearn: " in line:
            process.send_signal(2)
            break
    process.communicate(timeout=120)
    (run,) = runs(tmp_path / "outputs")
    begun = read_account(run).last.begun
    assert 0 < begun < 30
    said = (run / "privacy.json").read_text()
    for key, message in (("start", "another was put or learned in its place"), ("grouping", "other privacy units")):
        value = getattr(read_account(run).last, key)
        (run / "privacy.json").write_text(said.replace(value, "other"))
        done = duolearn("unlearn", f"resume={run}")
        assert done.returncode == 2 and message in done.stderr + done.stdout
    (run / "privacy.json").write_text(said)
    done = duolearn("unlearn", f"resume={run}")
    assert done.returncode == 0, done.stderr
    account, whole = read_account(run / "adapter"), started(duolearn, tmp_path, "whole", *settings[2:])
    assert account == read_account(whole / "adapter") and account.last.begun == 30
    assert [line["step"] for line in history_of(run)] == list(range(1, 31))
    assert torch.equal(adapter_of(run), adapter_of(whole)) == (randomness == "seeded")


@pytest.mark.slow
def test_two_processes_make_what_one_makes(duolearn, tmp_path):
    one, two = (
        started(duolearn, tmp_path, f"p{count}", "privacy.randomness=seeded", f"runtime.num_processes={count}")
        for count in (1, 2)
    )
    assert (adapter_of(one) - adapter_of(two)).norm() <= 1e-3 * adapter_of(one).norm()
    assert read_account(one / "adapter") == read_account(two / "adapter")
