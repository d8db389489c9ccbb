"""The numbers of a transformer that sizes follow from, read without loading it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from duolearn_cli.config.layers import chosen_layers
from duolearn_cli.config.model import AdapterConfig, target_names
from duolearn_cli.model.weights import Weights

# The linear layers of a block, in the order of `Shape.linears`.
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# How configurations call the number of experts.
EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a Llama-like transformer that sizes follow from; of a mixture of experts not all are known."""

    width: int
    inner: int
    layers: int
    vocabulary: int
    attention: int
    key_value: int
    tied: bool
    is_mixture: bool = False

    def linears(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one block."""
        return [
            (self.width, self.attention),
            (self.width, self.key_value),
            (self.width, self.key_value),
            (self.attention, self.width),
            (self.width, self.inner),
            (self.width, self.inner),
            (self.inner, self.width),
        ]

    def parameters(self) -> int:
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return embeddings + self.layers * sum(i * o for i, o in self.linears()) + (2 * self.layers + 1) * self.width

    def adapter_parameters(self, adapter: AdapterConfig) -> int:
        """LoRA pairs on every linear layer of every block, or on those that the configuration names.

        Raises ConfigError for blocks that the model has not.
        """
        wanted = target_names(adapter) or MODULES
        sizes = [i + o for name, (i, o) in zip(MODULES, self.linears(), strict=True) if name in wanted]
        return len(chosen_layers(adapter.layers, self.layers)) * adapter.rank * sum(sizes)


def read_shape(weights: Weights) -> Shape | None:
    """From config.json or the GGUF's metadata; None for a hub model that is not here yet."""
    folder = Path(weights.location)
    if weights.gguf_file and (folder / weights.gguf_file).is_file():
        return _gguf_shape(folder / weights.gguf_file)
    if not (folder / "config.json").is_file():
        return None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    try:
        heads, width, inner = config["num_attention_heads"], config["hidden_size"], config["intermediate_size"]
        size = config.get("head_dim") or width // heads
        if isinstance(inner, list):  # a width for each layer, as in Gemma 3n: no prediction is made
            return None
        return Shape(
            width=width,
            inner=inner,
            layers=config["num_hidden_layers"],
            vocabulary=config["vocab_size"],
            attention=heads * size,
            key_value=config.get("num_key_value_heads", heads) * size,
            tied=config.get("tie_word_embeddings", False),
            is_mixture=any(_experts(config.get(key)) > 1 for key in EXPERT_COUNTS),
        )
    except KeyError:
        return None


def _experts(value: object) -> int:
    """A count, or the largest of one for each layer."""
    counts = value if isinstance(value, list) else [value]
    return max((count for count in counts if isinstance(count, int)), default=0)


def _gguf_shape(path: Path) -> Shape:
    from gguf import GGUFReader

    reader = GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()

    def number(key: str) -> int:
        return int(reader.fields[f"{architecture}.{key}"].contents())

    tensors = {tensor.name: tensor for tensor in reader.tensors}
    width, heads = number("embedding_length"), number("attention.head_count")
    return Shape(
        width=width,
        inner=number("feed_forward_length"),
        layers=number("block_count"),
        vocabulary=int(tensors["token_embd.weight"].shape[1]),
        attention=width,
        key_value=number("attention.head_count_kv") * (width // heads),
        tied="output.weight" not in tensors,
        is_mixture=any("_exps." in name for name in tensors),
    )
