"""The formula of what a forward leaves behind, against what autograd saves."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig

from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.model.shape import Shape
from duolearn_cli.pipeline.planning.activation_sizes import Layer, Side

SHAPE = Shape(width=64, inner=96, layers=3, vocabulary=64, attention=64, key_value=32, tied=True)
ROWS, LENGTH = 8, 32


def decoder(shape, adapter):
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.attention // 16,
        num_key_value_heads=shape.key_value // 16,
        head_dim=16,
        use_cache=False,
    )
    targets = "all-linear" if adapter.targets == "all-linear" else adapter.targets.split(",")
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        base = AutoModelForCausalLM.from_config(config)
        network = get_peft_model(base, LoraConfig(r=adapter.rank, target_modules=targets, task_type="CAUSAL_LM"))
    return network.eval().get_base_model().get_decoder()


def saved(shape, adapter, half):
    """Bytes that autograd saves of padded rows, but for the parameters."""
    model = decoder(shape, adapter)
    known, found = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            # Kept alive, so that no later tensor gets its address.
            found[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    mask = torch.ones(ROWS, LENGTH, dtype=torch.long)
    mask[0, -3:] = 0
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        model(input_ids=torch.ones_like(mask), attention_mask=mask)
    return sum(size for size, _ in found.values())


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("targets", ["all-linear", "q_proj,v_proj", "down_proj", "gate_proj,up_proj"])
@pytest.mark.parametrize("sizes", [{}, {"key_value": 64}, {"inner": 256, "width": 48}], ids=["small", "heads", "wide"])
def test_a_block_leaves_what_the_formula_says(half, targets, sizes):
    shape, adapter = replace(SHAPE, **sizes), AdapterConfig(rank=4, targets=targets)
    layer = Layer(shape, adapter, half, casts_weights=half)
    # Of the difference, since the first block keeps less and the embeddings' side of it differs.
    found = saved(replace(shape, layers=4), adapter, half) - saved(replace(shape, layers=2), adapter, half)
    assert 2 * layer.graph(Side(ROWS, LENGTH, 0)) == pytest.approx(found, rel=0.08)


def test_checkpointing_keeps_the_inputs_of_blocks_and_one_block():
    layer, sides = Layer(SHAPE, AdapterConfig(rank=4), False, False), [Side(8, 32, 0), Side(4, 16, 0)]
    whole, again = (layer.saved(sides, 10, per_example=False, checkpointing=again) for again in (False, True))
    assert whole == 10 * sum(layer.graph(side) for side in sides)
    assert again == 10 * 4 * 64 * (8 * 32 + 4 * 16) + layer.graph(sides[0])
    followed = layer.saved(sides, 10, per_example=True, checkpointing=True)
    assert again < followed < whole
    # In float32 the graph holds the adapted layers' inputs already.
    assert layer.saved(sides, 10, per_example=True, checkpointing=False) == whole
