"""Small random models with an adapter on whatever `all-linear` stands for: mixtures of experts, and state spaces."""

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.lora import attach
from tests import small_models

SIZES = small_models.SIZES | {"max_position_embeddings": 64, "initializer_range": 0.3}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12}
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT = {
    **EXPERTS,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 4,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 4,
}
LINEAR_ATTENTION = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 4,
    "linear_value_head_dim": 4,
    "layer_types": ["linear_attention", "full_attention"],
}
SHARED = {"shared_expert_intermediate_size": 12}
JAMBA = {**EXPERTS, "mamba_d_state": 4, "mamba_dt_rank": 4, "attn_layer_period": 2, "attn_layer_offset": 1}
# By transformers' name of the architecture.
MIXTURES = {
    "mixtral": LOCAL,
    "qwen2_moe": EXPERTS | SHARED,
    "qwen3_moe": EXPERTS,
    "qwen3_next": EXPERTS | SHARED | LINEAR_ATTENTION,
    "olmoe": EXPERTS | {"num_key_value_heads": 4},
    "deepseek_v3": LATENT,
}
OTHERS = {
    "gpt_oss": LOCAL
    | {"layer_types": ["full_attention", "full_attention"], "rope_parameters": {"rope_type": "default"}},
    "llama4_text": LOCAL | {"num_experts_per_tok": 1, "intermediate_size_mlp": 24, "interleave_moe_layer_step": 2},
    "phimoe": LOCAL,
    "jamba": JAMBA | {"expert_layer_period": 2, "expert_layer_offset": 1},
    "mamba": {"state_size": 4, "time_step_rank": 4},
    # Modules that are numbered themselves.
    "ctrl": {"n_embd": 16, "n_layer": 2, "n_head": 4, "dff": 24},
    "zamba2": {
        "layers_block_type": ["mamba", "hybrid"],
        "hybrid_layer_ids": [1],
        "mamba_d_state": 4,
        "mamba_headdim": 8,
        "mamba_ngroups": 1,
        "n_mamba_heads": 4,
    },
}


def base_of(kind, dtype=torch.float32):
    config = CONFIG_MAPPING[kind](**SIZES | (MIXTURES | OTHERS)[kind])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def mixture(kind, dtype=torch.float32, **settings):
    """A model of this kind with an adapter whose B matrices are random."""
    base = base_of(kind, dtype)
    network = attach(AdapterConfig(rank=2, alpha=4, **settings), base)
    small_models.draw_adapter(network, 0.1)
    return LanguageModel(network.to(dtype).eval(), None, "fp32", torch.device("cpu"))
