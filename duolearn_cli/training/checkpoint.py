"""Checkpoints of the unlearning loop: adapter, state of the update and step, as safetensors and JSON (no pickle)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from duolearn_cli.errors import RunError
from duolearn_cli.files import write_json
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training.update import Update

SCHEMA = 2


def save_checkpoint(
    folder: Path,
    step: int,
    signature: str,
    model: LanguageModel,
    update: Update,
    processes: Processes,
    write_beside: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write checkpoints/step-N through a temporary folder, then delete the older checkpoints.

    The main process writes the files. If the model is sharded, every process also writes its shard of the update's
    state. The main process calls `write_beside` with the temporary folder while it is still empty.
    """
    # Zeros fill up the number, so that `latest_checkpoint` can compare names instead of numbers.
    final, part = folder / f"step-{step:06d}", folder / ".part"
    if processes.rank == 0:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write_beside(part)
    # The other processes write into the folder, so they wait until it is there.
    if processes.sharded:
        processes.wait()
    model.save_adapter(part, is_main=processes.rank == 0)
    if processes.rank == 0 or processes.sharded:
        tensors = {name: value.detach().cpu().contiguous() for name, value in update.state().items()}
        save_file(tensors, part / _state_file(processes))
    # The folder is renamed below, so every shard must be in it by then.
    if processes.sharded:
        processes.wait()
    if processes.rank == 0:
        write_json(
            part / "state.json", {"schema": SCHEMA, "step": step, "signature": signature, "parts": _parts(processes)}
        )
        # Renaming is the last step: a run that is killed while it writes leaves the previous checkpoint usable.
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        for older in folder.glob("step-*"):
            if older != final:
                shutil.rmtree(older)


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the folder of the last step, or None if there is no checkpoint."""
    return max(folder.glob("step-*"), default=None)


def load_checkpoint(
    checkpoint: Path, signature: str, model: LanguageModel, processes: Processes
) -> tuple[int, Mapping[str, Tensor]]:
    """Restore the adapter. Return the step and the state for `Update.restore`.

    Raises:
        RunError: a file is missing or damaged, or the checkpoint was made with other data, another target, other
            settings or another number of shards.
    """
    try:
        saved = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        if saved["schema"] != SCHEMA:
            raise RunError(
                f"checkpoint {checkpoint} has schema {saved['schema']}, from another version of duolearn; this one "
                f"reads schema {SCHEMA}. Remove it to start the unlearning again."
            )
        step, made_for = int(saved["step"]), (saved["signature"], saved["parts"])
        # With another number of processes a shard would hold the state of other coordinates.
        if made_for != (signature, _parts(processes)):
            raise RunError(
                f"checkpoint {checkpoint} was made with other data, another target model, other settings or, for a "
                "sharded model, another number of processes; restore them, or remove the checkpoint to start the "
                "unlearning again."
            )
        tensors = load_file(checkpoint / _state_file(processes))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise RunError(
            f"checkpoint {checkpoint} is damaged: {error}. Remove it to start the unlearning again."
        ) from error
    # The adapter comes last: a checkpoint that is refused above leaves the model as it was.
    model.load_adapter(checkpoint)
    return step, tensors


def _parts(processes: Processes) -> int:
    """Return how many files hold the update's state."""
    return processes.count if processes.sharded else 1


def _state_file(processes: Processes) -> str:
    return f"update-{processes.rank}.safetensors" if processes.sharded else "update.safetensors"
