"""Checkpoints of the unlearning loop: adapter, state of the update and step, as safetensors and JSON (no pickle).

The last two are kept: if the newest is damaged, a run goes on from the one before.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from duolearn_cli.errors import RunError
from duolearn_cli.files import read_json, write_json
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.model.manifest import damage, moved_into_place
from duolearn_cli.training.update import Update

SCHEMA = 2
KEPT = 2


def save_checkpoint(
    folder: Path,
    step: int,
    signature: str,
    model: LanguageModel,
    update: Update,
    processes: Processes,
    write_beside: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write checkpoints/step-N through a temporary folder, then delete all older checkpoints but one.

    The main process writes the files. If the model is sharded, every process also writes its shard of the update's
    state. The main process calls `write_beside` with the temporary folder while it is still empty.
    """
    final, part = folder / _name(step), folder / ".part"
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
        moved_into_place(part, final)
        for older in sorted(folder.glob("step-*"))[:-KEPT]:
            shutil.rmtree(older)


def latest_checkpoint(folder: Path, note: Callable[[str], None] = lambda text: None) -> Path | None:
    """Return the last checkpoint that is whole, or None if there is no checkpoint. `note` gets a line on damaged ones.

    Raises:
        RunError: there are checkpoints, and all are damaged.
    """
    faults: list[str] = []
    for checkpoint in sorted(folder.glob("step-*"), reverse=True):
        if (fault := damage(checkpoint)) is None:
            for each in faults:
                note(f"warning: {each}; continuing from {checkpoint.name}")
            return checkpoint
        faults.append(f"checkpoint {checkpoint} is damaged: {fault}")
    if faults:
        raise RunError(f"{'; '.join(faults)}. Remove {folder} to start the unlearning again.")
    return None


def load_checkpoint(
    checkpoint: Path, signature: str, model: LanguageModel, processes: Processes
) -> tuple[int, Mapping[str, Tensor]]:
    """Restore the adapter. Return the step and the state for `Update.restore`.

    Raises:
        RunError: a file is missing or damaged, or the checkpoint was made with other data, another target, other
            settings or another number of shards.
    """
    try:
        saved = read_json(checkpoint / "state.json")
        if saved["schema"] != SCHEMA:
            raise RunError(
                f"checkpoint {checkpoint} has schema {saved['schema']}, from another version of duolearn; this one "
                f"reads schema {SCHEMA}. Remove it to start the unlearning again."
            )
        step, made_for = _step(saved["step"], checkpoint), (saved["signature"], saved["parts"])
        # With another number of processes a shard would hold the state of other coordinates.
        if made_for != (signature, _parts(processes)):
            raise RunError(
                f"checkpoint {checkpoint} was made with other data, another target model, other settings or, for a "
                "sharded model, another number of processes; restore them, or remove the checkpoint to start the "
                "unlearning again."
            )
        tensors = load_file(checkpoint / _state_file(processes))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise RunError(
            f"checkpoint {checkpoint} is damaged: {error}. Remove it to start the unlearning again."
        ) from error
    # The adapter comes last: a checkpoint that is refused above leaves the model as it was.
    model.load_adapter(checkpoint)
    return step, tensors


def _step(saved: object, checkpoint: Path) -> int:
    """Return the step. Checkpoints of older versions have no checksums, but their names hold the step too."""
    if type(saved) is not int or checkpoint.name != _name(saved):
        raise ValueError(f"state.json says step {str(saved)[:40]}, the folder's name another one")
    return saved


def _name(step: int) -> str:
    # Zeros fill up the number, so that names sort as numbers do.
    return f"step-{step:06d}"


def _parts(processes: Processes) -> int:
    """Return how many files hold the update's state."""
    return processes.count if processes.sharded else 1


def _state_file(processes: Processes) -> str:
    return f"update-{processes.rank}.safetensors" if processes.sharded else "update.safetensors"
