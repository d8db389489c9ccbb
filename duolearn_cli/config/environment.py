"""What decides how numbers are rounded, beside settings and items: versions, threads, the processor's instructions.

A target that is learned again elsewhere is not the same to the last digit, and steps of learning magnify what differs.
The cache's names do not tell (a model would be learned anew wherever a run moves to), so it is written down beside each
model and compared when the model is used.
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
    """That of this process: library versions; the GPU's name, or threads and the instruction set that PyTorch uses."""
    import torch

    found: dict[str, Any] = {name: version(name) for name in LIBRARIES}
    if device.type == "cuda":
        return {**found, "gpu": torch.cuda.get_device_name(device)}
    return {**found, "threads": torch.get_num_threads(), "cpu_capability": torch.backends.cpu.get_cpu_capability()}


def read_environment(folder: Path) -> dict[str, Any] | None:
    """Where the model in `folder` was made; None where nothing tells: an older version made it, or another program."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def in_words(made: Mapping[str, Any]) -> str:
    """An environment in a line."""
    return ", ".join(f"{NAMES.get(name, name)} {value}" for name, value in made.items())


def difference(which: str, made: Mapping[str, Any] | None, here: Mapping[str, Any]) -> str:
    """The warning that a cached model was made in another environment than it is used in; empty where it was not."""
    names = [name for name in here if made and made.get(name) != here[name]]
    if not made or not names:
        return ""
    told = ", ".join(f"{NAMES.get(name, name)} {made.get(name, 'not recorded')} (here {here[name]})" for name in names)
    return (
        f"The {which} model in the cache was learned with {told}. Learned here it would be a slightly different model, "
        "and what is measured on it would move: compare with runs on this same model, or give another cache_dir."
    )
