"""Kind 1: whatever a user's file or command line holds, there is one message and no traceback."""

from __future__ import annotations

import pytest

from tests.hardening import command_lines, contents, encodings
from tests.hardening.row import Row, check


def marked(rows):
    """The rows as parameters; all but the quick tenth run with the slow tests."""
    return [pytest.param(row, id=row.id, marks=() if row.quick else pytest.mark.slow) for row in rows]


@pytest.mark.parametrize("row", marked(contents.damaged()))
def test_no_content_breaks_a_reader(row: Row, tmp_path, capfd):
    check(row, tmp_path)
    assert not capfd.readouterr().err  # a library in Rust reports a panic there


@pytest.mark.parametrize("row", marked(encodings.rows()))
def test_no_encoding_breaks_a_reader(row: Row, tmp_path, capfd):
    check(row, tmp_path)
    assert not capfd.readouterr().err


@pytest.mark.parametrize("row", marked(command_lines.rows()))
def test_no_word_breaks_the_command_line(row: Row, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("DUOLEARN_CACHE", str(cache))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    check(row, tmp_path)
