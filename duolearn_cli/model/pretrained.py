"""Read a base model, and refuse weights that do not match the model that the configuration describes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from duolearn_cli.errors import ModelError
from duolearn_cli.model.adapter_files import CONFIG_FILE
from duolearn_cli.model.weights import Weights

# Tensors that old checkpoints contain although the model computes them: positions, frequencies, the causal mask.
COMPUTED = re.compile(r"(^|\.)(position_ids|inv_freq|(cos|sin)_cached|masked_bias|causal_mask|(attn|attention)\.bias)$")
SHOWN = 3


def load_base(weights: Weights, name: str, dtype: torch.dtype, **arguments: Any) -> Any:
    """Load a model with transformers, and check that every tensor comes from the file and none is left over.

    transformers itself fills missing tensors with random numbers, and ignores tensors for which it has no place.

    Args:
        weights: where the model is.
        name: the model's name, for messages.
        dtype: the type of the weights.
        arguments: further arguments of `from_pretrained`.

    Raises:
        ModelError: the model cannot be read, or tensors are missing, left over, of another shape or not finite.
    """
    if (Path(weights.location) / CONFIG_FILE).is_file():
        raise ModelError(
            f"model {name} at {weights.location} is an adapter (it contains {CONFIG_FILE}), not a model. Fix: "
            "set model.path to the model that the adapter was made for, and adapter=FOLDER."
        )
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    # Otherwise transformers prints its own table of the same tensors.
    transformers_logging.set_verbosity_error()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            weights.location,
            dtype=dtype,
            output_loading_info=True,
            # Other shapes are reported below with all other faults, instead of by an error of transformers.
            ignore_mismatched_sizes=True,
            **weights.arguments(model=True),
            **arguments,
        )
        base, report = loaded  # a pair, because of output_loading_info
    except (torch.OutOfMemoryError, MemoryError):
        raise  # the model is not at fault
    except Exception as error:  # a configuration can make any code of transformers fail
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"model {name} at {weights.location} cannot be read: {reason}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    problems = list(_problems(report, base))
    if problems:
        raise ModelError(
            f"model {name} at {weights.location}: the weights are not those of its {type(base).__name__}: "
            f"{'; '.join(problems)}. Fix: get the complete weights, with the configuration that belongs to them."
        )
    return base


def _problems(report: Mapping[str, Any], base: nn.Module) -> Iterator[str]:
    """Yield what is wrong with the tensors, from transformers' report on loading and from their values."""
    missing = sorted(report["missing_keys"])
    if missing:
        yield f"{counted(missing)} missing ({listed(missing)})"
    left_over = sorted(key for key in report["unexpected_keys"] if not COMPUTED.search(key))
    if left_over:
        yield f"{counted(left_over)} without a place in the model ({listed(left_over)})"
    mismatched = [
        f"{key} has {list(own)}, the model {list(wanted)}" for key, own, wanted in sorted(report["mismatched_keys"])
    ]
    if mismatched:
        yield f"{counted(mismatched)} of another shape ({listed(mismatched)})"
    strange = not_finite(base.state_dict())
    if strange:
        yield f"{counted(strange)} with numbers that are not finite ({listed(strange)})"


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of tensors that contain NaN or infinity. Packed weights of fewer than 16 bits are skipped."""
    return [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and tensor.itemsize > 1 and not tensor.isfinite().all()
    ]


def listed(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def counted(tensors: Sequence[str]) -> str:
    """Return the number of tensors in words: "1 tensor", "2 tensors"."""
    return f"{len(tensors)} tensor{'s' * (len(tensors) != 1)}"
