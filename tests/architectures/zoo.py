"""Tiny random models of the causal language models that transformers ships, each with a tokenizer trained on the spot.

Sizes are as small as an architecture allows, and what makes it special is there: experts that some tokens miss,
convolutions and scans beside attention, sliding windows, scaled and capped logits, tied heads.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from duolearn_cli.data.readers.minimed import Minimed

VOCABULARY = 512
# Every configuration is offered all of these and takes what it knows.
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
LATENT = {"kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "num_key_value_heads": 4}
GROUPED = {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "n_shared_experts": 1}
DELTA = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
MAMBA2 = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_d_state": 8}


@dataclass(frozen=True)
class Architecture:
    """One row of the table: a model type of transformers and what it needs beside `SIZES` (None: leave that out)."""

    model_type: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def _rows(**settings: Mapping[str, Any]) -> dict[str, Architecture]:
    return {name: Architecture(name.replace("_decoder", "-decoder"), own) for name, own in settings.items()}


DENSE = _rows(
    llama={},
    mistral={"sliding_window": 24},
    ministral={"sliding_window": 24},
    ministral3={},
    qwen2={},
    qwen3={},
    olmo={},
    olmo2={},
    olmo3={"sliding_window": 24},
    phi={},
    phi3={},
    stablelm={},
    starcoder2={},
    smollm3={},
    glm={},
    glm4={},
    helium={},
    nemotron={},
    persimmon={},
    arcee={},
    apertus={},
    seed_oss={},
    ernie4_5={},
    exaone4={"sliding_window": 24},
    hunyuan_v1_dense={},
    hyperclovax={},
    jais2={},
    cwm={},
    diffllama={},
    doge={},
    nanochat={},
    bitnet={},
    gemma={},
    gemma3_text={"sliding_window": 24},
    gemma3n_text={
        "layer_types": ["sliding_attention", "full_attention"],
        "num_kv_shared_layers": 0,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": VOCABULARY,
        "laurel_rank": 4,
        "activation_sparsity_pattern": [0.0, 0.0],
        "intermediate_size": [48, 48],
        "altup_num_inputs": 2,
    },
    modernbert_decoder={},
)
SCALED_OR_CAPPED = _rows(
    gemma2={"query_pre_attn_scalar": 8, "sliding_window": 24},
    vaultgemma={"query_pre_attn_scalar": 8, "sliding_window": 24},
    granite={"logits_scaling": 8.0, "residual_multiplier": 0.5, "embedding_multiplier": 4.0},
    cohere={"logit_scale": 0.25},
    cohere2={"logit_scale": 0.25, "sliding_window": 24},
)
GPT2_LIKE = _rows(
    gpt2={},
    gpt_bigcode={},
    gpt_neo={"attention_types": [[["global", "local"], 1]], "num_layers": 2, "num_heads": 4, "window_size": 24},
    gpt_neox={},
    gpt_neox_japanese={},
    gptj={"rotary_dim": 8},
    codegen={"rotary_dim": 8},
    opt={"ffn_dim": 48, "word_embed_proj_dim": 32},
    xglm={"ffn_dim": 48, "d_model": 32, "attention_heads": 4, "num_layers": 2},
    ctrl={"dff": 48, "n_embd": 32},
    bloom={},
    mpt={"max_seq_len": 512},
    falcon={"head_dim": None},
    biogpt={},
)
EXPERTS = _rows(
    mixtral={},
    qwen2_moe={},
    qwen3_moe={},
    olmoe={},
    flex_olmo={},
    phimoe={},
    granitemoe={"logits_scaling": 4.0},
    granitemoeshared={"shared_intermediate_size": 16},
    deepseek_v2=LATENT | GROUPED | {"q_lora_rank": None, "moe_intermediate_size": 16},
    deepseek_v3=LATENT | GROUPED | {"q_lora_rank": 16},
    gpt_oss={"sliding_window": 24},
    llama4_text={"intermediate_size_mlp": 48},
    glm4_moe=GROUPED,
    dots1=GROUPED,
    solar_open=GROUPED,
    ernie4_5_moe={"moe_layer_start_index": 1, "moe_num_experts": 4, "moe_k": 2},
    exaone_moe={},
    hunyuan_v1_moe={},
    minimax_m2={},
    jetmoe={},
    cohere2_moe={"logit_scale": 0.25},
    afmoe={},
    aria_text={"moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1},
)
HYBRID = _rows(
    qwen3_next=DELTA,
    qwen3_5_text=DELTA,
    qwen3_5_moe_text=DELTA,
    olmo_hybrid={"layer_types": ["linear_attention", "full_attention"]},
    lfm2={"layer_types": ["conv", "full_attention"]},
    lfm2_moe={"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    jamba={
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    bamba=MAMBA2 | {"attn_layer_indices": [1]},
    granitemoehybrid=MAMBA2
    | {
        "layer_types": ["mamba", "attention"],
        "layers_block_type": ["mamba", "attention"],
        "shared_intermediate_size": 16,
    },
    falcon_h1=MAMBA2 | {"mamba_d_ssm": 64},
    nemotron_h={
        "layers_block_type": ["mamba", "attention", "mlp"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
    },
    zamba2={
        "layers_block_type": ["mamba", "hybrid"],
        "hybrid_layer_ids": [1],
        "mamba_d_state": 8,
        "mamba_headdim": 16,
        "mamba_ngroups": 1,
        "n_mamba_heads": 4,
    },
    recurrent_gemma={"block_types": ["recurrent", "attention"], "lru_width": 32, "attention_window_size": 24},
    minimax={"layer_types": ["linear_attention", "full_attention"]},
    mamba={"state_size": 8},
    mamba2={"num_heads": 8, "head_dim": 8, "n_groups": 1, "state_size": 8},
    falcon_mamba={"state_size": 8},
    rwkv={"attention_hidden_size": 32},
)
TIED = {
    f"{name}, {'tied' if tied else 'untied'} head": Architecture(name, {"tie_word_embeddings": tied})
    for name, tied in (("llama", True), ("qwen3_moe", True), ("gemma", False), ("gpt2", False))
}
FAMILIES = {
    "dense": DENSE,
    "scaled or capped logits": SCALED_OR_CAPPED,
    "GPT-2-like and older": GPT2_LIKE,
    "mixture of experts": EXPERTS,
    "hybrid and recurrent": HYBRID,
    "tied and untied heads": TIED,
}
ARCHITECTURES = {name: one for family in FAMILIES.values() for name, one in family.items()}


def make_folder(architecture: Architecture, folder: Path) -> Path:
    """Write a random model and a tokenizer, in the files that a user would have; return the folder."""
    model = random_model(architecture)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def random_model(architecture: Architecture) -> PreTrainedModel:
    """The model in float32. Its weights are large enough for every layer to matter and for texts to differ."""
    settings = SIZES | dict(architecture.settings)
    known = {key: value for key, value in settings.items() if value is not None}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture.model_type, **known))
        for name, parameter in model.named_parameters():
            # Matrices of linear layers, embeddings and experts; not the decays of scans, nor convolutions.
            if (
                parameter.ndim in (2, 3)
                and name.endswith(("weight", "gate_up_proj", "down_proj"))
                and "conv" not in name
            ):
                torch.nn.init.normal_(parameter, std=1.5 / parameter.shape[-1] ** 0.5)
    return model.float().eval()


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 512 tokens, trained on the shipped questions, that begins each text with <s>."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    items = Minimed().load().items
    made.train_from_iterator((" ".join([item.question, *item.options]) for item in items), trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
