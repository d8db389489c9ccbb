"""The change of the weights, against the explicit product, and its sums over modules and layers."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.tuners.lora.layer import ParamWrapper
from safetensors.torch import save_file

from duolearn_cli.evaluation.metrics.change import (
    Change,
    changes,
    lora_scale,
    product_change_norm,
    read_changes,
    summarise,
)
from duolearn_cli.training.coordinates import Place
from tests.mixtures import mixture

Q, UP = "base_model.model.model.layers.3.self_attn.q_proj", "base_model.model.model.layers.11.mlp.up_proj"
HEAD = "base_model.model.lm_head"
EMBEDDING = "base_model.model.model.embed_tokens"


def pair(rank, inputs, outputs, seed, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(rank, inputs, generator=generator) * size,
        torch.randn(outputs, rank, generator=generator) * size,
    )


def adapter(seed=0):
    tensors = {}
    for i, owner in enumerate((Q, UP, HEAD)):
        a, b = pair(2, 5 + i, 4, seed + i)
        tensors |= {f"{owner}.lora_A.weight": a, f"{owner}.lora_B.weight": b}
    return tensors


def explicit(old_a, old_b, new_a, new_b):
    return float((new_b.double() @ new_a.double() - old_b.double() @ old_a.double()).norm())


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000), st.sampled_from([1e-6, 1.0, 1e4]))
def test_the_norm_is_that_of_the_explicit_product(rank, inputs, outputs, seed, size):
    old, new = pair(rank, inputs, outputs, seed, size), pair(rank, inputs, outputs, seed + 1, size)
    assert product_change_norm(*old, *new) == pytest.approx(explicit(*old, *new), rel=1e-9)


def test_a_small_change_of_large_weights_keeps_its_digits():
    old_a, old_b = pair(8, 64, 48, 0, 100.0)
    noise_a, noise_b = pair(8, 64, 48, 1, 1e-4)
    new_a, new_b = old_a + noise_a, old_b + noise_b
    # The reference is a sum of products with small factors, so that it loses no digits either.
    a, b, c, d = (tensor.double() for tensor in (old_a, old_b, new_a, new_b))
    assert product_change_norm(old_a, old_b, new_a, new_b) == pytest.approx(float((d @ (c - a) + (d - b) @ a).norm()))
    assert product_change_norm(old_a, old_b, old_a, old_b) == 0.0


def test_another_factorisation_of_the_same_weights_changes_parameters_and_not_the_norm():
    a, b = pair(3, 7, 6, 0)
    before = {f"{Q}.lora_A.weight": a, f"{Q}.lora_B.weight": b}
    (change,) = changes(before, {f"{Q}.lora_A.weight": 2 * a, f"{Q}.lora_B.weight": b / 2}, 2.0)
    assert change.parameters == a.numel() + b.numel()
    assert change.norm == pytest.approx(0, abs=1e-6)


def test_only_values_that_differ_count_and_the_scale_scales():
    before, after = adapter(), adapter()
    after[f"{Q}.lora_B.weight"] = after[f"{Q}.lora_B.weight"].clone()
    after[f"{Q}.lora_B.weight"][1, 0] += 0.5
    by_module = {change.module: change for change in changes(before, after, 2.0)}
    expected = 2.0 * 0.5 * float(before[f"{Q}.lora_A.weight"][0].norm())
    assert by_module["q_proj"] == Change(3, "q_proj", 1, pytest.approx(expected, rel=1e-6))
    assert by_module["up_proj"] == Change(11, "up_proj", 0, 0.0) and by_module["lm_head"] == Change(
        -1, "lm_head", 0, 0.0
    )
    assert {c.module: c.norm for c in changes(before, after, -1.0)}["q_proj"] == pytest.approx(expected / 2)


@pytest.mark.parametrize("owner", [Q, UP, HEAD])
def test_names_are_parsed_as_for_coordinates(owner):
    tensors = {name: value for name, value in adapter().items() if name.startswith(owner)}
    (change,) = changes(tensors, tensors, 1.0)
    place = Place.of(f"{owner}.lora_A.default.weight")
    assert (change.layer, change.module) == (place.layer, place.module)


def test_embeddings_have_matrices_of_other_names():
    a, b = pair(2, 9, 4, 0)
    before = {f"{EMBEDDING}.lora_embedding_A": a, f"{EMBEDDING}.lora_embedding_B": b}
    (change,) = changes(before, before | {f"{EMBEDDING}.lora_embedding_B": b + 1}, 1.0)
    assert (change.layer, change.module, change.parameters) == (-1, "embed_tokens", b.numel())
    assert change.norm == pytest.approx(explicit(a, b, a, b + 1))


@pytest.mark.parametrize("missing", [f"{Q}.lora_A.weight", f"{Q}.lora_B.weight"])
def test_adapters_of_other_modules_cannot_be_compared(missing):
    fewer = {name: value for name, value in adapter().items() if name != missing}
    for first, second in ((adapter(), fewer), (fewer, adapter())):
        with pytest.raises(KeyError):
            changes(first, second, 1.0)


def test_norms_add_up_as_squares_and_layers_stand_in_order():
    matrices = [
        Change(11, "up_proj", 5, 3.0),
        Change(3, "q_proj", 2, 4.0),
        Change(3, "experts", 1, 2.0),
        Change(3, "experts", 1, 1.0),
    ]
    total = summarise(matrices, 90)
    assert (total["parameters"], total["fraction"], total["norm"]) == (9, 0.1, pytest.approx(math.sqrt(30)))
    assert [layer["layer"] for layer in total["layers"]] == [3, 11]
    third = total["layers"][0]
    assert (third["parameters"], third["norm"]) == (4, pytest.approx(math.sqrt(21)))
    assert third["modules"] == {
        "q_proj": {"parameters": 2, "norm": 4.0},
        "experts": {"parameters": 2, "norm": pytest.approx(math.sqrt(5))},
    }


def test_adapters_are_read_with_the_scale_of_the_later_one(tmp_path):
    before, after = adapter(0), adapter(7)
    for name, tensors, alpha in (("before", before, 1.0), ("after", after, 6.0)):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "adapter_model.safetensors")
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({"lora_alpha": alpha, "r": 2}))
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("before", "after")]
    # safetensors sorts names; the order carries no meaning.
    key = lambda change: (change.layer, change.module)  # noqa: E731
    assert sorted(read_changes(*files), key=key) == sorted(changes(before, after, 3.0), key=key)


def test_scales():
    assert lora_scale({"lora_alpha": 64, "r": 16}) == 4
    assert lora_scale({"lora_alpha": 64, "r": 16, "use_rslora": False}) == 4
    assert lora_scale({"lora_alpha": 64, "r": 16, "use_rslora": True}) == 16


def test_scale_and_norm_are_those_of_the_model(fresh, tmp_path):
    before, inputs = tmp_path / "before", torch.eye(fresh.network.config.hidden_size)
    module = next(m for name, m in fresh.network.named_modules() if name.endswith("layers.1.self_attn.q_proj"))
    fresh.save_adapter(before)
    with torch.no_grad():
        first = module(inputs)
        module.lora_B["default"].weight[0, 0] += 0.3
        module.lora_A["default"].weight[2, 1] -= 0.7
        moved = float((module(inputs) - first).norm())
    fresh.save_adapter(tmp_path / "after")
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("before", "after")]
    (change_of_q,) = (change for change in read_changes(*files) if change.parameters)
    assert change_of_q == Change(1, "q_proj", 2, pytest.approx(moved, rel=1e-4))


def test_the_norm_of_fused_experts_is_that_of_what_peft_adds_to_each(tmp_path):
    model = mixture("mixtral")
    wrappers = {n: m for n, m in model.network.named_modules() if isinstance(m, ParamWrapper) and m.num_experts > 1}
    assert len(wrappers) == 4
    model.save_adapter(tmp_path / "before")
    first = {name: module.get_delta_weight("default").detach() for name, module in wrappers.items()}
    generator = torch.Generator().manual_seed(2)
    for parameter in model.adapter:
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_adapter(tmp_path / "after")
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("before", "after")]
    deltas = {name: module.get_delta_weight("default").detach() for name, module in wrappers.items()}
    moved = [float((deltas[name] - first[name]).norm()) for name in wrappers]
    norms = [change.norm for change in read_changes(*files, model.experts) if change.module == "experts"]
    assert sorted(norms) == pytest.approx(sorted(moved), rel=1e-5)
    as_one = [change.norm for change in read_changes(*files) if change.module == "experts"]
    assert sorted(as_one) != pytest.approx(sorted(norms), rel=1e-2)
