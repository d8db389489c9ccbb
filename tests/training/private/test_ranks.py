"""Two processes use no record twice, add the noise once, and end at the model of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]


def start(folder, num_processes, source):
    folder.mkdir()
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(num_processes)]
    command = [
        *(launcher if num_processes > 1 else []),
        "-m",
        "tests.training.private.rank_worker",
        str(folder),
        source,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(path, weights_only=True) for path in sorted(folder.glob("found-*.pt"))]


@pytest.mark.parametrize("source", ["seeded", "secure"])
def test_two_processes(tmp_path, source):
    one, other = start(tmp_path / "two", 2, source)
    assert torch.equal(one["values"], other["values"])
    assert one["wanted"] == other["wanted"] and len({len(step) for step in one["wanted"]}) > 1
    for mine, others, wanted in zip(one["computed"], other["computed"], one["wanted"], strict=True):
        assert not set(mine) & set(others)
        assert sorted(mine + others) == sorted(wanted)
    # The noise is added once: two independent shares of full size would have twice the variance.
    assert torch.equal(one["noise"], other["noise"])
    assert one["noise"].square().mean() == pytest.approx(1, abs=0.02)
    assert torch.equal(one["seen"], other["seen"])
    if source == "seeded":
        (alone,) = start(tmp_path / "one", 1, source)
        assert alone["wanted"] == one["wanted"]
        assert torch.equal(alone["noise"], one["noise"])
        # Canaries are clipped to norm 1 and enter once, with noise of half that size.
        torch.testing.assert_close(alone["seen"], one["seen"], atol=1e-3, rtol=1e-3)
        assert 0.1 < one["seen"].mean() < 0.4
        # Adam's first steps divide by gradients near zero, which rounding makes others.
        assert (alone["values"] - one["values"]).norm() <= 1e-3 * alone["values"].norm()
