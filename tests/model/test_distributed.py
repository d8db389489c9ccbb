"""Two processes give the same result as one: with whole copies of the adapter, and with layers sharded by FSDP2 (gloo,
CPU)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
EVERYTHING = [
    "method.geometry.metric=fisher",
    "method.geometry.basis_size=3",
    "method.geometry.gradient_decay=0.3",
    "method.sparsity.unit=coordinate",
    "method.sparsity.fraction=0.002",
]
OTHER = [
    "method.geometry.scope=layer",
    "method.geometry.sides=two",
    "method.sparsity.unit=rank",
    "method.sparsity.fraction=0.01",
    "method.attention_weight=0.5",
    "unlearn.micro_batch=2",
    "unlearn.checkpointing=true",
]


def start(folder, num_processes, sharding, overrides):
    folder.mkdir()
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(num_processes)]
    command = [
        *(launcher if num_processes > 1 else []),
        "-m",
        "tests.model.rank_worker",
        str(folder),
        sharding,
        *overrides,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = torch.load(folder / "result.pt", weights_only=True)
    states = [torch.load(path, weights_only=True) for path in sorted(folder.glob("state-*.pt"))]
    return result["change"], json.loads(result["history"]), states


@pytest.mark.parametrize("overrides", [EVERYTHING, pytest.param(OTHER, marks=pytest.mark.slow)], ids=["one", "other"])
def test_two_processes_equal_one(tmp_path, overrides):
    change, history, (whole,) = start(tmp_path / "one", 1, "none", overrides)
    assert change.norm() > 0
    for sharding in ("none", "fsdp2"):
        both, lines, states = start(tmp_path / sharding, 2, sharding, overrides)
        assert (both - change).norm() <= 1e-4 * change.norm(), sharding
        assert torch.equal(both != 0, change != 0), sharding
        for line, expected in zip(lines, history, strict=True):
            for name, value in expected.items():
                assert line[name] == pytest.approx(value, rel=1e-3, abs=1e-4, nan_ok=True), (sharding, name)
        one, other = states
        for name, value in whole.items():
            if sharding == "none":
                # Copies stay the same bit for bit; otherwise they would drift apart.
                assert torch.equal(one[name], other[name]), name
            elif value.dim():
                # In a sharded model each process holds only its part.
                assert one[name].shape[-1] + other[name].shape[-1] == value.shape[-1], name
                assert max(one[name].shape[-1], other[name].shape[-1]) < value.shape[-1], name
