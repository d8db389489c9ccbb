"""Rounding agrees with a loop over single weights, and the model is restored exactly."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.audits.robustness.rounding import round_to, rounded, weights
from duolearn_cli.errors import ModelError
from tests.audits.robustness.stand_in import everything
from tests.mixtures import MIXTURES, mixture


def naive(weight, bits, group):
    """Round one weight after the other, in float32 as `round_to` does; halves go to the even level."""
    rounded = weight.clone()
    levels = 2 ** (bits - 1) - 1
    size = weight.shape[1] if group is None else group
    for row in range(weight.shape[0]):
        for start in range(0, weight.shape[1], size):
            run = weight[row, start : start + size]
            scale = max(abs(value) for value in run) / levels
            for i, value in enumerate(run):
                level = round((value / scale).item()) if scale > 0 else 0
                rounded[row, start + i] = max(-levels, min(levels, level)) * scale
    return rounded


@given(
    bits=st.sampled_from([2, 3, 4, 8]),
    group=st.sampled_from([None, 1, 2, 3, 5, 64]),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 7)),
    seed=st.integers(0, 99),
)
def test_a_loop_over_weights_agrees(bits, group, shape, seed):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(round_to(weight, bits, group), naive(weight, bits, group))


def test_levels_errors_and_zeros():
    weight = torch.tensor([[0.0, 0.0, 0.0, 0.0], [-7.0, 3.4, 3.6, 0.4]])
    assert round_to(weight, 4, None).tolist() == [[0, 0, 0, 0], [-7, 3, 4, 0]]
    # The largest weight of every group is exact.
    assert round_to(weight, 4, 2)[1].tolist() == pytest.approx([-7, 3, 3.6, 3.6 / 7], abs=1e-6)
    torch.testing.assert_close(round_to(weight, 2, 1), weight)
    wide = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    for bits in (4, 8):
        step = wide.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        error = (round_to(wide, bits, None) - wide).abs()
        assert bool((error <= step / 2 + 1e-6).all()) and bool((error > 0).any())
        again = round_to(round_to(wide, bits, None), bits, None)
        torch.testing.assert_close(again, round_to(wide, bits, None))
    assert round_to(wide.bfloat16(), 4, 64).dtype == torch.bfloat16


@pytest.mark.parametrize(("bits", "group", "shape"), [(1, None, (2, 2)), (4, 0, (2, 2)), (4, None, (4,))])
def test_what_cannot_be_rounded(bits, group, shape):
    with pytest.raises(ValueError, match=f"bits={bits}"):
        round_to(torch.ones(shape), bits, group)


def logits(model):
    with torch.no_grad():
        return model.network(input_ids=torch.tensor([[5, 9, 2, 7]])).logits


def test_rounding_to_many_bits_is_the_merged_model(fresh):
    plain = logits(fresh)
    with rounded(fresh, 16, 64):
        torch.testing.assert_close(logits(fresh), plain, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("bits", [8, 4])
def test_every_linear_layer_is_merged_rounded_and_restored(fresh, bits):
    before, plain = everything(fresh), logits(fresh)
    layers = [(one.weight, one.weight.clone(), one.update().detach()) for one in weights(fresh)]
    assert len(layers) == 7 * fresh.network.config.num_hidden_layers
    with rounded(fresh, bits, 64):
        for now, weight, update in layers:
            assert torch.equal(now, round_to(weight + update, bits, None if bits == 8 else 64))
        assert not torch.equal(logits(fresh), plain)
        changed = [name for name, value in fresh.network.state_dict().items() if not torch.equal(value, before[name])]
        assert changed and all("base_layer" in name for name in changed)
    after = everything(fresh)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(logits(fresh), plain)


def test_an_error_inside_the_block_leaves_no_trace(fresh):
    before = everything(fresh)
    with pytest.raises(KeyError), rounded(fresh, 4, 64):
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in everything(fresh).items())
    assert all(parameter.requires_grad for parameter in fresh.adapter) and not fresh.network.training


@pytest.mark.parametrize("kind", [*MIXTURES, "gpt_oss", "llama4_text", "jamba", "mamba"])
def test_rounding_to_16_bits_changes_nothing_of_experts(kind):
    model = mixture(kind)
    plain, before = logits(model), everything(model)
    with model.without_adapter():
        assert (logits(model) - plain).norm() > 0.05 * plain.norm()
    with rounded(model, 16, 64):
        assert (logits(model) - plain).norm() < 1e-3 * plain.norm()
        changed = [name for name, value in everything(model).items() if not torch.equal(value, before[name])]
        assert not any(".lora_" in name for name in changed)
    with rounded(model, 3, 8):
        assert (logits(model) - plain).norm() > 1e-2 * plain.norm()
    assert torch.equal(logits(model), plain)


def test_each_expert_is_rounded_as_a_matrix_whose_rows_are_outputs():
    model = mixture("mixtral")
    experts = {tuple(one.weight.shape): one for one in weights(model) if one.weight.ndim == 3}
    assert set(experts) == {(4, 48, 16), (4, 16, 24)}
    for one in experts.values():
        before, update = one.weight.clone(), one.update().detach()
        with rounded(model, 4, 5):
            for expert in range(4):
                assert torch.equal(one.weight[expert], round_to(before[expert] + update[expert], 4, 5))


def test_an_adapter_of_an_unknown_kind_is_refused(fresh, monkeypatch):
    monkeypatch.setattr("duolearn_cli.audits.robustness.rounding.lora.Linear", type("Other", (), {}))
    before = everything(fresh)
    with pytest.raises(
        ModelError, match=r"layer of type Linear\. Fix: audit\.robustness\.attacks=\[relearn,prompts,probe"
    ):
        rounded(fresh, 4, 64).__enter__()
    assert all(torch.equal(value, before[name]) for name, value in everything(fresh).items())
