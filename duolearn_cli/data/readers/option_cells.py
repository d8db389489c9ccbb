"""One cell that holds all options of an item: a list, an object, or either of them written as text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from duolearn_cli.data.cleaning import clean
from duolearn_cli.data.items import LETTERS

# What lists of objects call an option's name and its text ({"label": "A", "text": "..."}).
_NAMES = ("label", "key", "letter", "id", "option_id")
_TEXTS = ("text", "value", "option", "content", "option_text")
_NUMPY = re.compile(r"""['"]\s+['"]""")
_NUMBERED = re.compile(r"(?P<word>[A-Za-z]*?)[\s_.-]*(?P<number>\d{1,2}|[A-Za-z])", re.ASCII)


class Cell(NamedTuple):
    """Options in order, and their names where the cell gives some (A, B, ... or option1, option2, ...)."""

    options: tuple[object, ...]
    names: tuple[str, ...] = ()


def read_cell(value: object) -> Cell | str:
    """The options that a cell holds, or a sentence that says why it holds none."""
    if isinstance(value, str):
        value = _parsed(value)
        if isinstance(value, str):
            return value
    if hasattr(value, "tolist"):
        value = value.tolist()  # type: ignore[union-attr]
    if isinstance(value, Mapping):
        return _from_object(dict(value))
    if isinstance(value, list | tuple):
        return _from_list(value)
    return f"holds {_short(value)}, a list or an object of options is needed"


def _parsed(text: str) -> Any:
    """The list or object that a text writes out, as JSON or as Python prints it; else a sentence."""
    try:
        return _structure(json.loads(text), text)
    except (ValueError, RecursionError):
        pass
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    # Without commas Python reads one string: numpy prints arrays so.
    if isinstance(found, list) and len(found) == 1 and _NUMPY.search(text):
        return (
            f"holds {_short(text)}, an array as numpy prints it, without commas; save lists instead "
            "(column.map(list)), or as JSON (column.map(list).map(json.dumps))"
        )
    return _structure(found, text)


def _structure(found: object, text: str) -> Any:
    if isinstance(found, list | tuple | dict):
        return found
    return f"holds {_short(text)}, a list or an object of options is needed (as JSON, or as Python prints it)"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _from_object(found: dict[Any, Any]) -> Cell | str:
    """{A: text, ...} in the order of the letters or numbers; {"text": [...], "label": [...]} as the hub has it."""
    lists = {str(key).casefold(): value for key, value in found.items() if isinstance(value, list | tuple)}
    if lists:
        texts = next((lists[name] for name in _TEXTS if name in lists), None)
        names = next((lists[name] for name in _NAMES if name in lists), ())
        if texts is None or (names and len(names) != len(texts)):
            return f"holds {_short(found)}, in which no list of texts is found"
        return Cell(tuple(texts), tuple(map(str, names)))
    pairs = [(str(key), value) for key, value in found.items()]
    order = [_rank(name) for name, _ in pairs]
    ranks = [rank for rank in order if rank is not None]
    if len(ranks) == len(pairs) and len(set(ranks)) == len(ranks) and len({kind for kind, _ in ranks}) == 1:
        pairs = [pair for _, pair in sorted(zip(ranks, pairs, strict=True), key=lambda both: both[0])]
    # Parquet gives every object of a column all keys: an option that only other rows have is null here, at the end.
    while pairs and pairs[-1][1] is None:
        pairs.pop()
    return Cell(tuple(value for _, value in pairs), tuple(name for name, _ in pairs))


def _rank(name: str) -> tuple[str, int] | None:
    """What a name such as B, option2 or opb sorts by, or None."""
    match = _NUMBERED.fullmatch(name.strip())
    if not match:
        return None
    number = match["number"]
    return match["word"].casefold(), int(number) if number.isdigit() else LETTERS.index(number.upper())


def _from_list(found: Sequence[Any]) -> Cell | str:
    if not found or not all(isinstance(one, Mapping) for one in found):
        return Cell(tuple(found))
    texts, names = [], []
    for one in found:
        text = next((one[name] for name in _TEXTS if name in one), None)
        if text is None:
            return f"holds {_short(one)}, in which no text is found; accepted: {', '.join(_TEXTS)}"
        texts.append(text)
        names.append(next((clean(one[name]) for name in _NAMES if name in one), ""))
    return Cell(tuple(texts), tuple(names) if all(names) else ())
