"""Kind 1, the file system: whatever it refuses, the message names the path and the reason."""

from __future__ import annotations

import sys

import pytest

from tests.hardening import places
from tests.hardening.row import Row, carried_out, check_said, lay, listing
from tests.hardening.test_inputs import marked
from tests.hardening.unprivileged import unprivileged

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="capabilities, devices and /proc are Linux's")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("DUOLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("row", marked([*places.rows(), *places.inner()]))
def test_a_place_that_the_system_refuses_is_named(row: Row, tmp_path):
    lay(row.files, tmp_path)
    before = listing(tmp_path)
    with unprivileged():
        status, said = carried_out(row.act, tmp_path)
    check_said(row, status, said, tmp_path)
    left = [name for name in listing(tmp_path) if not name.startswith("cache/")]
    assert [name for name in left if name != "cache"] == before
