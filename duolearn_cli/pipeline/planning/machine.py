"""What this machine offers: GPU, bfloat16, free memory. Read from the system: importing PyTorch takes seconds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from duolearn_cli.config.schema import RuntimeConfig

MEMINFO, CPUINFO, CGROUP = Path("/proc/meminfo"), Path("/proc/cpuinfo"), Path("/sys/fs/cgroup")
GPUS = Path("/proc/driver/nvidia/gpus")


def uses_gpu(runtime: RuntimeConfig) -> bool:
    """Return whether the run will use a GPU, as far as that is known without CUDA."""
    return runtime.device == "cuda" or (runtime.device == "auto" and GPUS.is_dir())


def has_bf16() -> bool:
    """Return whether the CPU has bfloat16 products; False if the system does not say."""
    words = CPUINFO.read_text(encoding="utf-8").split() if CPUINFO.is_file() else []
    return "avx512_bf16" in words or "amx_bf16" in words


def available(on_gpu: bool) -> int | None:
    """Return the free bytes of the first GPU or of the machine, None if the system does not say."""
    return _gpu_memory() if on_gpu else _memory()


def _memory() -> int | None:
    """Return the available memory of the system, or what its control group has left if that is less."""
    if not MEMINFO.is_file():
        return None
    lines = MEMINFO.read_text(encoding="utf-8").splitlines()
    available = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    # In a container /proc/meminfo tells the memory of the whole machine, of which the control group may allow less.
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        available.append(max(0, limit - used))
    return min(available, default=None)


def _number(path: Path) -> int | None:
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    # A group without a limit has the word "max" here.
    return int(text) if text.isdecimal() else None


def _gpu_memory() -> int | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=memory.free", "--format=csv,noheader,nounits", "--id=0"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    # nvidia-smi reports MiB.
    return (int(output[0]) << 20) if output and output[0].isdecimal() else None
