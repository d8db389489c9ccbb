"""Which modules an adapter is put on, which it reaches, and what is said of the rest."""

import pytest
import torch
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer

from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.config.schema import LearnConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.model import losses
from duolearn_cli.model.adapter_names import Place
from duolearn_cli.model.adapter_reach import Reach, mend, unfit
from duolearn_cli.model.encoding import collate
from duolearn_cli.model.lora import attach, load, lora_config, save
from duolearn_cli.training.finetune import fine_tune
from tests.mixtures import MIXTURES, base_of, mixture
from tests.model.test_attention import random_texts


def adapted(model):
    """Layers and modules, with the wrapped parameter's name."""
    return {
        (Place.of(f"{name}.lora_A").layer, Place.of(f"{name}.lora_A").module, getattr(module, "parameter_name", ""))
        for name, module in model.network.named_modules()
        if isinstance(module, BaseTunerLayer)
    }


@pytest.mark.parametrize("kind", [*MIXTURES, "gpt_oss", "jamba", "ctrl", "zamba2"])
def test_chosen_layers_carry_what_all_layers_would_carry_there(kind, tmp_path):
    """PEFT itself adapts fused experts in every layer, whatever layers are chosen, or in none."""
    everywhere, last = adapted(mixture(kind)), mixture(kind, layers="last:1")
    assert adapted(last) == {place for place in everywhere if place[0] == 1}
    save(last.network, tmp_path, is_main=True)
    load(last.network, tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("jamba", "dt_proj", "its forward never runs"),
        ("mamba", "dt_proj", "its forward never runs"),
        ("mamba", "out_proj", "read by fused kernels"),
        ("llama4_text", "router", "more than a product"),
        ("phimoe", "router", "more than a product"),
    ],
)
def test_modules_that_cannot_carry_an_adapter_are_left_out_or_refused(kind, name, why):
    base = base_of(kind)
    assert any(place.endswith(f".{name}") and why in told for place, told in unfit(base).items())
    assert not any(module == name for _, module, _ in adapted(mixture(kind)))
    with pytest.raises(ModelError, match=rf"targets: {name} of .*{why}.*Mend: model\.adapter\.targets=all-linear\."):
        lora_config(AdapterConfig(targets=name), base)


def test_a_mend_names_no_module_by_a_number():
    """Layers would be called by it too, and PEFT refuses those: what is proposed must run."""
    found = mend(mixture("ctrl").network, [])
    targets = found.removeprefix("Mend: model.adapter.targets=").removesuffix(".")
    assert targets.split(",") == ["Wq", "Wk", "Wv", "dense"]
    attach(AdapterConfig(targets=targets), base_of("ctrl"))


def test_the_mend_keeps_the_other_names():
    with pytest.raises(ModelError, match=r"Mend: model\.adapter\.targets=q_proj,v_proj\."):
        lora_config(AdapterConfig(targets="q_proj,dt_proj,v_proj"), base_of("jamba"))


@pytest.mark.parametrize(
    ("kind", "targets", "said"),
    [
        ("mixtral", "experts", r"Target module MixtralExperts\(.*\) is not supported"),
        ("deepseek_v3", "gate_proj", "gate_proj without also targeting up_proj because they are fused"),
    ],
)
@pytest.mark.parametrize("layers", ["all", "last:1"])
def test_what_peft_does_not_adapt_is_refused_in_a_whole_sentence(kind, targets, said, layers):
    with pytest.raises(ModelError, match=rf"targets={targets}: .*{said}.*\. Mend: model\.adapter\.targets=all-linear"):
        mixture(kind, targets=targets, layers=layers)


def test_ordinary_models_lose_nothing():
    assert unfit(base_of("mixtral")) == {}


def test_learning_ends_at_once_where_a_module_has_no_gradient(monkeypatch):
    monkeypatch.setattr("duolearn_cli.model.adapter_reach.unfit", lambda base: {})
    model = mixture("jamba")
    settings = LearnConfig(epochs=1, batch_size=2, learning_rate=1e-3)
    with pytest.raises(
        ModelError, match=r"the adapter of dt_proj .*no gradient.*Mend: model\.adapter\.targets=in_proj,x_p"
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
    # Attention 768, shared expert 592; beside them experts of 2,304 and a router of 64 weights.
    assert half.share == pytest.approx(1360 / 3728) and line.startswith(
        "Warning: the adapter reaches 36.5% of the body"
    )
    assert "leaves out experts.gate_up_proj" in line
    assert not half.sentences("q_proj")[0].startswith("Warning")
    upper = mixture("mixtral", layers="last:1").reach
    assert upper.share == pytest.approx(0.5) and upper.within == upper.reached and not upper.is_low


def test_the_sentence():
    found = Reach(10, 40, 80, {"experts.down_proj": 28, "mlp.gate": 1, "x.y": 0})
    assert found.sentence() == (
        "the adapter reaches 12.5% of the body's weights (25.0% of those of its layers); of its layers it leaves out "
        "experts.down_proj (70%), mlp.gate (2%) and 1 more"
    )
