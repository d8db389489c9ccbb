"""Whether the unlearned model ends where gold ends on forget items, from the models' answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duolearn_cli.evaluation.answer import Answer
from duolearn_cli.evaluation.metrics import gold

SPLITS = ("forget_train", "forget_heldout")
COMPARED = ("target", "gold", "unlearned")


def likeness(models: Mapping[str, Mapping[str, Sequence[Answer]]]) -> dict[str, Any] | None:
    """The `likeness` section of metrics.json, by the loss of the right answer and by its probability among the options.

    See `gold.likeness` for the test.

    Args:
        models: the answers of each model, by split.

    Returns:
        None if one of target, gold and unlearned is missing, or there are no forget items.
    """
    if not all(name in models for name in COMPARED):
        return None
    rows = {name: [row for split in SPLITS for row in models[name].get(split, ())] for name in COMPARED}
    if not rows["unlearned"]:
        return None
    target, never, own = (
        {"nll": [row.nll for row in answers], "chance": [row.chances[row.answer] for row in answers]}
        for answers in rows.values()
    )
    return gold.likeness(target, never, own, [row.fact for row in rows["unlearned"]])
