"""Whether a run's model can be exported: all checks that need no model and no PyTorch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from duolearn_cli.config.deploy import ExportConfig
from duolearn_cli.config.schema import ModelConfig
from duolearn_cli.errors import ModelError, RunError
from duolearn_cli.model.adapter_files import ADAPTER_FILE, HELD_FILE
from duolearn_cli.model.shape import read_shape
from duolearn_cli.model.weights import Weights, find_weights
from duolearn_cli.pipeline.planning.machine import available
from duolearn_cli.pipeline.run_folder import Run, check_space, is_empty

# Commands that leave a model.
MAKERS = ("unlearn", "learn", "retrain")
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
# Bytes of tokenizer, card and account.
BESIDE = 50_000_000


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What is exported, and where to. `parameters` is the size of the base; None if its files are not here."""

    run: Run
    config: DictConfig
    weights: Weights
    format: str
    settings: ExportConfig
    folder: Path
    parameters: int | None

    @property
    def adapter(self) -> Path:
        return self.run.folder / "adapter"

    @property
    def model(self) -> ModelConfig:
        return self.config.model

    @property
    def needed_bytes(self) -> int:
        """Bytes on disk."""
        if self.format == "adapter":
            files = (self.adapter / ADAPTER_FILE, self.adapter / HELD_FILE)
            return BESIDE + sum(path.stat().st_size for path in files if path.is_file())
        return BESIDE + BYTES[self.settings.precision] * (self.parameters or 0)

    def sentence(self) -> str:
        """A sentence that says what will be written."""
        what = "its adapter" if self.format == "adapter" else f"base and adapter in one ({self.settings.precision})"
        return f"{self.run.folder}: {what} to {self.folder}, about {self.needed_bytes / 1e9:.2f} GB"


def plan_export(run: Run, config: DictConfig, asked: DictConfig) -> ExportPlan:
    """Plan the export of `run` after the checks that cost little.

    Args:
        config: the run's own configuration.
        asked: the configuration of the command line, with format, settings and folder of the export.

    Raises:
        RunError: the run left no model or is not finished, the folder is taken, disk or memory are too small.
        ModelError: the base model is not here, is another one, or cannot be merged.
    """
    _check_run(run, config)
    settings: ExportConfig = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ExportConfig), asked.export))  # type: ignore[assignment]
    folder = export_folder(asked, run.folder)
    check_folder(folder, run.folder)
    weights = find_weights(config.model, config.cache_dir)
    _check_base(run, config, weights, asked.format)
    plan = ExportPlan(run, config, weights, asked.format, settings, folder, num_parameters(weights))
    check_space(folder, plan.needed_bytes)
    _check_memory(plan)
    return plan


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder. It is renamed to `folder` on success and deleted on failure.

    Raises:
        RunError: the folder cannot be written.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        part.mkdir(parents=True)
        yield part
        part.replace(folder)
    except OSError as error:
        raise RunError(f"export_path={folder}: it cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_run(run: Run, config: DictConfig) -> None:
    if config.command not in MAKERS:
        raise RunError(
            f"run={run.folder}: a run of `duolearn {config.command}` leaves no model; give one of "
            f"{', '.join(f'`duolearn {name}`' for name in MAKERS)}."
        )
    if run.info.get("status") != "finished":
        raise RunError(
            f"run={run.folder}: it is {run.info.get('status')}; finish it with duolearn unlearn resume={run.folder}."
        )
    if not (run.folder / "adapter" / ADAPTER_FILE).is_file():
        raise RunError(f"run={run.folder}: it holds no adapter ({ADAPTER_FILE} is missing) that could be exported.")


def export_folder(asked: DictConfig, run: Path) -> Path:
    """The folder of the command line, or else one beside the run."""
    return Path(asked.export_path or f"{run.absolute()}-{asked.format}").expanduser()


def check_folder(folder: Path, run: Path) -> None:
    """Raise RunError unless the folder of an export is new or empty, and outside of the run folder."""
    try:
        if folder.exists() and (not folder.is_dir() or not is_empty(folder)):
            raise RunError(f"export_path={folder}: there is something already; give a new or an empty folder.")
    except OSError as error:
        raise RunError(f"export_path={folder}: {error.strerror}.") from error
    if folder.resolve().is_relative_to(run.resolve()):
        raise RunError(f"export_path={folder}: this lies inside the run folder; give a folder beside it.")


def _check_base(run: Run, config: DictConfig, weights: Weights, format: str) -> None:
    if format == "merged" and config.model.quantization != "none":
        raise ModelError(
            f"format=merged: the run held its base in {config.model.quantization}, and merged into other numbers the "
            "model would not answer as measured; allowed: format=adapter, whose card says how to load the base."
        )
    # Runs of older versions have no fingerprint, and are exported unchecked.
    known = run.info.get("weights")
    if known and known != weights.fingerprint():
        raise ModelError(
            f"run={run.folder}: it was made with a base model of the fingerprint {known}, and the one at "
            f"{weights.location} has {weights.fingerprint()}. Give the right one with model.path=FOLDER."
        )


def _check_memory(plan: ExportPlan) -> None:
    """Raise RunError if the memory is too small to merge in."""
    free = available(on_gpu=False)
    # Merging is done in float32, whatever the precision of the written files.
    needed = 4 * (plan.parameters or 0)
    if plan.format == "merged" and free is not None and needed > free:
        raise RunError(
            f"format=merged: the model needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free; allowed "
            "here: format=adapter, or a machine with more memory."
        )


def num_parameters(weights: Weights) -> int | None:
    """How many numbers the base model's files hold, read from their heads; None if they are not here."""
    folder = weights.folder()
    if folder is None:
        return None
    if weights.gguf_file:
        shape = read_shape(weights)
        return shape.parameters() if shape else None
    return sum(_numbers(path) for path in folder.glob("*.safetensors")) or None


def _numbers(path: Path) -> int:
    """How many numbers a safetensors file holds: its first eight bytes are the length of a JSON head."""
    try:
        with path.open("rb") as file:
            head: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError, MemoryError) as error:
        raise ModelError(f"{path} is no readable safetensors file: {error}.") from error
    return sum(prod(entry["shape"]) for name, entry in head.items() if name != "__metadata__")
