"""The micro-batch that a limit leaves room for; refusals before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError
from duolearn_cli.pipeline.planning import fitting
from duolearn_cli.pipeline.planning.fitting import GIBIBYTE, fit, largest
from duolearn_cli.pipeline.planning.memory import Planner
from duolearn_cli.pipeline.prepare import prepare
from tests.conftest import SMALL

LARGE = ["unlearn.batch_size=8", "model.adapter.rank=64", "privacy=eps4"]


@pytest.fixture(scope="module")
def small():
    return prepare(compose("unlearn", ["+forget=surgery", *SMALL, *LARGE]))


@pytest.fixture
def study(small):
    def make(*overrides):
        return replace(small, config=compose("unlearn", ["+forget=surgery", *SMALL, *LARGE, *overrides]))

    return make


@pytest.fixture
def free(monkeypatch):
    def have(size):
        monkeypatch.setattr(fitting, "available", lambda on_gpu: size)

    have(2**50)
    return have


def needs(study, size):
    return Planner.of(study).predict(size).total


def gib(size):
    return f"{size / GIBIBYTE:.6f}"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_limit_gives_the_largest_micro_batch_that_fits(study, free, size):
    limit = needs(study(), size)
    chosen = study(f"unlearn.memory_limit={gib(limit + 1024)}")
    (note,) = fit(chosen)
    found, total = chosen.config.unlearn.micro_batch, sum(Planner.of(chosen).units)
    forwards = math.ceil(total / found)
    assert forwards <= math.ceil(total / size)
    assert found == math.ceil(total / forwards)
    assert needs(chosen, found) <= limit + 2048 < needs(chosen, math.ceil(total / (forwards - 1)))
    assert note.startswith(f"unlearn.micro_batch={found}: ")
    # A resumed run has both settings, and goes on as it began.
    assert fit(chosen)
    assert chosen.config.unlearn.micro_batch == found


def test_where_everything_fits_the_batch_stays_whole(study, free):
    chosen = study("unlearn.memory_limit=100")
    (note,) = fit(chosen)
    assert chosen.config.unlearn.micro_batch is None
    assert "allowed: 100.00 GiB" in note


def test_a_limit_that_nothing_fits_into_is_refused(study, free):
    with pytest.raises(
        ConfigError, match=r"memory_limit=0\.1 GiB: .* even with one item per forward; allowed: "
    ) as error:
        fit(study("unlearn.memory_limit=0.1"))
    allowed = float(str(error.value).split("allowed: ")[1].split()[0])
    chosen = study(f"unlearn.memory_limit={allowed}")
    fit(chosen)
    assert chosen.config.unlearn.micro_batch >= 1


def test_a_given_micro_batch_is_kept_or_refused(study, free):
    limit = gib(needs(study(), 3) + 1024)
    chosen = study(f"unlearn.memory_limit={limit}", "unlearn.micro_batch=2")
    fit(chosen)
    assert chosen.config.unlearn.micro_batch == 2
    with pytest.raises(ConfigError, match=r"unlearn\.micro_batch=15: .* Fix: unlearn\.micro_batch=\d+"):
        fit(study(f"unlearn.memory_limit={limit}", "unlearn.micro_batch=15"))


def test_without_a_limit_free_memory_is_looked_at(study, free):
    chosen = study()
    needed = needs(chosen, None)
    assert fit(chosen) == []
    free(int(needed / 1.1))
    (note,) = fit(chosen)
    assert "it may not fit" in note and "Fix: unlearn.micro_batch=" in note
    free(int(needed / 1.2))
    with pytest.raises(ConfigError, match=r"are free on this machine\. Fix: .* unlearn\.memory_limit="):
        fit(chosen)
    free(1000)
    with pytest.raises(ConfigError, match=r"Fix: unlearn\.checkpointing=true, a smaller"):
        fit(chosen)
    free(None)
    assert fit(chosen) == []
    assert chosen.config.unlearn.micro_batch is None


def test_processes_share_the_machine(study, free):
    chosen = study("runtime.num_processes=4")
    needed = needs(chosen, None)
    free(4 * needed)
    assert fit(chosen) == []
    free(2 * needed)
    with pytest.raises(ConfigError, match="are free on this machine"):
        fit(chosen)


def test_on_a_gpu_only_weights_that_do_not_fit_are_refused(study, free, monkeypatch):
    chosen = study()
    plan = replace(Planner.of(chosen), on_gpu=True)
    monkeypatch.setattr(Planner, "of", classmethod(lambda cls, study: plan))
    free(plan.predict(None).parts["model"])
    assert "it may not fit" in fit(chosen)[0]
    free(plan.predict(None).parts["model"] - 1)
    with pytest.raises(ConfigError, match="are free on the GPU"):
        fit(chosen)


def test_an_unknown_model_is_said(study, free, monkeypatch):
    monkeypatch.setattr(Planner, "of", classmethod(lambda cls, study: None))
    assert fit(study()) == []
    (note,) = fit(study("unlearn.memory_limit=1"))
    assert "sizes are not known" in note


def test_the_largest_micro_batch_is_found_by_halving(study):
    plan = Planner.of(study())
    sizes = [plan.predict(size).total for size in range(1, sum(plan.units) + 1)]
    assert largest(plan, sizes[0] - 1) is None
    assert largest(plan, sizes[-1]) == len(sizes)
    for limit in sizes:
        assert largest(plan, limit) == sum(size <= limit for size in sizes)
