"""What cannot be learned, or followed example by example, is found before learning; what can be is left alone."""

import pytest
import torch
from torch import nn

from duolearn_cli.errors import ModelError
from duolearn_cli.single_probe import check_adapter, check_singles
from duolearn_cli.singles import SingleGradients
from tests.mixtures import MIXTURES, mixture


@pytest.mark.parametrize("kind", [*MIXTURES, "gpt_oss", "llama4_text", "jamba", "mamba"])
def test_mixtures_and_state_spaces_pass_and_keep_their_values(kind):
    model = mixture(kind)
    before = [parameter.detach().clone() for parameter in model.adapter]
    check_adapter(model)
    check_singles(model)
    assert all(torch.equal(own, old) for own, old in zip(model.adapter, before, strict=True))
    assert all(parameter.grad is None for parameter in model.adapter)


def test_a_layer_whose_examples_cannot_be_told_apart_is_refused_with_a_mend(fresh):
    module = next(m for name, m in fresh.network.named_modules() if name.endswith("layers.1.mlp.up_proj"))

    class Turned(nn.Module):
        """A linear layer that is given its tokens the other way round."""

        def __init__(self, inner):
            super().__init__()
            self.inner, self.weight = inner, inner.weight

        def forward(self, states):
            return self.inner(states.transpose(0, 1)).transpose(0, 1)

    own = module.lora_A["default"]
    module.lora_A["default"] = Turned(own)
    try:
        with pytest.raises(ModelError, match=r"told apart in up_proj of .*Mend: model\.adapter\.targets=(?!.*up_proj)"):
            check_singles(fresh)
    finally:
        module.lora_A["default"] = own
    check_singles(fresh)


def test_gradients_that_are_left_out_are_found(fresh, monkeypatch):
    """As they were for fused experts: zeros, without an error."""
    follow = SingleGradients._add

    def all_but_one(self, place, given, gradient):
        if place != 2:
            follow(self, place, given, gradient)

    monkeypatch.setattr(SingleGradients, "_add", all_but_one)
    with pytest.raises(ModelError, match="cannot be told apart in"):
        check_singles(fresh)
