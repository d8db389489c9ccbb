"""Adapters on chosen layers: how they are named, where PEFT puts them, what a dry run says, what fits together."""

import warnings

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from peft import get_peft_model

from duolearn_cli.config.compose import compose
from duolearn_cli.config.layers import chosen_layers, layers_problem
from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.config.schema import ModelConfig, RuntimeConfig
from duolearn_cli.errors import ConfigError, ModelError
from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.lora import load, lora_config, save
from duolearn_cli.model.weights import Weights, find_weights
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.pipeline.planning import plan
from duolearn_cli.pipeline.planning.plan import read_shape
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.terminal import Display
from tests import mixtures
from tests.conftest import SMALL
from tests.model.test_attention import FAMILIES, SIZES


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("all", [0, 1, 2, 3, 4]),
        ("last:2", [3, 4]),
        ("last:5", [0, 1, 2, 3, 4]),
        ("last:50%", [2, 3, 4]),
        ("last:1%", [4]),
        ("last:100%", [0, 1, 2, 3, 4]),
        ("1-3", [1, 2, 3]),
        ("4", [4]),
        ("3, 0,1-1", [0, 1, 3]),
    ],
)
def test_names_of_layers(wanted, expected):
    assert layers_problem(wanted) is None
    assert chosen_layers(wanted, 5) == expected


@given(st.integers(1, 200), st.integers(1, 100))
def test_a_share_is_at_least_that_much_and_ends_with_the_last(count, percent):
    found = chosen_layers(f"last:{percent}%", count)
    assert found == list(range(count - len(found), count)) and found
    assert 100 * (len(found) - 1) < percent * count <= 100 * len(found)


@pytest.mark.parametrize("wanted", ["", "upper", "last", "last:0", "last:0%", "last:101%", "3-1", "-1", "1,", "1-2-3"])
def test_other_words_are_refused_before_a_model_is_known(wanted):
    assert "allowed: all, last:8, last:50%, 16-29" in layers_problem(wanted)
    with pytest.raises(ConfigError, match=r"model\.adapter\.layers=.*allowed"):
        compose("learn", ["+forget=surgery", f"model.adapter.layers='{wanted}'"])


@pytest.mark.parametrize("wanted", ["last:6", "5", "0-5", "999999"])
def test_layers_that_a_model_has_not_are_refused(wanted):
    assert layers_problem(wanted) is None
    with pytest.raises(ConfigError, match=r"the model has 5 layers; allowed: 0 to 4, or last:1 to last:5\. Fix"):
        chosen_layers(wanted, 5)


def base_of(family, more):
    config = getattr(transformers, f"{family}Config")(**SIZES | more)
    with torch.random.fork_rng():
        return transformers.AutoModelForCausalLM.from_config(config)


def adapted(family, more, **settings):
    base = base_of(family, more)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return get_peft_model(base, lora_config(AdapterConfig(rank=2, **settings), base))


@pytest.mark.parametrize(("family", "implementation", "more"), FAMILIES[::2])
@pytest.mark.parametrize("targets", ["all-linear", "q_proj, down_proj"])
def test_the_adapter_is_on_the_chosen_layers_alone(family, implementation, more, targets):
    def places(layers):
        network = adapted(family, more, targets=targets, layers=layers)
        return {Place.of(name) for name, parameter in network.named_parameters() if parameter.requires_grad}

    everywhere = places("all")
    assert {place.layer for place in everywhere} == {0, 1, 2}
    assert places("1-2") == places("last:2") == {place for place in everywhere if place.layer > 0}
    assert places("0,2") == {place for place in everywhere if place.layer != 1}
    assert places("last:3") == everywhere


def test_a_base_without_numbered_layers_is_refused():
    with pytest.raises(ModelError, match=r"layers=last:1: Sequential has no numbered layers; allowed: all"):
        lora_config(AdapterConfig(layers="last:1"), torch.nn.Sequential())


@pytest.mark.parametrize("layers", ["all", "last:1", "last:50%", "0,2"])
def test_a_dry_run_counts_what_there_is(layers):
    config = ModelConfig(name="tiny", embedded=True, adapter=AdapterConfig(rank=4, layers=layers))
    weights = find_weights(config, None)
    model = load_model(weights, config, RuntimeConfig(device="cpu", precision="fp32"), seed=0)
    assert read_shape(weights).adapter_parameters(config.adapter) == model.num_adapter_parameters
    assert bool(model.frozen_note) == layers.startswith("last")


def test_adapters_of_other_layers_do_not_fit(tmp_path):
    upper, same, lower, every = (adapted("Llama", {}, layers=layers) for layers in ("last:1", "2", "0", "all"))
    save(upper, tmp_path, is_main=True)
    load(same, tmp_path)
    for other in (lower, every):
        with pytest.raises(ModelError, match=r"made with layers_to_transform=\[2\].*set model\.adapter\.layers"):
            load(other, tmp_path)


def test_layers_are_part_of_what_a_model_is_called_after(tmp_path):
    def keys(*more):
        places = (f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache")
        study = prepare(compose("unlearn", ["+forget=surgery", *SMALL, *places, *more]))
        lab = Laboratory.open(study, Display(), Run.create(study.config, []))
        return [lab.cache.base_key, lab.cache.key("target"), lab.cache.key("gold"), lab.cache.signature()]

    plain, upper = keys(), keys("model.adapter.layers=last:1")
    assert not {*plain} & {*upper}
    assert keys("runtime.hidden_cache_gb=0", "model.adapter.layers=last:1") == upper
    assert keys("model.adapter.layers=all") == plain


@pytest.mark.parametrize("kind", ["mixtral", "deepseek_v3", "jamba"])
def test_nothing_is_predicted_of_mixtures_of_experts(kind, tmp_path, study, monkeypatch):
    """As if they were dense, parameters, memory and time would be far too few."""
    mixtures.base_of(kind).config.save_pretrained(tmp_path)
    weights = Weights(str(tmp_path), None, None, allow_download=False, trust_remote_code=False)
    assert read_shape(weights).is_mixture
    monkeypatch.setattr(plan, "find_weights", lambda *given: weights)
    rows = dict(plan.rows(study))
    assert "not predicted: the model is a mixture of experts" in rows["parameters, memory, time"]
    assert "trainable" not in rows and "a checkpoint" not in rows
    assert not read_shape(find_weights(ModelConfig(name="tiny", embedded=True), None)).is_mixture
