"""What this machine has: a GPU, bfloat16, memory. Asked of the system, since PyTorch takes seconds to import."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from duolearn_cli.config.schema import RuntimeConfig

MEMINFO, CPUINFO, CGROUP = Path("/proc/meminfo"), Path("/proc/cpuinfo"), Path("/sys/fs/cgroup")
GPUS = Path("/proc/driver/nvidia/gpus")


def uses_gpu(runtime: RuntimeConfig) -> bool:
    """Whether the run will be on a GPU, as far as can be told without asking CUDA."""
    return runtime.device == "cuda" or (runtime.device == "auto" and GPUS.is_dir())


def has_bf16() -> bool:
    """Whether the CPU multiplies in bfloat16; False where the system does not say."""
    words = CPUINFO.read_text(encoding="utf-8").split() if CPUINFO.is_file() else []
    return "avx512_bf16" in words or "amx_bf16" in words


def available(on_gpu: bool) -> int | None:
    """Bytes that a new process can have: free memory of the first GPU, or of the machine; None where nothing says."""
    return _gpu_memory() if on_gpu else _memory()


def _memory() -> int | None:
    """What the system could give, and within a control group what that has left."""
    if not MEMINFO.is_file():
        return None
    lines = MEMINFO.read_text(encoding="utf-8").splitlines()
    found = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        found.append(max(0, limit - used))
    return min(found, default=None)


def _number(path: Path) -> int | None:
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    return int(text) if text.isdecimal() else None


def _gpu_memory() -> int | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=memory.free", "--format=csv,noheader,nounits", "--id=0"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return (int(said[0]) << 20) if said and said[0].isdecimal() else None
