"""Attacks on base, target and gold are cached for all runs that share these models; on an unlearned model, never."""

from contextlib import nullcontext
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from duolearn_cli.audits.robustness.attack import Attack, Verdict
from duolearn_cli.audits.robustness.audit import Planned, _tried_on
from duolearn_cli.audits.robustness.material import Material
from duolearn_cli.config.compose import compose
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.model_cache import ModelCache
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.report.terminal import Display
from tests.conftest import SMALL


class Cache(ModelCache):
    """A model cache whose folders have the models' names only."""

    def folder(self, which):
        return self.root / which


@pytest.fixture
def attacked(tmp_path):
    """Return a function that tries an attack on one model, and returns the rows and how often the attack really ran."""
    applied = []

    def call(model, *overrides, variant="v"):
        study = prepare(compose("unlearn", ["+forget=surgery", *SMALL, *overrides]))
        display = Display(Console(file=StringIO()))
        network = SimpleNamespace(checksum=str, mark=None, renew_mark=lambda origin: None)
        network.initialise = network.load_adapter = lambda _: None
        lab = Laboratory(study, network, None, display, None, Cache(tmp_path, study, "base"), False)
        lab.load = lambda name: lab.load_from(name, tmp_path, lab.cache)

        def apply(loaded):
            applied.append(model)
            return nullcontext(lambda items: [Verdict(1.0, 0.25, float(len(items))) for _ in items])

        settings = study.config.audit.robustness
        material = Material.of(study.splits, settings.max_items, study.config.seed)
        attack = Attack("probe", variant, apply, models=(model,))
        plan = Planned(material, (attack,), ())
        before = len(applied)
        rows = [row for row in _tried_on(lab, tmp_path, plan, model) if row["attack"] == "probe"]
        return rows, len(applied) - before

    return call


@pytest.fixture(autouse=True)
def no_plain_scoring(monkeypatch):
    monkeypatch.setattr("duolearn_cli.audits.robustness.audit.scorer", lambda lab: lambda items: [])
    monkeypatch.setattr("duolearn_cli.audits.robustness.audit.NONE", "probe-less")
    rows = Attack.rows

    def only_probes(self, loaded, material):
        return rows(self, loaded, material) if self.name == "probe" else iter(())

    monkeypatch.setattr(Attack, "rows", only_probes)


def test_a_second_run_reuses_the_rows_of_the_first(attacked):
    first, count = attacked("gold")
    again, none = attacked("gold", "method=npo", "audit.robustness.attacks=[probe]")
    assert first and again == first and (count, none) == (1, 0)


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "audit.robustness.max_items=4",
        "audit.robustness.probe_c=2",
        "learn.learning_rate=0.01",
        "split.seed=1",
    ],
)
def test_a_setting_that_an_attack_depends_on_makes_another_cache_entry(attacked, override):
    attacked("gold")
    assert attacked("gold", override)[1] == 1


def test_other_attacks_other_models_and_unlearned_models_are_tried_anew(attacked):
    attacked("gold")
    assert attacked("gold", variant="w")[1] == attacked("target")[1] == 1
    assert attacked("unlearned")[1] == attacked("unlearned")[1] == 1
