"""The output layer, compared with autograd and with the logits of whole models."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from duolearn_cli.errors import ModelError
from duolearn_cli.model import losses, output_layer
from duolearn_cli.model.encoding import Encoded, collate
from duolearn_cli.model.host_to_device import Rows
from duolearn_cli.model.output_layer import OutputLayer
from duolearn_cli.model.readings import kl_at, nll_at
from duolearn_cli.model.readout import Readout
from tests.small_models import CAPPED, SCALED, adapted, random_base

SHAPES = [(1.0, None), (0.25, None), (1.0, 3.0), (4.0, 2.0)]


def made_up(scale, cap, bias=True):
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(5, 11, bias=bias).double()
    for parameter in linear.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    hidden = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    return OutputLayer(linear.requires_grad_(False), scale, cap), hidden.requires_grad_(), generator


def closed_form(layer, hidden):
    raw = (hidden @ layer.linear.weight.T + layer.linear.bias) * layer.scale
    return raw if layer.cap is None else layer.cap * torch.tanh(raw / layer.cap)


@pytest.mark.parametrize(("scale", "cap"), SHAPES)
def test_logits_and_their_gradient_are_those_of_the_formula(scale, cap):
    layer, hidden, generator = made_up(scale, cap)
    logits = layer.logits(hidden)
    torch.testing.assert_close(logits, closed_form(layer, hidden))
    gradient = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(closed_form(layer, hidden), hidden, gradient)
    torch.testing.assert_close(layer.pull(gradient, logits.detach()), expected)


@pytest.mark.parametrize(("scale", "cap"), SHAPES)
def test_reading_in_chunks_gives_the_gradient_of_all_logits(scale, cap, monkeypatch):
    layer, hidden, generator = made_up(scale, cap)
    monkeypatch.setattr("duolearn_cli.model.readout.LOGITS_PER_CHUNK", 2 * layer.vocabulary)
    head = SimpleNamespace(vocabulary=layer.vocabulary, head=layer.logits, pull=layer.pull)
    reference = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    labels, where = torch.arange(7), torch.tensor([True, False] * 3 + [True])
    read = Readout(head, Rows([hidden]), labels, {"base": lambda: reference})
    values = read.read(nll_at(where), kl_at(~where, "base"))
    logits, other = closed_form(layer, hidden), closed_form(layer, reference)
    expected = losses.nll(logits, labels)[where], losses.kl(other, logits)[~where]
    for one, wanted in zip(values, expected, strict=True):
        torch.testing.assert_close(one, wanted)
        gradients = [torch.autograd.grad(each.square().sum(), hidden, retain_graph=True)[0] for each in (one, wanted)]
        torch.testing.assert_close(*gradients)


def texts():
    rows = [(3, 9, 14, 25, 7), (8, 30, 2, 39, 11, 5, 6, 21)]
    return [Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids)) for ids in rows]


@pytest.mark.parametrize(("family", "more"), [CAPPED, *SCALED])
@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_scaled_and_capped_models_have_the_nll_of_their_own_logits(family, more, size):
    """For any size of the logits: the cap is found with small ones, and the scale with large ones."""
    base = random_base(family, more)
    base.get_output_embeddings().weight.data.mul_(size)
    model = adapted(base)
    expected = (
        1 / 8 if family == "Granite" else 0.25 if family == "Cohere" else 1.0,
        more.get("final_logit_softcapping"),
    )
    assert (model._output.scale, model._output.cap) == expected
    batch = collate(texts(), "text")
    hidden = model.hidden(batch).detach().requires_grad_()
    with torch.no_grad():
        logits = model.network(input_ids=batch.ids, attention_mask=batch.mask).logits[batch.row, batch.position]
    torch.testing.assert_close(losses.nll(model.head(hidden), batch.label), losses.nll(logits, batch.label))
    # The readout's gradient equals that of autograd through the model's own formula.
    read = Readout(model, Rows([hidden]), batch.label, {}).read(nll_at(torch.ones(len(batch.label), dtype=torch.bool)))
    (ours,) = torch.autograd.grad(read[0].sum(), hidden)
    (wanted,) = torch.autograd.grad(losses.nll(model.head(hidden), batch.label).sum(), hidden)
    torch.testing.assert_close(ours, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=1e-4)


def test_a_field_that_the_architecture_does_not_use_changes_nothing():
    layer = adapted(random_base("Llama", {"logits_scaling": 8.0, "final_logit_softcapping": 3.0}))._output
    assert (layer.scale, layer.cap) == (1.0, None)


def changed_forward(base, change):
    inner = base.forward

    def forward(*args, **named):
        output = inner(*args, **named)
        output.logits = change(output.logits)
        return output

    base.forward = forward
    return base


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda logits: logits * 1.5, "LlamaForCausalLM changes its logits after the output layer.*logit_scale"),
        (lambda logits: 9 * torch.tanh(logits / 9), "LlamaForCausalLM changes its logits after the output layer"),
        (lambda logits: logits[..., :-3], "returns 37 of the 40 logits"),
        (lambda logits: logits * torch.nan, "are not finite in torch.float32, although its weights are.*another model"),
    ],
)
@pytest.mark.parametrize("size", [1e-4, 1.0])
def test_an_unknown_change_is_refused_however_small_the_logits(change, message, size):
    base = random_base("Llama")
    base.get_output_embeddings().weight.data.mul_(size)
    with pytest.raises(ModelError, match=message):
        adapted(changed_forward(base, change))


def test_hidden_states_that_are_changed_before_the_output_layer_are_refused():
    base = random_base("Llama")
    base.lm_head.register_forward_pre_hook(lambda module, inputs: (inputs[0].tanh(),))
    with pytest.raises(ModelError, match="LlamaForCausalLM changes its hidden states before the output layer"):
        adapted(base)


def test_a_scale_before_an_output_layer_with_a_bias_is_refused():
    """``W (s h) + b`` is not ``s (W h + b)``."""
    for bias in (None, nn.Parameter(torch.ones(40))):
        base = random_base("Llama", {"logits_scaling": 8.0})
        base.lm_head.bias = bias
        base.lm_head.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 8,))
        if bias is None:
            assert adapted(base)._output.scale == 8
            continue
        with pytest.raises(ModelError, match="LlamaForCausalLM changes its hidden states before the output layer"):
            adapted(base)


def test_an_adapter_on_the_output_layer_is_refused_as_one():
    with pytest.raises(ModelError, match=r"output layer of LlamaForCausalLM carries an adapter\. Fix: .*targets"):
        adapted(random_base("Llama"), ("lm_head",))


def test_a_model_without_a_decoder_is_refused():
    base = random_base("Llama")
    base.get_decoder = lambda: base.lm_head
    with pytest.raises(ModelError, match="LlamaForCausalLM has no decoder that turns token ids into hidden states"):
        adapted(base)


def test_the_probe_removes_its_hook():
    base = random_base("Llama")
    output_layer.find(base, base.get_decoder(), "Llama")
    assert not base.lm_head._forward_hooks
