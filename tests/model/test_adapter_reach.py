"""Which modules an adapter is attached to, which it reaches, and what the messages say about the others."""

import pytest
import torch
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer

from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.config.schema import LearnConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.model import losses
from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.adapter_reach import Reach, fix, unfit
from duolearn_cli.model.encoding import collate
from duolearn_cli.model.lora import attach, load, lora_config, save
from duolearn_cli.training.finetune import fine_tune
from tests.mixtures import MIXTURES, base_of, mixture
from tests.model.test_attention import random_texts


def adapted(model):
    """Return (layer, module) of the adapted modules, with the wrapped parameter's name."""
    return {
        (Place.of(f"{name}.lora_A").layer, Place.of(f"{name}.lora_A").module, getattr(module, "parameter_name", ""))
        for name, module in model.network.named_modules()
        if isinstance(module, BaseTunerLayer)
    }


@pytest.mark.parametrize("kind", [*MIXTURES, "gpt_oss", "jamba", "ctrl", "zamba2"])
def test_chosen_layers_carry_what_all_layers_would_carry_there(kind, tmp_path):
    """PEFT itself adapts fused experts in all layers or in none, whichever layers are chosen."""
    everywhere, last = adapted(mixture(kind)), mixture(kind, layers="last:1")
    assert adapted(last) == {place for place in everywhere if place[0] == 1}
    save(last.network, tmp_path, is_main=True)
    load(last.network, tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("jamba", "dt_proj", "its forward never runs"),
        ("mamba", "dt_proj", "its forward never runs"),
        ("mamba", "out_proj", "fused kernels read its weight"),
        ("llama4_text", "router", "more than a product"),
        ("phimoe", "router", "more than a product"),
    ],
)
def test_modules_that_cannot_carry_an_adapter_are_left_out_or_refused(kind, name, why):
    base = base_of(kind)
    assert any(place.endswith(f".{name}") and why in reason for place, reason in unfit(base).items())
    assert not any(module == name for _, module, _ in adapted(mixture(kind)))
    with pytest.raises(ModelError, match=rf"targets: {name} of .*{why}.*Fix: model\.adapter\.targets=all-linear\."):
        lora_config(AdapterConfig(targets=name), base)


def test_a_fix_names_no_module_by_a_number():
    """The number would match layers too, which PEFT refuses; the proposed setting must work."""
    message = fix(mixture("ctrl").network, [])
    targets = message.removeprefix("Fix: model.adapter.targets=").removesuffix(".")
    assert targets.split(",") == ["Wq", "Wk", "Wv", "dense"]
    attach(AdapterConfig(targets=targets), base_of("ctrl"))


def test_the_fix_keeps_the_other_names():
    with pytest.raises(ModelError, match=r"Fix: model\.adapter\.targets=q_proj,v_proj\."):
        lora_config(AdapterConfig(targets="q_proj,dt_proj,v_proj"), base_of("jamba"))


@pytest.mark.parametrize(
    ("kind", "targets", "message"),
    [
        ("mixtral", "experts", r"Target module MixtralExperts\(.*\) is not supported"),
        ("deepseek_v3", "gate_proj", "gate_proj without also targeting up_proj because they are fused"),
    ],
)
@pytest.mark.parametrize("layers", ["all", "last:1"])
def test_what_peft_does_not_adapt_is_refused_in_a_whole_sentence(kind, targets, message, layers):
    with pytest.raises(
        ModelError, match=rf"targets={targets}: .*{message}.*\. Fix: model\.adapter\.targets=all-linear"
    ):
        mixture(kind, targets=targets, layers=layers)


def test_in_ordinary_models_no_module_is_left_out():
    assert unfit(base_of("mixtral")) == {}


def test_learning_ends_at_once_if_a_module_has_no_gradient(monkeypatch):
    monkeypatch.setattr("duolearn_cli.model.adapter_reach.unfit", lambda base: {})
    model = mixture("jamba")
    settings = LearnConfig(epochs=1, batch_size=2, learning_rate=1e-3)
    with pytest.raises(
        ModelError, match=r"the adapter of dt_proj .*no gradient.*Fix: model\.adapter\.targets=in_proj,x_p"
    ):
        fine_tune(model, random_texts([5, 6, 7]), settings, lambda values: None)


def test_an_expert_without_tokens_is_no_reason_to_refuse():
    model = mixture("mixtral")
    nll = losses.nll(model.head(model.hidden(collate(random_texts([2]), "text"))), torch.tensor([1]))
    nll.sum().backward()
    wrappers = [module for module in model.network.modules() if isinstance(module, ParamWrapper)]
    gradients = [m.lora_B["default"].weight.grad.unflatten(1, (-1, 4)) for m in wrappers if m.num_experts == 4]
    assert any(not gradient[:, :, expert].any() for gradient in gradients for expert in range(4))
    model.check_reached([parameter for parameter in model.adapter if parameter.grad is not None])


def test_shares():
    assert mixture("mixtral").reach.share == 1 and mixture("mixtral").reach.missing == {}
    half = mixture("qwen2_moe").reach
    assert half.is_low and set(half.missing) == {"experts.gate_up_proj", "experts.down_proj", "mlp.gate"}
    (line,) = half.sentences("all-linear")
    # Weights: attention 768, shared expert 592, experts 2,304, router 64.
    assert half.share == pytest.approx(1360 / 3728) and line.startswith(
        "Warning: the adapter reaches 36.5% of the body"
    )
    assert "leaves out experts.gate_up_proj" in line
    assert not half.sentences("q_proj")[0].startswith("Warning")
    upper = mixture("mixtral", layers="last:1").reach
    assert upper.share == pytest.approx(0.5) and upper.within == upper.reached and not upper.is_low


def test_the_sentence():
    reached = Reach(10, 40, 80, {"experts.down_proj": 28, "mlp.gate": 1, "x.y": 0})
    assert reached.sentence() == (
        "the adapter reaches 12.5% of the body's weights (25.0% in the layers that carry it); in its layers it leaves "
        "out experts.down_proj (70%), mlp.gate (2%) and 1 more"
    )
