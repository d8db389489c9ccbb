"""Weights that do not match the model of their configuration are refused, with the tensors' names."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.config.schema import ModelConfig, RuntimeConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.lora import ADAPTER_FILE
from duolearn_cli.model.pretrained import load_base
from duolearn_cli.model.weights import Weights
from tests.small_models import random_base, write_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_folder(random_base("Llama"), tmp_path_factory.mktemp("llama"))


@pytest.fixture
def folder(made, tmp_path):
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def load(folder, dtype=torch.float32):
    return load_base(Weights(str(folder), None, None, False, False), "mine", dtype)


def configure(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def rewrite(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_complete_model_equals_the_saved_one(folder, made):
    state = load(folder).state_dict()
    saved = load_file(made / "model.safetensors")
    assert state.keys() == saved.keys() and all(state[name].equal(tensor) for name, tensor in saved.items())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"num_hidden_layers": 3},
            r"LlamaForCausalLM: 9 tensors missing \(model\.layers\.2\.\S+, model\.layers\.2\.\S+, "
            r"model\.layers\.2\.\S+ and 6 more\)\. Fix: get the complete weights",
        ),
        ({"num_hidden_layers": 1}, r"9 tensors without a place in the model \(model\.layers\.1\..* and 6 more\)"),
        (
            {"intermediate_size": 32},
            r"6 tensors of another shape \(model\.layers\.0\.mlp\.down_proj\.weight has \[16, 24\], "
            r"the model \[16, 32\]",
        ),
    ],
)
def test_a_configuration_of_another_model_is_refused(folder, values, message):
    configure(folder, **values)
    with pytest.raises(ModelError, match=rf"model mine at .*{message}"):
        load(folder)


@pytest.mark.parametrize("strange", [torch.nan, torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_that_are_not_finite_are_refused_with_the_tensors_name(folder, strange, dtype):
    rewrite(folder, lambda tensors: tensors["model.layers.1.mlp.up_proj.weight"][0].fill_(strange))
    with pytest.raises(
        ModelError, match=r"1 tensor with numbers that are not finite \(model\.layers\.1\.mlp\.up_proj\.weight\)"
    ):
        load(folder, dtype)


def test_a_run_refuses_the_weights_before_it_does_anything_with_them(folder):
    rewrite(folder, lambda tensors: tensors["lm_head.weight"].fill_(torch.nan))
    config = ModelConfig(name="mine", path=str(folder), adapter=AdapterConfig(rank=2, alpha=4))
    with pytest.raises(ModelError, match=r"not finite \(lm_head\.weight\)"):
        load_model(Weights(str(folder), None, None, False, False), config, RuntimeConfig(device="cpu"), seed=0)


def test_a_missing_output_layer_is_refused_unless_it_is_tied(folder):
    rewrite(folder, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(ModelError, match=r"1 tensor missing \(lm_head\.weight\)"):
        load(folder)
    configure(folder, tie_word_embeddings=True)
    base = load(folder)
    assert base.lm_head.weight is base.model.embed_tokens.weight


def test_tensors_that_the_model_computes_may_be_left_over(folder):
    def add(tensors):
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
        tensors["model.embeddings.position_ids"] = torch.arange(4)

    rewrite(folder, add)
    load(folder)
    rewrite(folder, lambda tensors: tensors.update(score=torch.ones(2)))
    with pytest.raises(ModelError, match=r"1 tensor without a place in the model \(score\)"):
        load(folder)


@pytest.mark.parametrize(
    ("family", "more", "name"),
    [
        (
            "GPTNeo",
            {"num_layers": 1, "num_heads": 4, "attention_types": [[["global"], 1]], "num_hidden_layers": 1},
            "h.0.attn.attention.bias",
        ),
        ("GPTJ", {"n_layer": 1, "n_head": 4, "n_embd": 16, "rotary_dim": 4}, "h.0.attn.bias"),
        ("CodeGen", {"n_layer": 1, "n_head": 4, "n_embd": 16, "rotary_dim": 4}, "h.0.attn.causal_mask"),
    ],
)
def test_the_causal_mask_of_an_old_checkpoint_may_be_left_over(family, more, name, tmp_path):
    """As in files of EleutherAI and Salesforce, which are from a time when the mask was saved."""
    folder = write_folder(random_base(family, more), tmp_path)
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
    rewrite(folder, lambda tensors: tensors.update({f"transformer.{name}": mask}))
    load(folder)


def test_a_broken_file_gives_a_message_and_no_traceback(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ModelError, match=r"model mine at .* cannot be read"):
        load(folder)


def test_an_adapter_is_not_a_model(folder):
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"is an adapter .*Fix: set model\.path .*, and adapter=FOLDER"):
        load(folder)


def test_an_adapter_that_is_not_finite_is_refused(fresh, tmp_path):
    fresh.save_adapter(tmp_path)
    tensors = load_file(tmp_path / ADAPTER_FILE)
    name = sorted(tensors)[0]
    tensors[name][0] = torch.nan
    save_file(tensors, tmp_path / ADAPTER_FILE)
    with pytest.raises(ModelError, match=rf"1 tensor with numbers that are not finite \({name}\)"):
        fresh.load_adapter(tmp_path)
