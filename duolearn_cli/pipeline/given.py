"""A gold that is a whole model, beside the network of a run."""

from __future__ import annotations

import copy
from pathlib import Path

from duolearn_cli.config.schema import ModelConfig, RunConfig
from duolearn_cli.errors import ModelError
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.weights import find_weights


def load_gold(folder: Path, config: RunConfig, model: LanguageModel) -> LanguageModel:
    """Load the whole model in `folder` as gold, with a fresh adapter; for a short time two models are in memory.

    Raises:
        ModelError: it cannot be read, or its tokenizer splits texts in another way than that of `model`: losses per
            token would then not be comparable.
    """
    # Precision and quantisation stay those of the run, because losses of both models are compared.
    settings: ModelConfig = copy.deepcopy(config.model)
    settings.name, settings.path, settings.embedded = "gold", str(folder), False
    settings.wheel = settings.gguf_file = settings.revision = None
    gold = load_model(find_weights(settings, config.cache_dir), settings, config.runtime, config.learn.seed)
    if gold.tokenizer.get_vocab() != model.tokenizer.get_vocab():
        raise ModelError(
            f"learn.gold={folder}: its tokenizer is not that of {config.model.name}, so their losses per token cannot "
            "be compared. Give a gold with the same tokenizer, or leave learn.gold out."
        )
    return gold
