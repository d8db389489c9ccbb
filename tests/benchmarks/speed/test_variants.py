"""The variants: every method of the configuration folder and every declared variant, chosen by name or family."""

from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf

from duolearn_cli.benchmarks.speed.variants import chosen_variants, configured, variants, with_adapter_share
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import groups
from duolearn_cli.methods import Retaining

CONFIG = compose("bench", ["+forget=surgery"])
EVERY = variants(CONFIG)


@dataclass
class Mine(Retaining):
    """A method from outside the package."""


def config(*overrides):
    return compose("bench", ["+forget=surgery", *overrides])


def test_every_method_is_measured_beside_a_plain_step_on_its_labels():
    assert {name for name in EVERY if name.startswith("method/")} == {f"method/{name}" for name in groups()["method"]}
    assert str(EVERY["method/npo"].over[0]) == "plain/lora_answer"
    assert [str(over) for over in EVERY["method/duolearn"].over] == ["plain/lora_text", "2 x plain/lora_text"]


@pytest.mark.parametrize("variant", EVERY.values(), ids=list(EVERY))
def test_every_variant_composes_and_is_compared_with_one_before_it(variant):
    own = configured(CONFIG, variant)
    names = list(EVERY)
    assert all(names.index(over.name) < names.index(variant.name) for over in variant.over)
    assert all(OmegaConf.select(own, key) == value for key, value in variant.settings.items())
    if variant.family != "private":
        assert own.privacy.epsilon is None
    assert OmegaConf.select(CONFIG, "privacy.epsilon") is None, "the command's configuration is left alone"


def test_the_users_settings_of_a_method_apply_to_that_method_only():
    command = config("method=npo", "method.beta=0.7", "privacy=eps1")
    assert configured(command, EVERY["method/npo"]).method.beta == 0.7
    assert configured(command, EVERY["method/duolearn"]).method.beta == 1.0
    assert configured(command, EVERY["method/npo"]).privacy.epsilon is None


def test_a_users_own_method_is_measured_too():
    command = config("plugins=[tests.benchmarks.speed.test_variants]")
    command.method = {"_target_": "tests.benchmarks.speed.test_variants.Mine"}
    assert variants(command)["method/mine"].over[0].name == "plain/lora_answer"


def test_only_takes_names_and_families_and_adds_what_they_are_compared_with():
    chosen = chosen_variants(config("bench.only=[private/both,evaluation]"))
    assert list(chosen) == [
        "plain/lora_text",
        "method/duolearn",
        "private/both",
        "evaluation/forward",
        "evaluation/answers",
        "evaluation/full",
    ]
    assert list(chosen_variants(CONFIG)) == list(EVERY)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"bench.only=method/npq: .*did you mean 'method/npo'"):
        chosen_variants(config("bench.only=[method/npq]"))


def test_a_variant_that_conflicts_with_the_configuration_is_named():
    with pytest.raises(ConfigError, match=r"private/both: .*labels.balance"):
        configured(config("labels.balance=1"), EVERY["private/both"])


def test_a_share_of_the_adapter_becomes_a_share_of_the_model():
    changed = with_adapter_share(CONFIG, 0.5, adapter=200, base=1000)
    assert changed.method.sparsity.fraction == pytest.approx(0.1)
    assert with_adapter_share(CONFIG, None, 200, 1000) is CONFIG
