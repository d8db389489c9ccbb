"""The checks before learning find adapters without gradients or with wrong per-example gradients, and no others."""

import pytest
import torch
from torch import nn

from duolearn_cli.errors import ModelError
from duolearn_cli.training.fisher import SquaredGradients
from duolearn_cli.training.module_uses import ModuleUses
from duolearn_cli.training.per_example import PerExampleGradients
from duolearn_cli.training.per_example_probe import check_adapter, check_per_example
from tests.mixtures import MIXTURES, mixture
from tests.small_models import used_twice


@pytest.mark.parametrize("kind", [*MIXTURES, "gpt_oss", "llama4_text", "jamba", "mamba"])
def test_mixtures_and_state_spaces_pass_and_keep_their_values(kind):
    model = mixture(kind)
    before = [parameter.detach().clone() for parameter in model.adapter]
    check_adapter(model)
    check_per_example(model)
    assert all(torch.equal(own, old) for own, old in zip(model.adapter, before, strict=True))
    assert all(parameter.grad is None for parameter in model.adapter)


def test_a_layer_whose_examples_cannot_be_told_apart_is_refused_with_a_fix(fresh):
    module = next(m for name, m in fresh.network.named_modules() if name.endswith("layers.1.mlp.up_proj"))

    class Turned(nn.Module):
        """A linear layer that gets its tokens transposed."""

        def __init__(self, inner):
            super().__init__()
            self.inner, self.weight = inner, inner.weight

        def forward(self, states):
            return self.inner(states.transpose(0, 1)).transpose(0, 1)

    own = module.lora_A["default"]
    module.lora_A["default"] = Turned(own)
    try:
        with pytest.raises(ModelError, match=r"computed in up_proj of .*Fix: model\.adapter\.targets=(?!.*up_proj)"):
            check_per_example(fresh)
    finally:
        module.lora_A["default"] = own
    check_per_example(fresh)


def test_gradients_that_are_left_out_are_found(fresh, monkeypatch):
    """This happened with fused experts: their gradients were zero, without an error."""
    follow = PerExampleGradients._add

    def all_but_one(self, place, given, gradient, uses):
        if place != 2:
            follow(self, place, given, gradient, uses)

    monkeypatch.setattr(PerExampleGradients, "_add", all_but_one)
    with pytest.raises(ModelError, match="cannot be computed in"):
        check_per_example(fresh)


def test_modules_that_are_used_twice_pass(fresh, monkeypatch):
    used_twice(fresh, monkeypatch)
    check_per_example(fresh)


def test_squares_of_single_uses_are_found(fresh, monkeypatch):
    """This was a bug: gradients were squared for each use of a module, and the squares added."""
    used_twice(fresh, monkeypatch)
    monkeypatch.setattr(SquaredGradients, "receive", lambda self, place, single, uses: self._square(place, single))
    with pytest.raises(ModelError, match="computed in gate_proj, up_proj, down_proj of"):
        check_per_example(fresh)


def test_uses_are_counted_by_forward():
    inner = nn.Linear(2, 2)
    network = nn.Sequential(nn.Sequential(inner, nn.ReLU()), nn.Linear(2, 2))
    uses = ModuleUses(network, [inner, network[1]])
    handle = inner.register_forward_hook(lambda module, inputs, output: uses.current.update([module]))
    hooks, seen = uses.hooks(), []
    for _ in range(2):
        network(torch.zeros(1, 2))
        seen.append(uses.current)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3))
    network(torch.zeros(1, 2))
    for hook in (handle, *hooks):
        hook.remove()
    assert [*map(dict, seen), dict(uses.current)] == [{inner: 1}] * 3 and seen[0] is not seen[1]
