"""Question files with one trap each, written by others. Skipped if they are not beside the checkout."""

from __future__ import annotations

from typing import Any

import pytest

from duolearn_cli.data.items import Loaded
from duolearn_cli.data.readers.local import Fields, LocalData
from duolearn_cli.errors import DataError
from tests.conftest import REAL_DATA
from tests.data.traps import FIELDS

CASES = REAL_DATA.parents[1] / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the files are not beside this checkout")


def load(name: str, **changes: Any) -> Loaded:
    return LocalData(path=str(CASES / name), fields=Fields(**FIELDS | changes)).load()


@pytest.mark.parametrize(
    ("name", "changes", "note"),
    [
        ("na_option.jsonl", {"options": ["a", "b", "c", "d", "e"]}, "option 5 is 'N/A', a filler"),
        ("lettered.jsonl", {}, "have letters or numbers"),
        ("pylist.csv", {"options": "choices", "answer_kind": "index0"}, ""),
        ("pylist.csv", {"options": "choices", "answer_kind": "index"}, ""),
        ("wrapped.json", {}, ""),
        ("special_tokens.jsonl", {}, ""),
        (
            "medqa_dict.jsonl",
            {"question": "question", "options": "options", "answer": "answer_idx", "answer_text": "answer"}
            | {"subject": "meta_info"},
            "",
        ),
        ("answer_text.jsonl", {"answer_kind": "text"}, "differs from its option only in case, spaces or marks"),
    ],
)
def test_all_rows_are_read_with_four_options(name: str, changes: dict[str, Any], note: str) -> None:
    loaded = load(name, **changes)
    assert len(loaded.items) == 36 and not loaded.rejected
    assert {len(item.options) for item in loaded.items} == {4}
    assert sum(item.subject == "Surgery" for item in loaded.items) == 12
    first = [0, 1, 0 if name == "answer_text.jsonl" else 2, 3]  # its third row marks the first option
    assert [item.answer for item in loaded.items] == [*first, *(n % 4 for n in range(4, 36))]
    assert not any(option[:2] in ("A.", "B)", "(C", "D:") for item in loaded.items for option in item.options)
    assert any(note in sentence for sentence in loaded.notes) if note else not loaded.notes


def test_two_answers_are_rejected_and_fillers_are_not_options() -> None:
    columns = {"question": "question", "options": "answer_options", "answer": "correct_answer", "subject": "specialty"}
    loaded = load("afrimed.jsonl", answer_kind="index1", **columns)
    assert [(row.row, row.reason) for row in loaded.rejected] == [(1, "several_answers")]
    assert {len(item.options) for item in loaded.items} == {4} and len(loaded.items) == 35
    with pytest.raises(DataError, match=r"Set dataset\.fields\.answer_kind=index1"):
        load("afrimed.jsonl", answer_kind="index0", **columns)


def test_the_message_recognises_a_frame_saved_by_column() -> None:
    with pytest.raises(DataError, match="a data frame saved by column"):
        load("column_wise.json")
