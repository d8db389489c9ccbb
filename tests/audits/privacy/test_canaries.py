"""The audit through the engine: a sound one stands, broken ones are caught."""

from __future__ import annotations

import json

import pytest
import torch

from duolearn_cli.__main__ import main
from duolearn_cli.audits.privacy.canaries import Canaries, audit
from duolearn_cli.config.privacy import AuditConfig
from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.methods.base import geometry_of
from duolearn_cli.privacy import mechanism
from duolearn_cli.privacy.accounting import Spending, noise_multiplier
from duolearn_cli.privacy.mechanism import Mechanism
from duolearn_cli.training.update import Update
from tests.conftest import SMALL, last
from tests.training.private.engine import one_unit_each, private_steps
from tests.training.test_unlearn import make_examples, method

# Everything joins every step: what leaks, leaks most.
STEPS, RATE = 10, 1.0
ASKED = AuditConfig(canaries=1000, guesses=200)


@pytest.fixture
def find(fresh, study, tmp_path):
    """The findings at epsilon 1, few steps of few records; `clip` is the clipping norm."""
    forget, retain = make_examples(fresh, study, "text")
    chosen = method("duolearn")
    units = {"forget": one_unit_each("forget", forget[:2]), "retain": one_unit_each("retain", retain[:2])}
    start = [parameter.detach().clone() for parameter in fresh.adapter]

    def run(epsilon=1.0, clip=0.5, protected=("retain",), seed=0):
        for parameter, value in zip(fresh.adapter, start, strict=True):
            parameter.data.copy_(value)
        noise = noise_multiplier(epsilon, 1e-5, [Spending(0, RATE, STEPS)])
        terms = {"noise": noise, "rate": RATE, "steps": STEPS, "clip": clip, "protected": protected}
        steps = private_steps(fresh, chosen, units, tmp_path, **terms)
        settings = UnlearnConfig(learning_rate=1e-3)
        update = Update(steps.coordinates, settings, geometry_of(chosen), steps.processes)
        return audit(steps, update, settings, ASKED, seed)

    return run


def test_a_sound_engine_stands(find):
    found = [finding for seed in range(2) for finding in find(protected=("forget", "retain"), seed=seed)]
    assert {finding.set_name for finding in found} == {"forget", "retain"}
    for finding in found:
        assert finding.claim == pytest.approx(1, rel=5e-3) and finding.claim <= 1
        assert finding.bound <= finding.claim and finding.holds
        assert finding.guesses == 200 and finding.steps == STEPS and finding.randomness == "seeded"
        assert finding.reach > 3 and finding.can_fail
    # Canaries are seen all the same: an audit that sees nothing would catch nothing.
    assert sum(finding.bound for finding in found) / len(found) > 0.15


def accused(findings):
    return [finding.set_name for finding in findings if finding.bound > finding.claim]


def test_no_noise_is_caught(find, monkeypatch):
    monkeypatch.setattr(Mechanism, "noise", lambda self, name: 0.0)
    assert accused(find()) == ["retain"]


def test_too_little_noise_is_caught(find, monkeypatch):
    """A quarter; half would often pass a thousand canaries: test_mechanism.py sees three per cent less."""
    sound = Mechanism.noise
    monkeypatch.setattr(Mechanism, "noise", lambda self, name: sound(self, name) / 4)
    assert accused(find()) == ["retain"]


def test_no_clipping_is_caught(find, monkeypatch):
    monkeypatch.setattr(mechanism, "clip_factors", lambda norms, bound, clipping: torch.ones_like(norms))
    assert accused(find()) == ["retain"]


def test_noise_that_is_used_twice_is_caught(find, monkeypatch):
    """The same noise in every step can be averaged away by whoever sees two steps; here it is known."""
    sound = Mechanism.privatise

    def replayed(self, name, step, total):
        return sound(self, name, step, total) - sound(self, name, step, torch.zeros_like(total))

    monkeypatch.setattr(Mechanism, "privatise", replayed)
    assert accused(find()) == ["retain"]


def test_canaries_are_fair_and_their_own(find):
    drawn = Canaries.draw("retain", 1000, 5000, seed=0)
    assert len(set(drawn.coordinate)) == 1000 and 430 < drawn.coin.sum() < 570
    assert (drawn.coin != Canaries.draw("forget", 1000, 5000, seed=0).coin).any()
    assert len(drawn.units(0.5)) == drawn.coin.sum()
    assert {unit.canary[1] for unit in drawn.units(0.5)} == {5.0}
    with pytest.raises(ModelError, match=r"audit\.canaries=1000.*give fewer"):
        Canaries.draw("retain", 1000, 999, seed=0)


# The few records' own delta would hide any leak.
COMMAND = ["audit", "privacy", *last("+forget=surgery", *SMALL, "unlearn.epochs=4", "model.adapter.rank=2")]
COMMAND += ["audit.canaries=200", "privacy=eps1", "privacy.randomness=seeded", "privacy.delta=1e-5"]


def test_the_command_tells_bounds_beside_claims(duolearn, tmp_path):
    done = duolearn(*COMMAND)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("the claim stands") == 2 and "could not be contradicted" not in done.stdout
    (run,) = (tmp_path / "outputs").glob("*/*-audit-privacy-surgery")
    said = json.loads((run / "audit.json").read_text())
    assert {finding["set_name"] for finding in said["findings"]} == {"retain", "forget"}
    for finding in said["findings"]:
        assert finding["holds"] and finding["can_fail"] and finding["canaries"] == 200
        assert finding["bound"] <= finding["claim"] < finding["reach"] and finding["randomness"] == "seeded"


@pytest.fixture
def broken(cache, tmp_path, monkeypatch):
    """The command in this process, by an engine without noise; returns the exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUOLEARN_CACHE", str(cache))
    monkeypatch.setattr(Mechanism, "noise", lambda self, name: 0.0)
    return lambda *settings: main([*COMMAND[:2], *last(*COMMAND[2:], *settings)])


def test_a_leak_fails_the_command(broken, tmp_path, capsys):
    assert broken() == 1
    said = capsys.readouterr()
    assert said.out.count("LEAKS MORE THAN CLAIMED") == 2
    assert "the forget set leaks more than claimed" in said.err and "Traceback" not in said.err
    (run,) = (tmp_path / "outputs").glob("*/*")
    assert not any(finding["holds"] for finding in json.loads((run / "audit.json").read_text())["findings"])


def test_an_audit_that_no_outcome_can_fail_says_so(broken, capsys):
    """The delta of a few records allows every guess to be right: even this engine is not accused."""
    assert broken("privacy.delta=0.004") == 0
    said = capsys.readouterr().out
    assert said.count("could not be contradicted") == 2 and "the claim stands" not in said
    assert "no outcome could have contradicted the claim of 1" in said and "smaller privacy.epsilon" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["privacy", "+forget=surgery", "privacy=none"], "there is no promise to audit; give privacy=eps1"),
        (["privcy", "+forget=surgery", "privacy=eps1"], "did you mean 'privacy'"),
        (["+forget=surgery", "privacy=eps1"], "audit: the kind of audit is missing; allowed: privacy"),
        (["privacy", "privacy=eps1"], "forget: name what to forget"),
        (["privacy", "+forget=surgery", "privacy=eps1", "audit.canaries=3"], "audit.canaries=3: allowed: 100 or more"),
        (
            ["privacy", "+forget=surgery", "audit.guesses=1001"],
            "audit.guesses=1001: allowed: 1000 (audit.canaries) or less",
        ),
    ],
)
def test_mistakes_get_one_line(duolearn, tmp_path, arguments, said):
    done = duolearn("audit", *arguments)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
