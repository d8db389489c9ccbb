"""A finished run in small, made once, for the commands that follow a run."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TINY = [
    "+forget=surgery",
    *("split.max_forget=8", "split.max_retain=12", "learn.epochs=1", "unlearn.epochs=1", "unlearn.batch_size=8"),
    *("evaluation.max_items=4", "evaluation.generate_items=4", "evaluation.quick_items=4", "model.adapter.rank=4"),
]


@dataclass(frozen=True)
class Finished:
    """A folder to start commands in, the run folder and the cache in it."""

    home: Path
    run: Path
    cache: Path

    @property
    def target(self) -> Path:
        return next((self.cache / "models").glob("target-????????????????"))


@pytest.fixture(scope="session")
def _finished(tmp_path_factory) -> Finished:
    from duolearn_cli.__main__ import main

    home = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["duolearn"])
        patch.setenv("DUOLEARN_CACHE", str(home / "cache"))
        patch.setenv("HYDRA_FULL_ERROR", "1")
        assert main(["unlearn", *TINY, "run_dir=outputs/first"]) == 0
    return Finished(home, home / "outputs" / "first", home / "cache")


@pytest.fixture
def finished(_finished, tmp_path, monkeypatch) -> Finished:
    """A copy that a test may change, in the folder where `duolearn` starts, with its cache."""
    for name in ("outputs", "cache"):
        shutil.copytree(_finished.home / name, tmp_path / name)
    return Finished(tmp_path, tmp_path / "outputs" / "first", tmp_path / "cache")


@pytest.fixture
def command(finished, duolearn):
    """`duolearn` with the cache of the finished run."""
    return lambda *words: duolearn(*words, DUOLEARN_CACHE=str(finished.cache))
