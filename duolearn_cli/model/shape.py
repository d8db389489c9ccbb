"""The dimensions of a transformer, read from its configuration without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from duolearn_cli.config.layers import chosen_layers
from duolearn_cli.config.model import AdapterConfig, target_names
from duolearn_cli.errors import ModelError
from duolearn_cli.files import read_json
from duolearn_cli.model.weights import Weights

# The linear layers of a block, in the order of `Shape.linears`.
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# The names that configurations use for the number of experts.
EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of a Llama-like transformer.

    width: size of the hidden states.
    inner: size of the MLP's inner layer.
    layers: number of blocks.
    vocabulary: number of token ids.
    attention: size of all queries of a token (heads times head size).
    key_value: size of all its keys, and of all its values.
    tied: the output layer shares the embedding's weight.
    is_mixture: the model has several experts; then its number of parameters does not follow from these dimensions.
    """

    width: int
    inner: int
    layers: int
    vocabulary: int
    attention: int
    key_value: int
    tied: bool
    is_mixture: bool = False

    def linears(self) -> list[tuple[int, int]]:
        """Return (inputs, outputs) of the linear layers of one block, in the order of `MODULES`."""
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
        """Return the number of parameters: embeddings, linear layers, two norms in each block and one at the end."""
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return embeddings + self.layers * sum(i * o for i, o in self.linears()) + (2 * self.layers + 1) * self.width

    def adapter_parameters(self, adapter: AdapterConfig) -> int:
        """Return the number of parameters of an adapter, by default on every linear layer of every block.

        Raises:
            ConfigError: the adapter names blocks that the model does not have.
        """
        # A LoRA pair has rank * (inputs + outputs) parameters.
        wanted = target_names(adapter) or MODULES
        sizes = [i + o for name, (i, o) in zip(MODULES, self.linears(), strict=True) if name in wanted]
        return len(chosen_layers(adapter.layers, self.layers)) * adapter.rank * sum(sizes)


def read_shape(weights: Weights) -> Shape | None:
    """Read the dimensions from config.json or a GGUF file's metadata.

    The result is None for a hub model that is not on this machine, and for an architecture with other dimensions.
    """
    folder = Path(weights.location)
    if weights.gguf_file and (folder / weights.gguf_file).is_file():
        return _gguf_shape(folder / weights.gguf_file)
    if not (folder / "config.json").is_file():
        return None
    config = read_json(folder / "config.json", ModelError)
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
    except (KeyError, TypeError, ZeroDivisionError, AttributeError):
        return None  # another architecture; `folder_check` has refused what is damaged


def _experts(value: object) -> int:
    """Return the number of experts from a number, or from a list with one for each layer (its largest)."""
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
