"""Read a base model, and refuse weights that do not make up the model that its configuration describes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from duolearn_cli.errors import ModelError
from duolearn_cli.model.adapter_files import CONFIG_FILE
from duolearn_cli.model.weights import Weights

# What old checkpoints carry and the model computes by itself: positions, frequencies, the causal mask.
COMPUTED = re.compile(r"(^|\.)(position_ids|inv_freq|(cos|sin)_cached|masked_bias|causal_mask|(attn|attention)\.bias)$")
UNREADABLE = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)
SHOWN = 3


def load_base(weights: Weights, name: str, dtype: torch.dtype, **arguments: Any) -> Any:
    """The model as transformers loads it, with every tensor from the file and none left over.

    transformers itself fills missing tensors with random numbers and passes over those that it has no place for.

    Args:
        name: what messages call the model.
        arguments: for `from_pretrained`, beside those of `weights`.

    Raises:
        ModelError: the model cannot be read, or tensors are missing, left over, of another shape or not finite.
    """
    if (Path(weights.location) / CONFIG_FILE).is_file():
        raise ModelError(
            f"model {name} at {weights.location} is an adapter (it holds {CONFIG_FILE}), not a model. Mend: the "
            "model that it was made for as model.path, and adapter=FOLDER."
        )
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    # It would print its own table of the same tensors.
    transformers_logging.set_verbosity_error()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            weights.location,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **weights.arguments(model=True),
            **arguments,
        )
        base, found = loaded  # a pair, since information was asked for
    except torch.OutOfMemoryError:
        raise
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"model {name} at {weights.location} cannot be read: {reason}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    problems = list(_problems(found, base))
    if problems:
        raise ModelError(
            f"model {name} at {weights.location}: the weights are not those of its {type(base).__name__}: "
            f"{'; '.join(problems)}. Mend: the complete weights, with the configuration that belongs to them."
        )
    return base


def _problems(found: Mapping[str, Any], base: nn.Module) -> Iterator[str]:
    missing = sorted(found["missing_keys"])
    if missing:
        yield f"{counted(missing)} missing ({listed(missing)})"
    left_over = sorted(key for key in found["unexpected_keys"] if not COMPUTED.search(key))
    if left_over:
        yield f"{counted(left_over)} without a place in the model ({listed(left_over)})"
    mismatched = [
        f"{key} has {list(own)}, the model {list(wanted)}" for key, own, wanted in sorted(found["mismatched_keys"])
    ]
    if mismatched:
        yield f"{counted(mismatched)} of another shape ({listed(mismatched)})"
    strange = not_finite(base.state_dict())
    if strange:
        yield f"{counted(strange)} with numbers that are not finite ({listed(strange)})"


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity; packed numbers of less than 16 bits are not looked at."""
    return [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and tensor.itemsize > 1 and not tensor.isfinite().all()
    ]


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are beside them."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def counted(tensors: Sequence[str]) -> str:
    """How many they are, in words."""
    return f"{len(tensors)} tensor{'s' * (len(tensors) != 1)}"
