"""What would read protected data outside the mechanism is refused, with the mend."""

from __future__ import annotations

import pytest

from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["method.sparsity.unit=coordinate"], r"method\.sparsity\.unit=coordinate: .*raw gradients.*allowed.*: none"),
        (["method.geometry.basis_from=raw"], r"basis_from=raw: raw retain gradients.*step.*privacy\.protect=forget"),
        (["method.geometry.basis_from=raw", "privacy.protect=retain"], r"basis_from=raw"),
        (["labels.answers=trusted"], r"labels\.answers=trusted.*allowed.*all"),
        (["labels.balance=0.5"], r"labels\.balance=0\.5.*: 0\."),
        (["labels.conflicts=leave_out"], r"labels\.conflicts=leave_out.*report, ignore"),
        (["imperfect.wrong_answers=0.1"], r"imperfect\.\*: .*each record by itself"),
        (["imperfect.imbalance=2"], r"imperfect\.\*"),
        (["runtime.sharding=fsdp2", "runtime.num_processes=2"], r"runtime\.sharding=fsdp2.*allowed: none"),
        (["unlearn.packing=true"], r"unlearn\.packing=true: .*: false"),
        (["privacy.delta=0"], r"privacy\.delta=0: "),
        (["privacy.budget=2"], r"privacy\.budget=2\.0: .*; allowed: 4\.0 or more"),
        (["privacy.epsilon=1e4"], r"privacy\.epsilon=10000\.0: allowed: 0 to 100"),
        (["privacy.learn_epsilon=1e4"], r"privacy\.learn_epsilon=10000\.0: allowed: 0 to 100"),
        (["privacy.epsilon=0"], r"privacy\.epsilon=0: .*more than 0"),
        (["privacy.max_grad_norm=0"], r"privacy\.max_grad_norm=0"),
        (["privacy.protect=nobody"], r"privacy\.protect=nobody: allowed: both, retain, forget"),
        (["privacy.unit=person"], r"privacy\.unit=person: allowed: example, fact, patient"),
        (["privacy.learn_epsilon=1", "model.adapter.dropout=0.1"], r"no dropout; model\.adapter\.dropout=0"),
        (["privacy.learn_epsilon=1", "adapter=."], r"nothing is learned"),
    ],
)
def test_refused_with_privacy(overrides, said):
    with pytest.raises(ConfigError, match=said):
        compose("unlearn", ["+forget=surgery", "privacy=eps4", *overrides])


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["method.geometry.basis_from=raw", "privacy.protect=forget"],
        ["method.geometry.metric=fisher"],
        ["method.attention_weight=1"],
        ["privacy.sampling=shuffled", "privacy.clipping=automatic", "privacy.accountant=rdp"],
    ],
)
def test_allowed_with_privacy(overrides):
    assert compose("unlearn", ["+forget=surgery", "privacy=eps4", *overrides]).privacy.epsilon == 4


def test_without_privacy_nothing_of_it_is_refused():
    compose("unlearn", ["+forget=surgery", "method.geometry.basis_from=raw", "labels.answers=trusted"])
    with pytest.raises(ConfigError, match="without privacy there is nothing to limit"):
        compose("unlearn", ["+forget=surgery", "privacy.budget=3"])
    with pytest.raises(ConfigError, match=r"privacy=custom|privacy\.epsilon is not set|epsilon is not set"):
        compose("unlearn", ["+forget=surgery", "privacy=custom"])


def test_private_learning_has_its_own_epsilon():
    with pytest.raises(ConfigError, match=r"give privacy\.epsilon=null privacy\.learn_epsilon=4"):
        compose("learn", ["+forget=surgery", "privacy=eps4"])
    with pytest.raises(ConfigError, match="gold is what others are measured against"):
        compose("retrain", ["+forget=surgery", "privacy=eps4"])
    with pytest.raises(ConfigError, match="gold is what others are measured against"):
        compose("retrain", ["+forget=surgery", "privacy.learn_epsilon=4"])
    assert compose("learn", ["+forget=surgery", "privacy.learn_epsilon=4"]).privacy.learn_epsilon == 4


@pytest.mark.parametrize("command", ["learn", "retrain", "inspect", "export"])
def test_an_adapter_to_begin_with_is_for_unlearning(command):
    with pytest.raises(ConfigError, match=r"adapter=\.: only `duolearn unlearn`, `evaluate` and `audit`"):
        compose(command, ["+forget=surgery", "adapter=."])
