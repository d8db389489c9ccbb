"""What is done after each step: quick evaluations on validation facts, and an end where gold's loss is reached."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from duolearn_cli import watch
from duolearn_cli.commands import unlearn
from duolearn_cli.commands.common import Invocation
from duolearn_cli.composition import compose
from duolearn_cli.errors import ConfigError
from duolearn_cli.watch import Watch
from tests.conftest import SMALL

ONE = SimpleNamespace(count=1, sharded=False)


class Recorder:
    """A laboratory of which a watch needs no more than this."""

    def __init__(self, study, losses):
        self.study, self.is_main, self.model = study, True, SimpleNamespace(device="cpu")
        self.losses, self.looked, self.noted, self.updated = losses, [], [], {}
        self.run = SimpleNamespace(record=lambda values: None, update=lambda **values: self.updated.update(values))
        self.display = SimpleNamespace(note=self.noted.append)


@pytest.fixture
def watched(study, monkeypatch):
    def make(losses, goal, interrupted=lambda: False):
        lab = Recorder(study, losses)

        def look(lab, step):
            lab.looked.append(step)
            return {"forget_nll": lab.losses[step]}

        monkeypatch.setattr(watch, "quick_evaluation", look)
        saved = []
        return lab, saved, Watch(lab, ONE, 100, saved.append, lambda *args, **kwargs: None, interrupted, goal)

    return make


def test_ends_at_the_first_look_at_which_the_goal_is_reached(watched):
    lab, _, after_step = watched({5: 0.5, 10: 1.2, 15: 0.9}, goal=1.0)
    ended = [after_step(step, {}) for step in range(1, 11)]
    assert lab.looked == [5, 10] and ended == [False] * 9 + [True]
    assert lab.updated == {"stopped": {"step": 10, "of": 100, "goal": 1.0}} and "step 10 of 100" in lab.noted[0]


def test_without_a_goal_it_looks_five_times_and_never_ends(watched):
    lab, saved, after_step = watched(dict.fromkeys(range(0, 101), 9.0), goal=None)
    assert not any(after_step(step, {}) for step in range(1, 101))
    assert lab.looked == [20, 40, 60, 80, 100] and saved == [50, 100] and not lab.updated


def test_the_step_that_ends_the_loop_is_no_checkpoint(watched):
    """A run that is resumed from it would miss the end."""
    _, saved, after_step = watched({5: 2.0}, goal=1.0, interrupted=lambda: True)
    assert after_step(5, {}) and saved == []


def test_an_interrupt_saves_its_step(watched):
    _, saved, after_step = watched({5: 0.0}, goal=1.0, interrupted=lambda: True)
    with pytest.raises(KeyboardInterrupt):
        after_step(5, {})
    assert saved == [5]


def test_a_side_of_one_fact_is_looked_at_whole(study):
    few = replace(study.splits, forget_train=study.splits.forget_train[:1], forget_heldout=())
    items = watch.quick_items(SimpleNamespace(study=replace(study, splits=few)))
    assert items["forget"] == few.forget_train and items["retain"]


def test_privacy_rules_it_out():
    with pytest.raises(ConfigError, match=r"unlearn\.stop=gold: its end would follow from raw answers"):
        compose("unlearn", ["+forget=surgery", "privacy=eps8", "unlearn.stop=gold"])


def test_a_run_that_stops_and_one_that_never_gets_there(tmp_path, cache):
    """The base model's loss is soon reached by ascent; a run that takes no step never reaches it."""
    folders = {}
    for name, rate in (("stops", 5e-3), ("stays", 0.0)):
        given = ["+forget=surgery", *SMALL, "method=gradient_ascent", f"unlearn.learning_rate={rate}"]
        given += ["unlearn.stop=gold", "unlearn.epochs=10", "evaluation.max_items=4", "evaluation.generate_items=0"]
        given += [f"cache_dir={cache}", f"output_dir={tmp_path / name}", "evaluation.report=false", "learn.epochs=20"]
        folders[name] = Path(unlearn.run(compose("unlearn", given), Invocation(given)))
        assert not (folders[name] / "report.html").is_file()
    told = {name: json.loads((folder / "run.json").read_text()).get("stopped") for name, folder in folders.items()}
    assert told["stays"] is None and told["stops"]["step"] < told["stops"]["of"]
    history = [json.loads(line) for line in (folders["stops"] / "history.jsonl").read_text().splitlines()]
    looks = [line for line in history if "forget_nll" in line]
    assert looks[-1]["forget_nll"] >= told["stops"]["goal"] and looks[-1]["step"] == told["stops"]["step"]
    assert all(look["forget_nll"] < told["stops"]["goal"] for look in looks[:-1])
    steps = [line["step"] for line in history if line["stage"] == "unlearn" and "forget_loss" in line]
    assert steps[-1] == told["stops"]["step"]
