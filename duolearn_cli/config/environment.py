"""What decides how numbers are rounded, beside settings and items: versions, threads, the processor's instructions.

A target that is learned again on another machine differs in the last digits, and training magnifies the difference. The
cache key does not include the environment, because each move of a run would then learn the model again. Instead the
environment is saved beside each model and compared when the model is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FILE = "environment.json"
LIBRARIES = ("torch", "transformers", "peft")
NAMES = {"threads": "threads", "cpu_capability": "CPU instructions", "gpu": "GPU"}


def environment(device: torch.device) -> dict[str, Any]:
    """Return library versions and the GPU's name; on a CPU, the threads and the instruction set that PyTorch uses."""
    import torch

    versions: dict[str, Any] = {name: version(name) for name in LIBRARIES}
    if device.type == "cuda":
        return {**versions, "gpu": torch.cuda.get_device_name(device)}
    return {**versions, "threads": torch.get_num_threads(), "cpu_capability": torch.backends.cpu.get_cpu_capability()}


def read_environment(folder: Path) -> dict[str, Any] | None:
    """Return the environment that the model in `folder` was made in; None for a model without such a record."""
    try:
        made = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return made if isinstance(made, dict) else None


def in_words(made: Mapping[str, Any]) -> str:
    """Return an environment in one line."""
    return ", ".join(f"{NAMES.get(name, name)} {value}" for name, value in made.items())


def difference(which: str, made: Mapping[str, Any] | None, here: Mapping[str, Any]) -> str:
    """Return the warning that a cached model was made in another environment; empty if it was made in this one."""
    names = [name for name in here if made and made.get(name) != here[name]]
    if not made or not names:
        return ""
    differing = ", ".join(
        f"{NAMES.get(name, name)} {made.get(name, 'not recorded')} (here {here[name]})" for name in names
    )
    return (
        f"The {which} model in the cache was learned with {differing}. Learned here it would be slightly different, "
        "and what is measured on it would move: compare with runs on this same model, or give another cache_dir."
    )
