"""From raw fields to an item, or to the reason why there is none."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from dataclasses import dataclass

from duolearn_cli.data.items import LETTERS, Item, Rejected

ANSWER_KINDS = ("index0", "index1", "letter", "text")
_INTEGER = re.compile(r"([+-]?\d{1,9})(\.0*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Raw:
    """The fields of one row as its source gives them, nothing checked yet.

    `answer` is read as `answer_kind` says: a position from 0 or from 1, a letter, or the option's text.
    `answer_text`, where the source has it too, must agree with the option that `answer` points at.
    """

    source: str
    row: int
    id: object
    question: object
    options: tuple[object, ...]
    answer: object
    answer_kind: str
    answer_text: object = None
    subject: object = None
    topic: object = None
    explanation: object = None
    concepts: tuple[object, ...] = ()
    fact: object = None
    heldout: object = False
    patient: object = None


_CONTAINERS = (list, dict, tuple, bytes)
_FLAGS = {"": False, "false": False, "no": False, "0": False, "true": True, "yes": True, "1": True}


class _CheckError(Exception):
    """A check failed: the reason's code and the detail, turned into a Rejected by `build`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def clean(value: object) -> str:
    """Text, NFC-normalised and stripped; empty for None and NaN (how pandas writes a missing value)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return unicodedata.normalize("NFC", str(value)).strip()


def fold(value: object) -> str:
    """`clean`, with case and runs of whitespace made equal: what counts as the same text."""
    return " ".join(clean(value).casefold().split())


def whole_number(value: object) -> int | None:
    """The integer that 3, 3.0, "3" or "3.0" stands for; None for everything else, bool included."""
    if isinstance(value, bool):
        return None
    match = _INTEGER.fullmatch(clean(value))
    return int(match[1]) if match else None


def content_id(question: object, options: tuple[object, ...]) -> str:
    """An id for a row without one: 16 hex digits of a hash of the folded text."""
    text = "\x1f".join(fold(part) for part in (question, *options))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def build(raw: Raw) -> Item | Rejected:
    """Check `raw` in the order a reader would: question, options, answer. The first failure is the reason."""
    name = None if isinstance(raw.id, _CONTAINERS) else clean(raw.id) or None
    try:
        _check_types(raw)
        question = clean(raw.question)
        if not question:
            raise _CheckError("empty_question", "the question is empty")
        options = _options(raw)
        answer = _answer(raw, options)
        heldout = _flag(raw.heldout)
    except _CheckError as bad:
        return Rejected(raw.source, raw.row, name, bad.reason, bad.detail)
    return Item(
        id=name or content_id(raw.question, raw.options),
        question=question,
        options=options,
        answer=answer,
        subject=clean(raw.subject) or None,
        topic=clean(raw.topic) or None,
        explanation=clean(raw.explanation) or None,
        concepts=tuple(dict.fromkeys(filter(None, map(clean, raw.concepts)))),
        fact=clean(raw.fact),
        heldout=heldout,
        patient=clean(raw.patient) or None,
        source=raw.source,
        row=raw.row,
    )


def _check_types(raw: Raw) -> None:
    """A list or object where text belongs would otherwise become its Python representation."""
    concepts = {f"concept {number}": concept for number, concept in enumerate(raw.concepts, start=1)}
    fields = {"id": raw.id, "question": raw.question, "answer": raw.answer, "subject": raw.subject, "topic": raw.topic}
    options = {f"option {number}": option for number, option in enumerate(raw.options, start=1)}
    fields |= {"explanation": raw.explanation, "fact": raw.fact, "patient": raw.patient}
    for field, value in {**fields, **options, **concepts}.items():
        if isinstance(value, _CONTAINERS):
            raise _CheckError("malformed_row", f"{field} is a {type(value).__name__}, text is needed")


def _flag(value: object) -> bool:
    flag = _FLAGS.get(fold(value))
    if flag is None:
        raise _CheckError("malformed_row", f"heldout is {value!r}, true or false is needed")
    return flag


def _options(raw: Raw) -> tuple[str, ...]:
    options = tuple(clean(option) for option in raw.options)
    if "" in options:
        raise _CheckError("empty_option", f"option {options.index('') + 1} of {len(options)} is empty")
    if not 2 <= len(options) <= len(LETTERS):
        reason = "too_few_options" if len(options) < 2 else "too_many_options"
        raise _CheckError(reason, f"{len(options)} options, 2 to {len(LETTERS)} are accepted")
    folded = [fold(option) for option in options]
    for position, text in enumerate(folded):
        first = folded.index(text)
        if first != position:
            detail = f"options {first + 1} and {position + 1} are the same: {options[position]!r}"
            raise _CheckError("duplicate_options", detail)
    return options


def _answer(raw: Raw, options: tuple[str, ...]) -> int:
    """The 0-based position of the right option."""
    if not clean(raw.answer):
        raise _CheckError("missing_answer", "the answer is empty")
    if raw.answer_kind == "text":
        return _by_text(raw.answer, options)
    position = _by_letter(raw.answer) if raw.answer_kind == "letter" else _by_number(raw)
    if not 0 <= position < len(options):
        detail = f"answer {raw.answer!r}, read as {raw.answer_kind}, is none of the {len(options)} options"
        raise _CheckError("answer_out_of_range", detail)
    if clean(raw.answer_text) and fold(raw.answer_text) != fold(options[position]):
        detail = f"the answer text {clean(raw.answer_text)!r} is not option {position + 1}, {options[position]!r}"
        raise _CheckError("answer_text_mismatch", detail)
    return position


def _by_number(raw: Raw) -> int:
    number = whole_number(raw.answer)
    if number is None:
        raise _CheckError("answer_not_a_number", f"the answer is {raw.answer!r}, a whole number is needed")
    return number - (raw.answer_kind == "index1")


def _by_letter(answer: object) -> int:
    letter = clean(answer).strip("().:[] ").upper()
    if len(letter) != 1 or letter not in LETTERS:
        raise _CheckError("answer_not_a_letter", f"the answer is {answer!r}, one letter such as A is needed")
    return LETTERS.index(letter)


def _by_text(answer: object, options: tuple[str, ...]) -> int:
    folded = [fold(option) for option in options]
    if fold(answer) not in folded:
        raise _CheckError(
            "answer_text_mismatch", f"the answer {clean(answer)!r} is none of the options {list(options)}"
        )
    return folded.index(fold(answer))
