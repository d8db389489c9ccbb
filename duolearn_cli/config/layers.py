"""Which decoder layers carry the adapter, as `model.adapter.layers` names them. Layers count from 0, the lowest."""

from __future__ import annotations

import re

from duolearn_cli.errors import ConfigError

ALL = "all"
FORMS = 'all, last:8, last:50%, 16-29 or "3,7,11"; layers count from 0'
_LAST = re.compile(r"last:(\d{1,6})(%?)")
_RUNS = re.compile(r"\d{1,6}(-\d{1,6})?( *, *\d{1,6}(-\d{1,6})?)*")


def layers_problem(wanted: str, count: int | None = None) -> str | None:
    """Return what is wrong with a choice of layers, or None.

    Args:
        wanted: the choice, as the setting holds it.
        count: the number of layers of the model; None: only the form of the choice is checked.
    """
    runs, last = _runs(wanted), _LAST.fullmatch(wanted)
    known = wanted == ALL or (last and 1 <= int(last[1]) <= (100 if last[2] else int(last[1]))) or runs
    if not known or any(first > end for first, end in runs):
        return f"model.adapter.layers={wanted}: allowed: {FORMS}."
    asked = 1 + max(end for _, end in runs) if runs else int(last[1]) if last and not last[2] else 0
    if count is None or asked <= count:
        return None
    return (
        f"model.adapter.layers={wanted}: the model has {count} layers; allowed: 0 to {count - 1}, or last:1 to "
        f"last:{count}. Fix: model.adapter.layers=all, or other layers."
    )


def chosen_layers(wanted: str, count: int) -> list[int]:
    """Return the layers that `wanted` names in a model of `count` layers, in ascending order.

    A share is rounded up to whole layers.

    Raises:
        ConfigError: it names no layers, or layers that the model does not have.
    """
    if problem := layers_problem(wanted, count):
        raise ConfigError(problem)
    if runs := _runs(wanted):
        return sorted({layer for first, end in runs for layer in range(first, end + 1)})
    last = _LAST.fullmatch(wanted)
    number = count if last is None else -(-count * int(last[1]) // 100) if last[2] else int(last[1])
    return list(range(count - number, count))


def _runs(wanted: str) -> list[tuple[int, int]]:
    """Return the first and last layer of each range; a single number is a range of one. Empty if `wanted` is none."""
    if not _RUNS.fullmatch(wanted):
        return []
    ends = [part.strip().split("-") for part in wanted.split(",")]
    return [(int(pair[0]), int(pair[-1])) for pair in ends]
