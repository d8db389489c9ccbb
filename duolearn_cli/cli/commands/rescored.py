"""A check before a run is scored or attacked again: are the items the same as before?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.study import Study
from duolearn_cli.report.inputs import read_history


def items_note(study: Study, folder: Path) -> str:
    """Return a warning with the numbers of the run's items that are gone, in another split or new; "" if none are.

    The settings are the run's own, but this version's vocabulary and rules may count other items as the target. The
    run's items are read from its predictions.jsonl; without that file there is no warning.

    Raises:
        RunError: the file cannot be read.
    """
    before, now = _before(folder / "predictions.jsonl"), _now(study)
    if not before:
        return ""
    gone = sum(item not in now for item in before)
    moved = sum(item in now and now[item] != split for item, split in before.items())
    evaluation = Run.open(folder)[1].evaluation
    # A run that scored a sample lacks most items, which are not new.
    is_whole = evaluation.part == "all" and evaluation.max_items is None
    new = sum(item not in before for item in now) if is_whole else 0
    if not gone + moved + new:
        return ""
    counts = ((gone, "gone"), (moved, "in another split"), (new, "new"))
    changes = ", ".join(f"{count} {what}" for count, what in counts if count)
    return (
        f"warning: {folder} was scored on other items: {len(before)}, now {changes} (its data have changed, or this "
        "version's vocabulary and rules count other items as the target); figures differ from its own for that alone."
    )


def _before(path: Path) -> dict[str, str]:
    """Return the split of each item that the run was scored on, by item id."""
    return {row["id"]: row["split"] for row in read_history(path)}


def _now(study: Study) -> Mapping[str, str]:
    """Return the split of each item that can be scored, by item id. See `answers.evaluation_splits`."""
    return {
        item.id: name
        for name, items in study.splits.by_name().items()
        for item in items
        if not (name.endswith("_unseen") and item.heldout)
    }
