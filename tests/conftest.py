"""Fixtures: a private cache, small studies, and the tiny model loaded once."""

from __future__ import annotations

import os

# Small products: two test processes with a thread each beat one with two, and share a busy machine better.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline measures the machine, not the code; the same examples each time keep CI from failing at random.
settings.register_profile("duolearn", deadline=None, derandomize=True)
settings.load_profile("duolearn")

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "medmcqa_dev_half.jsonl"
SMALL = ["split.max_forget=8", "split.max_retain=12", "learn.epochs=2", "unlearn.epochs=2", "unlearn.batch_size=8"]


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs unless tests that need one are asked for: a test that needs one without the mark fails everywhere."""
    if "not gpu" in config.getoption("markexpr"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def last(*overrides: str) -> list[str]:
    """The overrides with the last value of each key: a command line takes a key once."""
    return list({override.partition("=")[0]: override for override in overrides}.values())


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder of the test session's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def duolearn_process(cache, tmp_path):
    """Run the console command in a process of its own and an empty folder; return the finished process."""

    def call(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "duolearn_cli", *args],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"DUOLEARN_CACHE": str(cache)} | environment,
        )

    return call


@pytest.fixture
def duolearn(cache, tmp_path, monkeypatch, capfd):
    """`duolearn_process` without the start of a new process; what is not a user's mistake is raised."""
    from duolearn_cli.__main__ import main

    def call(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", ["duolearn", *args])
            own = {"DUOLEARN_CACHE": str(cache), "HYDRA_FULL_ERROR": "1", "DUOLEARN_TRACEBACK": "1"}
            for name, value in (own | environment).items():
                patch.setenv(name, value)
            status = main(args)
        said = capfd.readouterr()
        return subprocess.CompletedProcess(args, status, said.out, said.err)

    return call


def own_method(folder: Path) -> tuple[list[str], str]:
    """Leave a method of the user's own, ``mine``, in `folder`; what adds its group, and what trusts its module."""
    (folder / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from duolearn_cli.methods.npo import NPO\n\n\n"
        "@dataclass\nclass Mine(NPO):\n    pass\n"
    )
    (folder / "groups" / "method").mkdir(parents=True)
    (folder / "groups" / "method" / "mine.yaml").write_text(
        "# Mine\n_target_: mine.Mine\nbeta: 0.2\nretain_weight: 1\n"
    )
    return ["--config-dir", "groups"], "plugins=[mine]"


@pytest.fixture(scope="session")
def tiny():
    """The shipped model with a fresh adapter; tests that change the adapter call `fresh` first."""
    from duolearn_cli.config.model import AdapterConfig
    from duolearn_cli.config.schema import ModelConfig, RuntimeConfig
    from duolearn_cli.model.loading import load_model
    from duolearn_cli.model.weights import find_weights

    config = ModelConfig(name="tiny", embedded=True, adapter=AdapterConfig(rank=4, alpha=8))
    return load_model(find_weights(config, None), config, RuntimeConfig(device="cpu", precision="fp32"), seed=0)


@pytest.fixture
def fresh(tiny):
    """The tiny model with a random, non-zero adapter: adapter on and adapter off differ."""
    from tests.small_models import draw_adapter

    draw_adapter(tiny.network, 0.02)
    return tiny


@pytest.fixture(scope="session")
def study():
    """A small surgery study on the embedded data."""
    from duolearn_cli.config.compose import compose
    from duolearn_cli.pipeline.prepare import prepare

    return prepare(compose("unlearn", ["+forget=surgery", *SMALL]))  # type: ignore[arg-type]
