"""Kind 1, models: a folder that is no model in order is refused with a message, before anything is learned."""

from __future__ import annotations

import pytest

from tests.hardening import model_folders
from tests.hardening.row import Row, check
from tests.hardening.test_inputs import marked


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", marked(model_folders.rows()))
def test_a_bad_model_is_refused(row: Row, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("DUOLEARN_CACHE", str(cache))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    check(row, tmp_path)
