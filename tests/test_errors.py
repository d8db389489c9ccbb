"""What every module shares to say that something is wrong."""

import pytest

from duolearn_cli.errors import nearest, present


def test_what_must_be_there_is_returned_or_its_absence_named():
    assert present(0, "a number") == 0
    with pytest.raises(RuntimeError, match="the account is missing: this is a fault of duolearn"):
        present(None, "the account")


def test_the_nearest_word_is_suggested():
    assert nearest("surgry", ["surgery", "anxiety"]) == " (did you mean 'surgery'?)"
    assert nearest("x", ["surgery"]) == ""
