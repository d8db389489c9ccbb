"""Quantised base models: refusals, and the arguments for transformers. None of it ran on a GPU."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from duolearn_cli.cli.commands.common import prepared
from duolearn_cli.config.compose import compose
from duolearn_cli.config.schema import ModelConfig, RuntimeConfig
from duolearn_cli.errors import ConfigError, ModelError
from duolearn_cli.model import loading as model_loading
from duolearn_cli.model import output_layer, pretrained, quantization
from duolearn_cli.model.weights import find_weights
from tests.conftest import SMALL


@pytest.fixture
def installed(monkeypatch):
    """Pretend that bitsandbytes is installed, or that it is not."""
    real = importlib.util.find_spec

    def have(there):
        def find(name, *given):
            return (SimpleNamespace() if there else None) if name == "bitsandbytes" else real(name, *given)

        monkeypatch.setattr(quantization, "find_spec", find)

    have(True)
    return have


@pytest.fixture
def unread(monkeypatch):
    """Fail the test if any part of a model is read."""

    def refuse(*given, **named):
        raise AssertionError("something was loaded")

    monkeypatch.setattr(pretrained.AutoModelForCausalLM, "from_pretrained", refuse)
    monkeypatch.setattr(model_loading.AutoTokenizer, "from_pretrained", refuse)


def load(kind, **runtime):
    config = ModelConfig(name="tiny", embedded=True, quantization=kind)
    return model_loading.load_model(find_weights(config, None), config, RuntimeConfig(**runtime), seed=0)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_without_the_library_or_a_gpu_nothing_is_loaded(installed, unread, monkeypatch, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=rf"model\.quantization={kind}: this needs a GPU.* allowed here: none"):
        load(kind)
    installed(False)
    with pytest.raises(ModelError, match=r"bitsandbytes is not installed; .* pip install 'duolearn\[quantization\]'"):
        load(kind)


def test_commands_refuse_before_they_import_pytorch(installed, monkeypatch):
    config = compose("unlearn", ["+forget=surgery", *SMALL, "model.quantization=nf4"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="has no CUDA device"):
        prepared(config)
    # A dry run works on a machine without a GPU.
    config.dry_run = True
    prepared(config)
    installed(False)
    with pytest.raises(ModelError, match="bitsandbytes is not installed"):
        prepared(config)


def test_gguf_files_are_refused(installed):
    with pytest.raises(ModelError, match=r"some\.gguf is already quantised in its own format.*Fix: model\.path=FOLDER"):
        quantization.check_libraries(ModelConfig(name="x", quantization="int8"), "some.gguf")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["runtime.device=cpu"], r"model\.quantization=nf4: needs a GPU; allowed with runtime\.device=cpu: none"),
        (["runtime.sharding=fsdp2", "runtime.num_processes=2"], r"allowed with runtime\.sharding=fsdp2: none"),
    ],
)
def test_settings_that_do_not_go_together(overrides, message):
    with pytest.raises(ConfigError, match=message):
        compose("unlearn", ["+forget=surgery", "model.quantization=nf4", *overrides])


def test_arguments_for_transformers(installed, monkeypatch):
    arguments = {}

    def take(location, **given):
        arguments.update(given)
        raise OSError("far enough")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(model_loading, "choose_device", lambda wanted: torch.device("cuda", 0))
    monkeypatch.setattr(pretrained.AutoModelForCausalLM, "from_pretrained", take)
    with pytest.raises(ModelError, match="far enough"):
        load("nf4")
    config = arguments["quantization_config"]
    assert config.load_in_4bit and config.bnb_4bit_quant_type == "nf4" and config.bnb_4bit_use_double_quant
    assert config.bnb_4bit_compute_dtype == torch.bfloat16 == arguments["dtype"]
    # transformers then skips the output layer and weights that are tied to it.
    assert config.llm_int8_skip_modules is None
    assert arguments["device_map"] == {"": torch.device("cuda", 0)}
    with pytest.raises(ModelError, match="far enough"):
        load("int8", precision="fp32")
    assert arguments["quantization_config"].load_in_8bit and arguments["dtype"] == torch.float32
    arguments.clear()
    with pytest.raises(ModelError, match="far enough"):
        load("none")
    assert not {"quantization_config", "device_map"} & set(arguments)


def test_packed_weights_count_individually():
    base = nn.Linear(4, 6)
    packed: nn.Parameter = nn.Parameter(torch.zeros(12, 1, dtype=torch.uint8), requires_grad=False)
    packed.quant_state = SimpleNamespace(shape=torch.Size([6, 4]))
    base.weight = packed
    base.register_parameter("lora_A", nn.Parameter(torch.zeros(100)))
    assert quantization.num_parameters(base) == 4 * 6 + 6


def test_a_quantised_output_layer_is_refused():
    head = nn.Linear(2, 3)
    head.weight = nn.Parameter(torch.zeros(3, 1, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ModelError, match="allowed: a linear layer without"):
        output_layer.linear_of(SimpleNamespace(get_output_embeddings=lambda: head), "Odd")


def test_the_cache_distinguishes_quantised_models(study, fresh, tmp_path, monkeypatch):
    from dataclasses import replace
    from io import StringIO

    from rich.console import Console

    from duolearn_cli.pipeline import laboratory
    from duolearn_cli.pipeline.run_folder import Run
    from duolearn_cli.report.terminal import Display

    monkeypatch.setattr(laboratory, "load_model", lambda *given: fresh)
    keys = set()
    for kind in ("none", "nf4", "int8"):
        config = compose("unlearn", ["+forget=surgery", *SMALL, f"model.quantization={kind}"])
        display = Display(Console(file=StringIO()))
        lab = laboratory.Laboratory.open(replace(study, config=config), display, Run(tmp_path), is_main=False)
        keys.add(lab.cache.key("base"))
    assert len(keys) == 3
