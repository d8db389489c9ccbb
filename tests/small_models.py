"""Small random models of other architectures than the shipped one, as transformers makes them and as files."""

import warnings

import torch
import transformers
from peft import LoraConfig, get_peft_model

from duolearn_cli.files import ASSETS
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.lora import initialise

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "initializer_range": 0.5,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CAPPED = ("Gemma2", {"query_pre_attn_scalar": 4, "final_logit_softcapping": 5.0})
SCALED = [
    ("Granite", {"logits_scaling": 8.0, "residual_multiplier": 0.5}),
    ("Cohere", {"logit_scale": 0.25}),
]
HYBRIDS = [
    ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
    (
        "Qwen3Next",
        {
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 8,
            "shared_expert_intermediate_size": 8,
        },
    ),
    (
        "Jamba",
        {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 4,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
        },
    ),
]


def random_base(family, more=None, dtype=torch.float32):
    """The base model alone, in eval mode; the global generator is left as it was."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(**SIZES | (more or {}))
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def adapted(base, targets=("q_proj", "v_proj")):
    """The model with an adapter that changes something."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        torch.manual_seed(1)
        network = get_peft_model(base, LoraConfig(r=2, target_modules=list(targets), init_lora_weights=False))
    return LanguageModel(network.eval(), None, "fp32", torch.device("cpu"))


def draw_adapter(network, scale):
    """Give an adapter values with which it changes something everywhere: B matrices of about this size."""
    initialise(network, 0)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def used_twice(model, monkeypatch):
    """Let a layer of `model` send its states through one and the same MLP twice; return the MLP."""
    mlp = model.decoder.layers[1].mlp
    once = mlp.forward
    monkeypatch.setattr(mlp, "forward", lambda states: once(once(states)))
    return mlp


def write_folder(base, folder):
    """A model as a user has it, with the shipped tokenizer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(ASSETS / "tiny").save_pretrained(folder)
    return folder
