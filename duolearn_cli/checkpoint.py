"""Checkpoints of the unlearning loop: adapter, optimiser state and step, as safetensors and JSON (no pickle)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from duolearn_cli.errors import RunError
from duolearn_cli.model import LanguageModel
from duolearn_cli.run import write_json


def save_checkpoint(
    folder: Path, step: int, signature: str, model: LanguageModel, optimizer: torch.optim.Optimizer
) -> None:
    """Write checkpoints/step-N by way of a temporary folder, then drop the older ones."""
    final, part = folder / f"step-{step:06d}", folder / ".part"
    shutil.rmtree(part, ignore_errors=True)
    model.save_adapter(part)
    tensors = {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    save_file(tensors, part / "optimizer.safetensors")
    write_json(part / "state.json", {"schema": 1, "step": step, "signature": signature})
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    for older in folder.glob("step-*"):
        if older != final:
            shutil.rmtree(older)


def latest_checkpoint(folder: Path) -> Path | None:
    return max(folder.glob("step-*"), default=None)


def load_checkpoint(checkpoint: Path, signature: str, model: LanguageModel, optimizer: torch.optim.Optimizer) -> int:
    """Restore adapter and optimiser; return the step.

    Raises:
        RunError: a file is missing, or data, target or settings are not those of the checkpoint any more.
    """
    try:
        saved = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        step, made_for = int(saved["step"]), saved["signature"]
        tensors = load_file(checkpoint / "optimizer.safetensors")
    except (OSError, KeyError, ValueError) as error:
        raise RunError(
            f"checkpoint {checkpoint} is damaged: {error}. Remove it to start the unlearning again."
        ) from error
    if made_for != signature:
        raise RunError(
            f"checkpoint {checkpoint} was made with other data, another target model or other settings; put them back, "
            "or remove the checkpoint to start the unlearning again."
        )
    model.load_adapter(checkpoint)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step
