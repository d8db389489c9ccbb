"""Every trap of traps.py has the outcome of its row, and docs/data-traps.md says the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy, resolve_target
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.data.items import Loaded
from duolearn_cli.data.labels import near_miss_notes, unified
from duolearn_cli.data.option_references import without_needing
from duolearn_cli.data.readers.local import Fields, LocalData
from duolearn_cli.data.shuffling import is_shuffled, with_shuffled_copies
from duolearn_cli.errors import DataError
from tests.data import traps
from tests.data.traps import FIELDS, TRAPS, Trap

HIERARCHY = Hierarchy([Concept("surgery", 3, "surgery", subjects=("Surgery",)), Concept("medicine", 3, "medicine")])
TARGET = resolve_target(ForgetTarget("surgery", concepts=["surgery"]), HIERARCHY)


def load(trap: Trap, folder: Path) -> Loaded:
    """Read the trap's file and process it up to its stage."""
    path = folder / f"items{trap.suffix}"
    if callable(trap.content):
        trap.content(path)
    else:
        path.write_bytes(trap.content.encode() if isinstance(trap.content, str) else trap.content)
    loaded = LocalData(path=str(path), fields=Fields(**FIELDS | trap.fields), encoding=trap.encoding).load()
    if trap.stage == "labels":
        items, notes = unified(loaded.items, TARGET.labels, HIERARCHY)
        return replace(loaded, items=tuple(items), notes=(*notes, *near_miss_notes(items, TARGET)))
    if trap.stage == "cloze":
        usable, rejected = without_needing(loaded.items)
        return replace(loaded, items=tuple(usable), rejected=tuple(rejected))
    return loaded


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_trap(trap: Trap, tmp_path: Path) -> None:
    if trap.refused:
        with pytest.raises(DataError) as caught:
            load(trap, tmp_path)
        assert trap.refused in str(caught.value)
        return
    loaded = load(trap, tmp_path)
    assert [item.answer_text for item in loaded.items] == list(trap.right)
    assert [(row.row, row.reason) for row in loaded.rejected] == list(trap.rejected)
    assert trap.options is None or loaded.items[0].options == tuple(trap.options)
    assert trap.subjects is None or [item.subject for item in loaded.items] == list(trap.subjects)
    if trap.note is None:
        assert loaded.notes == ()
    else:
        assert any(trap.note in note for note in loaded.notes), loaded.notes
    if trap.stage == "letter":
        check_copies(trap, loaded)


def check_copies(trap: Trap, loaded: Loaded) -> None:
    """Copies move the right option and leave "of the above" at the end; items whose options name letters have none."""
    copies = {item.fact_id: item for item in with_shuffled_copies(loaded.items, 0) if is_shuffled(item)}
    first = loaded.items[0]
    assert len(copies) == len(loaded.items) - ("A and C" in first.options)
    if copy := copies.get(first.id):
        assert copy.options[-1] == "None of the above" and copy.answer_text == first.answer_text
        assert copy.answer != first.answer


def test_names_are_unique_and_there_are_sixty_at_least() -> None:
    assert len({trap.name for trap in TRAPS}) == len(TRAPS) >= 60


def test_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "data-traps.md"
    assert page.read_text(encoding="utf-8") == traps.page(), "python -m tests.data.traps > docs/data-traps.md"
