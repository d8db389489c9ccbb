"""Peak memory of a variant: a fresh process makes its steps, so that no other variant's memory is counted."""

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
    """Bytes of a fresh process: at most while it makes the steps of a variant, and before the first of them.

    Raises:
        RunError: the process failed; the message has its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
        command = [sys.executable, "-m", "duolearn_cli.benchmarks.speed.memory", str(path), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise RunError(f"bench.memory=true: the process of {name} failed with status {done.returncode}: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def measured(workbench: Workbench, name: str) -> dict[str, int]:
    """The same of this process. Linux and CUDA forget the peak of loading; elsewhere it is counted."""
    step = workbench.step(variants(workbench.study.config)[name])  # type: ignore[arg-type]
    gc.collect()
    _give_back()
    on_gpu = workbench.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        if CLEAR_REFS.exists():
            CLEAR_REFS.write_text("5")
        before = _resident("VmRSS")
    for _ in range(1 + step.warm_up):
        step.run()
    return {"peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else _resident("VmHWM"), "before_bytes": before}


def _give_back() -> None:
    """Return what loading has freed to the system, where the C library can: it would hide a step's own memory."""
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def _resident(field: str) -> int:
    """A field of the process's status in bytes; off Linux the peak since it began."""
    if STATUS.exists():
        (found,) = [line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{field}:")]
        return 1024 * int(found.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(path: str, name: str) -> None:
    """Print the measurement as one line of JSON. The configuration comes from the process that measures."""
    config: Any = OmegaConf.merge(OmegaConf.structured(RunConfig), OmegaConf.load(path))
    with tempfile.TemporaryDirectory() as folder:
        study = prepare(config)
        print(json.dumps(measured(Workbench(replace(study, config=config), Path(folder)), name)))


if __name__ == "__main__":
    main(*sys.argv[1:])
