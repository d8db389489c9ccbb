"""The configured model with a larger vocabulary: its texts stay the same, its logits are as wide as a large model's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import ConfigError
from duolearn_cli.model.loading import load_tokenizer
from duolearn_cli.model.pretrained import load_base
from duolearn_cli.model.weights import find_weights


def enlarge(config: RunConfig, size: int, folder: Path) -> Mapping[str, Any]:
    """Write the configured model, with random embeddings added up to `size` tokens, and its tokenizer into `folder`.

    Returns:
        The settings that load the new model, by dotted key.

    Raises:
        ConfigError: the model already has more than `size` tokens.
    """
    weights = find_weights(config.model, config.cache_dir)
    tokenizer = load_tokenizer(weights, config.model)
    base = load_base(weights, config.model.name, torch.float32)
    count = base.config.vocab_size
    if size < count:
        raise ConfigError(
            f"bench.vocabulary={size}: {config.model.name} has {count} tokens; allowed: {count} or more, or none given."
        )
    generator = torch.Generator().manual_seed(0)
    inputs, outputs = base.get_input_embeddings(), base.get_output_embeddings()
    is_tied = outputs.weight is inputs.weight
    inputs.weight = nn.Parameter(_grown(inputs.weight.data, size, generator))
    inputs.num_embeddings = size
    # A tied model keeps one parameter for both.
    outputs.weight = inputs.weight if is_tied else nn.Parameter(_grown(outputs.weight.data, size, generator))
    outputs.out_features = base.config.vocab_size = size
    base.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {"embedded": False, "path": str(folder), "wheel": None, "gguf_file": None, "revision": None}
    return {f"model.{name}": value for name, value in settings.items()}


def _grown(weight: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Append random rows with the standard deviation of the existing ones. Shapes: [tokens, width] -> [size, width]."""
    added = torch.randn(size - len(weight), weight.shape[1], generator=generator)
    return torch.cat([weight, weight.std() * added.to(weight.dtype)])
