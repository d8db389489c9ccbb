"""Before a run is scored or attacked again: does it get the items that it was scored on?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.inputs import read_history


def items_note(study: Study, folder: Path) -> str:
    """Tell how many items of the run in `folder` are on another side, or gone, or new; empty where none are.

    Its settings are the run's own; what a target covers follows from the vocabulary and the rules too, and these are
    this version's. The run's items are those of its predictions.jsonl; without that file nothing can be told.

    Raises:
        RunError: the file cannot be read.
    """
    before, now = _before(folder / "predictions.jsonl"), _now(study)
    if not before:
        return ""
    gone = sum(item not in now for item in before)
    moved = sum(item in now and now[item] != split for item, split in before.items())
    asked = Run.open(folder)[1].evaluation
    is_whole = asked.part == "all" and asked.max_items is None
    new = sum(item not in before for item in now) if is_whole else 0
    if not gone + moved + new:
        return ""
    counts = ((gone, "gone"), (moved, "in another split"), (new, "new"))
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    return (
        f"warning: {folder} was scored on other items: {len(before)}, now {told} (its data, or what this version's "
        "vocabulary and rules count as the target, are not what they were); figures differ from its own for that alone."
    )


def _before(path: Path) -> dict[str, str]:
    """The split of each item that the run was scored on."""
    return {row["id"]: row["split"] for row in read_history(path)}


def _now(study: Study) -> Mapping[str, str]:
    """The split of each item that can be scored; of unseen facts only phrasings of the trained kind are."""
    return {
        item.id: name
        for name, items in study.splits.by_name().items()
        for item in items
        if not (name.endswith("_unseen") and item.heldout)
    }
