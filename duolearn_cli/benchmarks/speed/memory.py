"""Peak memory of a variant, measured in a fresh process, so that no other variant's memory counts."""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from duolearn_cli.benchmarks.speed.variants import variants
from duolearn_cli.benchmarks.speed.workbench import Workbench
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import RunError
from duolearn_cli.pipeline.prepare import prepare

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(config: DictConfig, name: str) -> dict[str, int]:
    """Measure the memory of the variant `name` in a fresh process.

    Returns:
        `peak_bytes`, the process's peak while it runs the variant's steps, and `before_bytes`, what it holds before the
        first step.

    Raises:
        RunError: the process failed. The message has its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
        command = [sys.executable, "-m", "duolearn_cli.benchmarks.speed.memory", str(path), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
        raise RunError(f"bench.memory=true: the process of {name} failed with status {done.returncode}: {last}")
    # The last line only: libraries may print to the standard output while the model is loaded.
    return json.loads(done.stdout.splitlines()[-1])


def measured(workbench: Workbench, name: str) -> dict[str, int]:
    """Measure the memory of the variant `name` in this process; see `peak` for what is returned.

    On Linux and CUDA the peak counter is reset before the first step. Elsewhere the peak includes loading.
    """
    step = workbench.step(variants(workbench.study.config)[name])  # type: ignore[arg-type]
    # Garbage of preparing the step must not count as memory of the step.
    gc.collect()
    _release_freed_memory()
    on_gpu = workbench.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        if CLEAR_REFS.exists():
            CLEAR_REFS.write_text("5")  # resets VmHWM, the peak resident size (man 5 proc)
        before = _resident("VmRSS")
    # The warm-up counts too. State of the optimiser and a full basis exist only after it, and they are part of the
    # peak.
    for _ in range(1 + step.warm_up):
        step.run()
    return {"peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else _resident("VmHWM"), "before_bytes": before}


def _release_freed_memory() -> None:
    """Return freed memory to the system, if the C library can.

    Loading frees much memory that the allocator holds on to. A step would be served from it, and seem to need none.
    """
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def _resident(field: str) -> int:
    """A memory field of this process's /proc status, in bytes. Without /proc, the peak since the process started."""
    if STATUS.exists():
        (line,) = [one for one in STATUS.read_text(encoding="utf-8").splitlines() if one.startswith(f"{field}:")]
        return 1024 * int(line.split()[1])
    import resource

    # macOS reports bytes, other systems KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(path: str, name: str) -> None:
    """Print the measurement of the variant `name` as one line of JSON; `path` holds the configuration from `peak`."""
    config: Any = OmegaConf.merge(OmegaConf.structured(RunConfig), OmegaConf.load(path))
    with tempfile.TemporaryDirectory() as folder:
        study = prepare(config)
        print(json.dumps(measured(Workbench(replace(study, config=config), Path(folder)), name)))


if __name__ == "__main__":
    main(*sys.argv[1:])
