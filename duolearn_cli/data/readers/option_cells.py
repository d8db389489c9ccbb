"""Read one cell that has all options of an item: a list, an object, or either of them written as text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from duolearn_cli.data.cleaning import clean
from duolearn_cli.data.items import LETTERS

# Keys of an option's name and text in a list of objects: {"label": "A", "text": "..."}.
_NAMES = ("label", "key", "letter", "id", "option_id")
_TEXTS = ("text", "value", "option", "content", "option_text")
_NUMPY = re.compile(r"""['"]\s+['"]""")  # two strings without a comma between them, as numpy prints arrays
_NUMBERED = re.compile(r"(?P<word>[A-Za-z]*?)[\s_.-]*(?P<number>\d{1,2}|[A-Za-z])", re.ASCII)


class Cell(NamedTuple):
    """Options in order, and their names if the cell has any (A, B, ... or option1, option2, ...)."""

    options: tuple[object, ...]
    names: tuple[str, ...] = ()


def read_cell(value: object) -> Cell | str:
    """Return the options in a cell, or the rest of a sentence that says why it has none ("holds ...")."""
    if isinstance(value, str):
        value = _parsed(value)
        if isinstance(value, str):
            return value
    if hasattr(value, "tolist"):  # an array, such as numpy's
        value = value.tolist()  # type: ignore[union-attr]
    if isinstance(value, Mapping):
        return _from_object(dict(value))
    if isinstance(value, list | tuple):
        return _from_list(value)
    return f"holds {_short(value)}; a list or an object of options is needed"


def _parsed(text: str) -> Any:
    """Return the list or object that a text spells out, as JSON or as Python prints it; else the rest of a sentence."""
    try:
        return _structure(json.loads(text), text)
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    # numpy prints arrays without commas, and Python then joins all strings into one: the options would be lost.
    if isinstance(value, list) and len(value) == 1 and _NUMPY.search(text):
        return (
            f"holds {_short(text)}, an array as numpy prints it, without commas; save lists instead "
            "(column.map(list)), or as JSON (column.map(list).map(json.dumps))"
        )
    return _structure(value, text)


def _structure(value: object, text: str) -> Any:
    if isinstance(value, list | tuple | dict):
        return value
    return f"holds {_short(text)}; a list or an object of options is needed (as JSON, or as Python prints it)"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _from_object(values: dict[Any, Any]) -> Cell | str:
    """Read {A: text, ...}, in the order of letters or numbers, or {"text": [...], "label": [...]}, as on the hub."""
    lists = {str(key).casefold(): value for key, value in values.items() if isinstance(value, list | tuple)}
    if lists:
        texts = next((lists[name] for name in _TEXTS if name in lists), None)
        names = next((lists[name] for name in _NAMES if name in lists), ())
        if texts is None or (names and len(names) != len(texts)):
            return f"holds {_short(values)}, which contains no list of texts"
        return Cell(tuple(texts), tuple(map(str, names)))
    pairs = [(str(key), value) for key, value in values.items()]
    order = [_rank(name) for name, _ in pairs]
    ranks = [rank for rank in order if rank is not None]
    # Sorted only if all names are of one kind and no two have the same rank; otherwise the order of the cell counts.
    if len(ranks) == len(pairs) and len(set(ranks)) == len(ranks) and len({kind for kind, _ in ranks}) == 1:
        pairs = [pair for _, pair in sorted(zip(ranks, pairs, strict=True), key=lambda both: both[0])]
    # Parquet gives all objects of a column the same keys, so an option that only other rows have is null at the end.
    while pairs and pairs[-1][1] is None:
        pairs.pop()
    return Cell(tuple(value for _, value in pairs), tuple(name for name, _ in pairs))


def _rank(name: str) -> tuple[str, int] | None:
    """Return the sort key of a name such as B, option2 or opb, or None for other names."""
    match = _NUMBERED.fullmatch(name.strip())
    if not match:
        return None
    number = match["number"]
    return match["word"].casefold(), int(number) if number.isdigit() else LETTERS.index(number.upper())


def _from_list(values: Sequence[Any]) -> Cell | str:
    """Read a list of texts, or a list of objects that each have a text and perhaps a name."""
    if not values or not all(isinstance(one, Mapping) for one in values):
        return Cell(tuple(values))
    texts, names = [], []
    for one in values:
        text = next((one[name] for name in _TEXTS if name in one), None)
        if text is None:
            return f"holds {_short(one)}, which has no text; allowed keys: {', '.join(_TEXTS)}"
        texts.append(text)
        names.append(next((clean(one[name]) for name in _NAMES if name in one), ""))
    return Cell(tuple(texts), tuple(names) if all(names) else ())
