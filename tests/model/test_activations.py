"""The output of an inner layer: the right layer and tokens, and a backward from there changes nothing above it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from duolearn_cli.errors import ModelError
from duolearn_cli.methods.base import Attention
from duolearn_cli.model.activations import layer_at, recorded
from duolearn_cli.model.encoding import collate
from duolearn_cli.training.forward import predict
from tests.plain import plain_tokens
from tests.training.test_unlearn import both_gradients, make_examples, method


@pytest.mark.parametrize(
    ("depth", "layers", "index"),
    [(0.25, 32, 7), (0.25, 4, 0), (0.01, 4, 0), (0.5, 30, 14), (1.0, 12, 11), (0.1, 30, 2), (0.7, 10, 6)],
)
def test_depth_is_the_share_of_layers_that_have_run(depth, layers, index):
    assert layer_at(depth, layers) == index


def test_activations_are_hidden_states_after_that_layer_at_the_token_before_each_label(fresh, study):
    forget, retain = make_examples(fresh, study, "text", attention=Attention(depth=0.5))
    examples = forget[:3] + retain[:2]
    for pack_to in (None, 128):
        tokens = predict(fresh, examples, "text", Attention(depth=0.5), pack_to).tokens
        batch = collate([example.text for example in examples], "text")
        with torch.no_grad():
            states = fresh.network(input_ids=batch.ids, output_hidden_states=True).hidden_states[2]
        expected = states[batch.row, batch.position]
        torch.testing.assert_close(tokens.activations.joined(), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(tokens.target_activations, expected, atol=1e-4, rtol=1e-4)
    assert len(tokens.activations.joined()) == sum(len(example.text.ids) - 1 for example in examples)


def test_a_loss_of_activations_changes_no_layer_above_and_starts_at_zero_for_retain_texts(fresh, study):
    chosen = method("rmu", "method.depth=0.5")
    forget, retain = make_examples(fresh, study, "text", attention=chosen.attention)
    step = both_gradients(fresh, forget + retain, chosen)
    assert step.losses["preserve_loss"] < 1e-6 and step.losses["forget_loss"] > 1
    names = [name for name, _ in fresh.named_adapter]
    sizes = [parameter.numel() for _, parameter in fresh.named_adapter]
    by_name = dict(zip(names, step.forget.split(sizes), strict=True))
    moved = {int(name.split("layers.")[1].split(".")[0]) for name, part in by_name.items() if part.any()}
    assert moved == {0, 1}


def test_a_backward_begins_at_that_layer(fresh, study):
    chosen = method("rmu")
    forget, retain = make_examples(fresh, study, "text", attention=chosen.attention)
    forward = predict(fresh, forget + retain, "text", chosen.attention)
    reached = forward.reached(chosen.objective(forward.tokens).forget)
    assert reached[1] is None
    (outputs, gradients), group = reached[0], forward.groups[0]
    assert [output is group.outputs["activations"] for output in outputs] == [True] and len(gradients) == 1
    together = predict(fresh, forget + retain, "text", chosen.attention, together=True)
    # In a sharded model every process runs all layers, whatever its own items need.
    assert len(together.reached(chosen.objective(together.tokens).forget)[0][0]) == 2


def test_without_a_depth_nothing_is_recorded_and_a_model_without_layers_says_so(fresh, study):
    forget, _ = make_examples(fresh, study, "text")
    assert plain_tokens(fresh, forget, "text").activations is None
    with recorded(SimpleNamespace(), 0.0, "Odd") as outputs:
        assert outputs == []
    with pytest.raises(ModelError, match="Odd has no list of layers"), recorded(SimpleNamespace(), 0.5, "Odd"):
        pass
    pair = SimpleNamespace(layers=nn.ModuleList([nn.Identity()]))
    with recorded(pair, 0.5, "Tuples") as outputs:
        pair.layers[0].forward = lambda x: (x, None)
        pair.layers[0](torch.ones(1, 2, 3))
    assert outputs[0].shape == (1, 2, 3)


def test_a_layer_below_the_adapter_cannot_be_steered(fresh, monkeypatch):
    fresh.check_adapted(0.0)
    fresh.check_adapted(0.25)
    only_top = [pair for pair in fresh.named_adapter if ".layers.3." in pair[0]]
    assert only_top
    monkeypatch.setattr(type(fresh), "named_adapter", property(lambda model: only_top))
    fresh.check_adapted(1.0)
    with pytest.raises(
        ModelError, match=r"method\.depth=0\.5: the adapter begins at layer 3, above layer 1.*more than 0\.75"
    ):
        fresh.check_adapted(0.5)
