"""The monitor: quick evaluations on validation facts, checkpoints, and the early end where gold is reached."""

import json
import os
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from duolearn_cli.cli.commands import unlearn
from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError, DivergedError
from duolearn_cli.pipeline import early_stopping, monitor, processes
from duolearn_cli.pipeline.early_stopping import Goal, Look
from duolearn_cli.pipeline.monitor import Monitor
from tests.conftest import SMALL, last
from tests.pipeline.easy_worker import EASY

ONE = SimpleNamespace(count=1, sharded=False)
ROOT = Path(__file__).parents[2]
FACTS = [f"f{k}" for k in range(30)]


def seen(nll, chance, retain=0.95, spread=0.2):
    """Return a look at thirty facts with these means of loss and probability of the right answer."""
    rng = np.random.default_rng(round(100 * nll + 1000 * chance))
    means = {"forget_nll": nll, "forget_accuracy": chance, "retain_nll": 0.1, "retain_accuracy": retain}
    losses, chances = rng.normal(nll, spread, 30), rng.normal(chance, spread / 4, 30)
    return Look(means, losses.tolist(), chances.tolist(), FACTS)


GOAL = Goal(seen(0.1, 0.98), seen(3.0, 0.28), looks=20)


class Recorder:
    """The parts of a laboratory that a monitor needs."""

    def __init__(self, study, looks):
        self.study, self.is_main, self.model = study, True, SimpleNamespace(device="cpu")
        self.encoder = None
        self.looks, self.looked, self.noted, self.updated = looks, [], [], {}
        self.run = SimpleNamespace(record=lambda values: None, update=lambda **values: self.updated.update(values))
        self.display = SimpleNamespace(note=self.noted.append)


@pytest.fixture
def watched(study, monkeypatch):
    def make(looks, goal, interrupted=lambda: False, study=study):
        lab = Recorder(study, looks)

        def look(lab, step):
            lab.looked.append(step)
            return lab.looks[step]

        monkeypatch.setattr(monitor, "quick_evaluation", look)
        saved = []
        return lab, saved, Monitor(lab, ONE, 100, saved.append, lambda *args, **kwargs: None, interrupted, goal)

    return make


@pytest.fixture
def stops(study):
    return replace(study, config=compose("unlearn", ["+forget=surgery", *SMALL, "unlearn.stop=gold"]))


def test_too_few_facts_to_stop_by_are_told_at_the_start(stops, monkeypatch):
    monkeypatch.setattr(early_stopping, "quick_items", lambda study: {"forget": (), "retain": ()})
    for count, noted in ((29, 1), (30, 0)):
        found = asdict(replace(GOAL.other, facts=FACTS[:count]))
        lab = Recorder(stops, {})
        lab.load = lambda name, found=found: SimpleNamespace(keep=lambda *_: found)
        Goal.of(lab, "gold", 20)
        assert len(lab.noted) == noted and all("cannot end this run early" in note for note in lab.noted)


def test_ends_at_the_first_look_at_which_the_goal_is_reached(watched, stops):
    looks = {5: seen(0.5, 0.9), 10: seen(3.1, 0.29), 15: seen(0.9, 0.9)}
    lab, _, after_step = watched(looks, GOAL, study=stops)
    ended = [after_step(step, {}) for step in range(1, 11)]
    assert lab.looked == [5, 10] and ended == [False] * 9 + [True]
    assert lab.updated == {"stopped": {"step": 10, "of": 100, "goal": GOAL.as_dict(looks[10])}}
    assert "step 10 of 100" in lab.noted[0] and "30 facts, 20 looks" in lab.noted[0]


def test_one_raw_item_does_not_end_a_private_run(study, monkeypatch):
    def diverge(*_):
        raise DivergedError("item x: the model's predictions are not finite")

    monkeypatch.setattr(monitor, "look", diverge)
    lab = Recorder(study, {})
    with pytest.raises(DivergedError):
        monitor.quick_evaluation(lab, 3)
    lab.study = SimpleNamespace(config=compose("unlearn", ["+forget=surgery", "privacy=eps8"]))
    assert monitor.quick_evaluation(lab, 3) is None
    assert lab.noted == ["step 3: not evaluated: item x: the model's predictions are not finite"]


@pytest.mark.parametrize(
    ("look", "is_reached"),
    [
        (seen(3.0, 0.28), True),
        (seen(2.0, 0.28), False),
        (seen(4.5, 0.25), False),  # far beyond, as npo leaps: one that is not less than gold's was enough
        (seen(3.0, 0.02), False),  # right answers avoided
        (seen(3.0, 0.6), False),
        (seen(3.0, 0.28, retain=0.89), False),
        (seen(3.0, 0.28, spread=4.0), False),  # so noisy that nothing is shown
    ],
)
def test_a_goal_has_three_parts_and_two_sides(look, is_reached):
    assert GOAL.is_reached(look) is is_reached


def test_more_looks_need_more_to_be_shown():
    near = seen(2.75, 0.36, spread=0.6)
    assert Goal(GOAL.target, GOAL.other, 1).is_reached(near) and not Goal(GOAL.target, GOAL.other, 400).is_reached(near)


def test_the_goal_is_another_model_on_the_forget_side_and_the_target_on_the_retain_side(study):
    looks, loaded = {"gold": asdict(seen(1.5, 0.3)), "target": asdict(seen(0.0, 1.0))}, []

    def load(which):
        loaded.append(which)
        return SimpleNamespace(keep=lambda kind, key, make: looks[which])

    lab = SimpleNamespace(study=study, load=load)
    goal = Goal.of(lab, "gold", 20)
    assert goal == Goal(seen(0.0, 1.0), seen(1.5, 0.3), 20)
    assert loaded == ["gold", "target"]


def test_without_a_goal_it_looks_five_times_and_never_ends(watched):
    lab, saved, after_step = watched(dict.fromkeys(range(0, 101), seen(9.0, 0.0)), None)
    assert not any(after_step(step, {}) for step in range(1, 101))
    assert lab.looked == [20, 40, 60, 80, 100] and saved == [50, 100] and not lab.updated


def test_the_step_that_ends_the_loop_is_no_checkpoint(watched, stops):
    """A run that resumed from such a checkpoint would miss its end."""
    _, saved, after_step = watched({5: seen(3.0, 0.28)}, GOAL, lambda: True, stops)
    assert after_step(5, {}) and saved == []


def test_an_interrupt_saves_its_step(watched, stops):
    _, saved, after_step = watched({5: seen(0.2, 0.9)}, GOAL, lambda: True, stops)
    with pytest.raises(KeyboardInterrupt):
        after_step(5, {})
    assert saved == [5]


def test_a_side_of_one_fact_is_looked_at_whole(study):
    few = replace(study.splits, forget_train=study.splits.forget_train[:1], forget_heldout=())
    items = early_stopping.quick_items(replace(study, splits=few))
    assert items["forget"] == few.forget_train and items["retain"]


def test_privacy_rules_it_out():
    with pytest.raises(ConfigError, match=r"unlearn\.stop=gold: its end would follow from raw answers"):
        compose("unlearn", ["+forget=surgery", "privacy=eps8", "unlearn.stop=gold"])


def run(folder, cache, *given):
    given = last("+forget=surgery", *SMALL, *given, "evaluation.max_items=4", "evaluation.generate_items=0")
    given += [f"cache_dir={cache}", f"output_dir={folder}", "evaluation.report=false"]
    folder = Path(unlearn.run(compose("unlearn", given), Invocation(given)))
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    stopped = json.loads((folder / "run.json").read_text()).get("stopped")
    return stopped, [line for line in history if line["stage"] == "unlearn"]


STOPPING = ["method=graddiff", "split.max_forget=16", "split.max_retain=24", "learn.epochs=30", "unlearn.stop=gold"]


@pytest.fixture
def easily_shown(monkeypatch):
    """A test of equivalence that any look passes, in worker processes too.

    A few facts show nothing, and ascent leaps far beyond gold.
    """
    for module, name, value in EASY:
        monkeypatch.setattr(module, name, value)
    started = subprocess.Popen

    def popen(command, **settings):
        own = ["tests.pipeline.easy_worker" if one == "duolearn_cli.pipeline.worker" else one for one in command]
        return started(own, env=os.environ | {"PYTHONPATH": str(ROOT)}, **settings)

    monkeypatch.setattr(processes.subprocess, "Popen", popen)


@pytest.mark.usefixtures("easily_shown")
def test_a_run_that_stops(tmp_path, cache):
    """It says at which step, and what was shown there."""
    told, lines = run(tmp_path, cache, *STOPPING, "unlearn.epochs=20")
    goal = told["goal"]
    assert lines[-1]["step"] == told["step"] < told["of"] and goal["facts"] > 1
    assert all(1 - goal["margin"] <= goal[name][1] <= goal[name][2] <= 1 + goal["margin"] for name in ("nll", "chance"))


@pytest.mark.slow
def test_a_run_that_never_gets_there(tmp_path, cache):
    told, lines = run(tmp_path, cache, *STOPPING, "unlearn.learning_rate=0.0")
    assert told is None and lines[-1]["step"] == max(line["step"] for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("easily_shown")
@pytest.mark.parametrize("sharding", [[], ["runtime.sharding=fsdp2"]], ids=["copies", "cut"])
def test_several_processes_stop_where_one_does(sharding, tmp_path, cache):
    common = [*STOPPING, "unlearn.epochs=20", "runtime.threads=1"]
    told, lines = run(tmp_path / "one", cache, *common)
    shared, shared_lines = run(tmp_path / "two", cache, *common, "runtime.num_processes=2", *sharding)
    assert shared["step"] == told["step"] < told["of"]
    for name, value in told["goal"].items():
        assert shared["goal"][name] == pytest.approx(value, rel=1e-3)
    assert [line["step"] for line in shared_lines] == [line["step"] for line in lines]
