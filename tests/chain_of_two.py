"""Two requests in sequence: run folders `one` (surgery) and `two` (anxiety, after it), made once in a session."""

import os
import subprocess
import sys

import pytest

from tests.conftest import SMALL, last

FIRST = last("+forget=surgery", *SMALL, "split.max_retain=60", "evaluation.generate_items=0", "runtime.threads=1")
SECOND = ["+forget=anxiety", "unlearn.epochs=2", "evaluation.generate_items=0", "runtime.threads=1", "after=one"]


@pytest.fixture(scope="session")
def chain_of_two(tmp_path_factory):
    """The folder of both runs and their cache. Tests change copies only."""
    root = tmp_path_factory.mktemp("chain")
    for name, arguments in (("one", FIRST), ("two", SECOND)):
        done = subprocess.run(
            [sys.executable, "-m", "duolearn_cli", "unlearn", *arguments, f"run_dir={name}"],
            capture_output=True,
            text=True,
            check=False,
            cwd=root,
            env={**os.environ, "DUOLEARN_CACHE": str(root / "cache")},
        )
        assert done.returncode == 0, done.stderr
    return root
