"""A workbench on a small study, made once for all tests."""

import pytest

from duolearn_cli.benchmarks.speed.workbench import Workbench
from duolearn_cli.config.compose import compose
from duolearn_cli.pipeline.prepare import prepare
from tests.conftest import SMALL

OVERRIDES = ["+forget=surgery", *SMALL, "runtime.device=cpu", "runtime.threads=1", "method.geometry.basis_size=1"]


@pytest.fixture(scope="session")
def workbench(tmp_path_factory):
    return Workbench(prepare(compose("bench", OVERRIDES)), tmp_path_factory.mktemp("bench"))
