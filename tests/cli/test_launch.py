"""Sweeps: checked value by value before anything runs, and no job's failure stops the others."""

import json
import sys
from types import SimpleNamespace

import pytest

from duolearn_cli import __main__
from duolearn_cli.cli import jobs, launch
from duolearn_cli.cli.commands import data
from duolearn_cli.errors import ConfigError, DataError


@pytest.fixture
def composed(monkeypatch):
    """The override lists that were composed; one with the word ``bad`` is refused."""
    seen = []

    def compose(command, overrides, config_dir):
        seen.append(list(overrides))
        if bad := [text for text in overrides if "bad" in text]:
            raise ConfigError("\n".join(bad))
        return list(overrides)

    monkeypatch.setattr(jobs, "compose", compose)
    return seen


def test_every_combination_of_a_small_sweep_is_checked_once(composed):
    jobs.check_jobs("unlearn", ["+forget=surgery", "method=a,b", "seed=1,2"], True, None)
    assert sorted(composed) == sorted(["+forget=surgery", f"method={m}", f"seed={s}"] for m in "ab" for s in (1, 2))


def test_a_sweep_without_a_job_twice(composed):
    with pytest.raises(ConfigError, match=r"^seed=1,1: 1 is listed twice, which is the same job again; give seed=1\.$"):
        jobs.check_jobs("unlearn", ["+forget=surgery", "seed=1,1"], True, None)
    assert not composed


def test_values_that_are_spelled_in_two_ways_are_the_same_job():
    with pytest.raises(ConfigError, match=r"^learn\.warmup=0 and learn\.warmup=0\.0 are the same job; leave one"):
        jobs.check_jobs("unlearn", ["+forget=surgery", "learn.warmup=0,0.1,0.0"], True, None)
    jobs.check_jobs("unlearn", ["+forget=surgery", "seed=1,2", "privacy=none,eps8"], True, None)


def test_values_are_checked_before_combinations(composed):
    with pytest.raises(ConfigError) as caught:
        jobs.check_jobs("unlearn", ["a=1,2,bad", "b=1,2,3,4", "c=1,2,bad"], True, None)
    assert str(caught.value).splitlines() == ["a=bad", "c=bad"]
    assert len(composed) == 1 + 2 + 3 + 2


def test_a_fault_of_the_first_job_is_told_at_once(composed):
    with pytest.raises(ConfigError, match="bad"):
        jobs.check_jobs("unlearn", ["a=bad", "b=1,2,3,4"], True, None)
    assert len(composed) == 1


def test_a_large_sweep_is_checked_in_part(composed):
    jobs.check_jobs("unlearn", ["seed=range(0,1000)", "b=1,2,3,4"], True, None)
    assert ["seed=999", "b=1"] in composed
    assert len(composed) <= 3 * jobs.MAX_CHECKED_JOBS


@pytest.fixture
def sweep(monkeypatch, tmp_path, capsys):
    """Run `duolearn data export -m` with a made-up command; return status, what it printed, and the sweep's folder."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["duolearn"])
    monkeypatch.chdir(tmp_path)

    def call(run):
        monkeypatch.setattr(data, "run", run)
        status = __main__.main(["data", "export", "-m", "seed=1,2,3"])
        return status, capsys.readouterr(), next(iter(tmp_path.glob("outputs/*/*-sweep")))

    return call


def test_a_crash_does_not_stop_a_sweep(sweep):
    def run(config, invocation):
        invocation.sweep_folder.mkdir(parents=True, exist_ok=True)
        if config.seed == 1:
            raise ZeroDivisionError("one\nand two")
        if config.seed == 2:
            raise DataError("no data")
        scores = {"forgetting_rate": {"value": 0.5, "low": 0.4, "high": 0.6}}
        (invocation.sweep_folder / "metrics.json").write_text(json.dumps({"models": {"unlearned": {"scores": scores}}}))

    status, said, folder = sweep(run)
    assert status == 1
    lines = said.err.splitlines()
    assert lines[0].startswith("error: ZeroDivisionError: one and two; see log.txt in ")
    assert lines[1:] == ["error: no data", "2 jobs of the sweep failed; their messages are above."]
    assert "Traceback" in (folder / "0" / "log.txt").read_text()
    assert "Sweep" in said.out and (folder / "sweep.md").is_file()


def test_an_interrupt_ends_a_sweep(sweep):
    def run(config, invocation):
        if config.seed == 2:
            raise KeyboardInterrupt
        assert config.seed == 1

    status, said, _ = sweep(run)
    assert status == 130 and said.err == "interrupted\n"


def test_a_job_is_not_written_over_another(tmp_path):
    config = SimpleNamespace(run_dir=None)
    launch._check_job_folder(tmp_path, config)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"set hydra\.sweep\.subdir so that each job has its own folder"):
        launch._check_job_folder(tmp_path, config)
    with pytest.raises(ConfigError, match="a folder each; leave it out"):
        launch._check_job_folder(tmp_path / "new", SimpleNamespace(run_dir="x"))
