"""Check the raw fields of a row and turn them into an item, or into a rejected row with the reason."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import replace

from duolearn_cli.data.cleaning import UNUSABLE, clean, fold
from duolearn_cli.data.dates import iso_day
from duolearn_cli.data.items import LETTERS, Item, Rejected
from duolearn_cli.data.marks import is_spreadsheet_date, match_text, odd_marks, same_option, unlettered
from duolearn_cli.data.readers.answers import read_answer
from duolearn_cli.data.readers.fills import NO_LABEL
from duolearn_cli.data.readers.raw import NO_OPTION, Raw, RowError
from duolearn_cli.data.readers.row_notes import Notes

_CONTAINERS = (list, dict, tuple, set, bytes)
_FLAGS = {"": False, "false": False, "no": False, "0": False, "true": True, "yes": True, "1": True}


def content_id(question: object, options: tuple[object, ...]) -> str:
    """Return an id for a row without one: 16 hexadecimal digits of a hash of the folded question and options."""
    text = "\x1f".join(fold(part) for part in (question, *options))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def build(raw: Raw, notes: Notes | None = None) -> Item | Rejected:
    """Check `raw` and return an item, or a rejected row with the first check that failed: question, options, answer.

    What looks odd but was accepted, and what had to be changed, is added to `notes`.
    """
    notes = notes if notes is not None else Notes()
    name = None if isinstance(raw.id, _CONTAINERS) else clean(raw.id) or None
    try:
        _check_types(raw)
        question = clean(raw.question)
        if not question:
            raise RowError("empty_question", "the question is empty")
        raw = _without_letters(raw, notes)
        options = _options(raw)
        place = _answer(raw, notes)
        heldout = _flag(raw.heldout)
    except RowError as bad:
        return Rejected(raw.source, raw.row, name, bad.reason, bad.detail)
    _note_oddities(raw, (question, *options), notes)
    return Item(
        id=name or content_id(raw.question, options),
        question=question,
        options=options,
        # The item has only real options, so its answer counts the real options before the right one.
        answer=sum(option is not NO_OPTION for option in raw.options[:place]),
        subject=clean(raw.subject) or None,
        topic=clean(raw.topic) or None,
        explanation=clean(raw.explanation) or None,
        concepts=tuple(dict.fromkeys(filter(None, map(clean, raw.concepts)))),
        fact=clean(raw.fact),
        heldout=heldout,
        patient=clean(raw.patient) or None,
        date=exact_day(raw.date, raw.row, notes),
        source=raw.source,
        row=raw.row,
    )


def exact_day(value: object, row: int, notes: Notes) -> str | None:
    """Return the day as ISO 8601, or None with a note if the value names no exact day, or may name two."""
    try:
        return iso_day(value)
    except ValueError:
        notes.add("a date names no exact day, or may name two (03/04/2024): the row is read without a date", row)
        return None


def _check_types(raw: Raw) -> None:
    """Refuse a list or object where text is needed; otherwise its Python representation would become the text."""
    concepts = {f"concept {number}": concept for number, concept in enumerate(raw.concepts, start=1)}
    fields = {"id": raw.id, "question": raw.question, "subject": raw.subject, "topic": raw.topic}
    options = {f"option {number}": option for number, option in enumerate(raw.options, start=1)}
    fields |= {"explanation": raw.explanation, "fact": raw.fact, "patient": raw.patient, "date": raw.date}
    for field, value in {**fields, **options, **concepts}.items():
        if isinstance(value, _CONTAINERS) or (field in options and isinstance(value, datetime.date)):
            raise RowError("malformed_row", f"{field} is a {type(value).__name__}; text is needed")
        if isinstance(value, str) and UNUSABLE.search(value):
            raise RowError("malformed_row", f"{field} contains a NUL or a lone surrogate: {value[:40]!r}")
    if isinstance(raw.answer, dict | set | bytes):
        raise RowError("malformed_row", f"answer is a {type(raw.answer).__name__}; text is needed")


def _flag(value: object) -> bool:
    flag = _FLAGS.get(fold(value))
    if flag is None:
        raise RowError("malformed_row", f"heldout is {value!r}; true or false is needed")
    return flag


def _without_letters(raw: Raw, notes: Notes) -> Raw:
    """Return `raw` with letters or numbers removed from its options; a prompt would add a second one ("A. A. text")."""
    real = [place for place, option in enumerate(raw.options) if option is not NO_OPTION]
    plain, places, partly = unlettered([clean(raw.options[place]) for place in real])
    if partly:
        notes.add("some options, not all, begin with their own letter: they are asked unchanged", raw.row)
    if places is None:
        return raw
    if places != tuple(range(len(real))) and raw.answer_kind != "text":
        marks = ", ".join(LETTERS[place] for place in places)
        detail = f"the options have the letters {marks} in this order, so it is unclear which one an answer means"
        raise RowError("options_lettered_otherwise", detail)
    notes.add("options already have letters or numbers (A., 1.): these are removed", raw.row)
    options = list(raw.options)
    for place, text in zip(real, plain, strict=True):
        options[place] = text
    return replace(raw, options=tuple(options))


def _options(raw: Raw) -> tuple[str, ...]:
    options = tuple(clean(option) for option in raw.options if option is not NO_OPTION)
    if "" in options:
        raise RowError("empty_option", f"option {options.index('') + 1} of {len(options)} is empty")
    if not 2 <= len(options) <= len(LETTERS):
        reason = "too_few_options" if len(options) < 2 else "too_many_options"
        raise RowError(reason, f"{len(options)} options; 2 to {len(LETTERS)} are allowed")
    folded = [fold(option) for option in options]
    if len(set(folded)) < len(folded):
        _check_different(options)
    return options


def _check_different(options: tuple[str, ...]) -> None:
    # Two options that only differ in the case of a short word (PT, pT) may be different symbols: `same_option` decides.
    for position, text in enumerate(options):
        for first, earlier in enumerate(options[:position]):
            if same_option(earlier, text):
                detail = f"options {first + 1} and {position + 1} are the same: {text!r}"
                raise RowError("duplicate_options", detail)


def _answer(raw: Raw, notes: Notes) -> int:
    """Return the 0-based position of the right option in `raw.options`, after a check against `raw.answer_text`."""
    if not clean(raw.answer) or raw.answer == [] or (raw.answer_kind != "text" and fold(raw.answer) in NO_LABEL):
        raise RowError("missing_answer", "the answer is empty")
    # A text answer is its own check; beside a number or letter the source may have the text too, which must agree.
    place = read_answer(raw)
    if raw.answer_kind == "text":
        if clean(raw.answer) != clean(raw.options[place]) and not isinstance(raw.answer, list | tuple):
            notes.add(TEXT_MATCHED, raw.row)
        return place
    text = clean(raw.answer_text)
    if not text or text == clean(raw.options[place]):
        return place
    options = ["" if option is NO_OPTION else clean(option) for option in raw.options]
    if match_text(text, options) != place:
        detail = f"the answer text {text!r} is not option {place + 1}, {options[place]!r}"
        raise RowError("answer_text_mismatch", detail)
    notes.add(TEXT_MATCHED, raw.row)
    return place


TEXT_MATCHED = "the answer's text differs from its option only in case, spaces or marks: it counts as the same"


def _note_oddities(raw: Raw, texts: tuple[str, ...], notes: Notes) -> None:
    for name in dict.fromkeys(name for text in texts for name in odd_marks(text)):
        notes.add(f"question or options contain {name}: they are asked unchanged", raw.row)
    if any(is_spreadsheet_date(text) for text in texts[1:]):
        notes.add("an option looks like a date that a spreadsheet made from something else (3-4): check it", raw.row)
    if len({fold(text) for text in texts[1:]}) < len(texts) - 1:
        notes.add("two options differ only in case (PT, pT): they count as two", raw.row)
