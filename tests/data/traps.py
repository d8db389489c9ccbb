"""Traps of real question files, one in each row: what the file contains, and how it is read.

``python -m tests.data.traps > docs/data-traps.md`` writes the page that test_traps.py compares.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER = ("q", "a", "b", "c", "d", "key", "field")
QUESTIONS = ("Which organ stores bile?", "Which vessel is divided?", "Which nerve is at risk?", "Which drug is given?")
# Four questions; the right answers are liver, artery, vagus and heparin.
ROWS = (
    (QUESTIONS[0], "liver", "spleen", "colon", "lung", "A", "Surgery"),
    (QUESTIONS[1], "aorta", "artery", "vein", "duct", "B", "Surgery"),
    (QUESTIONS[2], "ulnar", "median", "vagus", "sural", "C", "Medicine"),
    (QUESTIONS[3], "aspirin", "statin", "insulin", "heparin", "D", "Medicine"),
)
RIGHT = ("liver", "artery", "vagus", "heparin")
FIELDS: dict[str, Any] = {
    "question": "q",
    "options": ["a", "b", "c", "d"],
    "answer": "key",
    "answer_kind": "letter",
    "subject": "field",
}
Content = str | bytes | Callable[[Path], None]


@dataclass(frozen=True)
class Trap:
    """One trap.

    Attributes:
        name: what is odd about the file, for readers of the page.
        content: the file.
        suffix: its extension.
        fields: settings below ``dataset.fields`` that differ from `FIELDS`.
        encoding: ``dataset.encoding``.
        stage: how far the file is processed: ``read``; ``labels``, against the target Surgery; ``cloze``; or
            ``letter``, with shuffled copies.
        right: the right answers of the accepted items, in order.
        options: the first item's options.
        subjects: the items' subjects.
        rejected: row and reason of rejected rows.
        note: a part of one of the notes; without it there must be no note.
        refused: a part of the error message.
        says: a sentence for the page, if the message alone does not say what happens.
    """

    name: str
    content: Content
    suffix: str = ".csv"
    fields: dict[str, Any] = field(default_factory=dict)
    encoding: str = "utf-8"
    stage: str = "read"
    right: Sequence[str] = RIGHT
    options: Sequence[str] | None = None
    subjects: Sequence[str | None] | None = None
    rejected: Sequence[tuple[int, str]] = ()
    note: str | None = None
    refused: str | None = None
    says: str = ""

    @property
    def outcome(self) -> str:
        """How the file is treated, in one word."""
        if self.refused:
            return "refused"
        return "rejected" if self.rejected else "noted" if self.note else "accepted"


def table(
    rows: Sequence[Sequence[object]] = ROWS, header: Sequence[str] = HEADER, sep: str = ",", end: str = "\n"
) -> str:
    """Return a delimited file; cells with a separator, a quote or a line end are quoted."""
    return end.join(sep.join(_cell(value, sep) for value in row) for row in (header, *rows)) + end


def _cell(value: object, sep: str) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in (sep, '"', "\n", "\r")) else text


def edited(row: int = 0, **changes: object) -> list[tuple[object, ...]]:
    """Return ROWS with some cells of one row changed."""
    rows: list[tuple[object, ...]] = list(ROWS)
    rows[row] = tuple(changes.get(name, value) for name, value in zip(HEADER, rows[row], strict=True))
    return rows


def keyed(*keys: object, rows: Sequence[Sequence[object]] = ROWS) -> list[tuple[object, ...]]:
    """Return rows with other answers."""
    return [(*row[:5], key, row[6]) for row, key in zip(rows, keys, strict=True)]


def labelled(*subjects: object) -> list[tuple[object, ...]]:
    """Return rows with other subjects."""
    return [(*row[:6], subject) for row, subject in zip(ROWS, subjects, strict=True)]


def records(rows: Sequence[Sequence[object]] = ROWS) -> list[dict[str, object]]:
    """Return rows as objects."""
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


def lines(objects: Sequence[object]) -> str:
    """Return objects as JSON lines."""
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects)


def in_cell(make: Callable[[list[str]], object]) -> list[dict[str, object]]:
    """Return records whose options are one cell, made from the four texts."""
    return [{"q": row[0], "o": make(list(row[1:5])), "key": row[5], "field": row[6]} for row in ROWS]


def with_fifth(*fifth: object) -> str:
    """Return a table with a fifth option column."""
    rows = [(*row[:5], option, *row[5:]) for row, option in zip(ROWS, fifth, strict=True)]
    return table(rows, ("q", "a", "b", "c", "d", "e", "key", "field"))


def many(count: int, **changes: object) -> list[tuple[object, ...]]:
    """Return `count` copies of each row with numbered questions, and with `changes` in the first row."""
    rows: list[tuple[object, ...]] = [(f"{row[0]} {n}", *row[1:]) for n in range(count) for row in ROWS]
    rows[0] = tuple(changes.get(name, value) for name, value in zip(HEADER, rows[0], strict=True))
    return rows


def parquet(rows: Sequence[dict[str, Any]], categories: bool = False) -> Callable[[Path], None]:
    """Write records as Parquet; with `categories`, texts are categories (dictionary encoding)."""

    def write(path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        made = pyarrow.Table.from_pylist(list(rows))
        if categories:
            made = pyarrow.table({name: made[name].dictionary_encode() for name in made.column_names})
        pyarrow.parquet.write_table(made, path)

    return write


CELL = {"options": "o"}
FIVE = {"options": ["a", "b", "c", "d", "e"]}
LETTERED = [
    (row[0], *(f"{mark} {text}" for mark, text in zip(("A.", "B)", "(C)", "D:"), row[1:5], strict=True)), *row[5:])
    for row in ROWS
]
TEXT = {"answer_kind": "text"}
TEXTS = keyed(*RIGHT)
INDEX0, INDEX1, INDEX = ({"answer_kind": kind} for kind in ("index0", "index1", "index"))
NOT_COUNTED = "a filler: it is neither asked nor counted"
SAME_TEXT = "the answer's text differs from its option only in case, spaces or marks"
EXCEL_DATE = "an option looks like a date that a spreadsheet made from something else"
MARKED = "question or options contain "

ANSWERS = (
    Trap("small letters, letters in parentheses or with a dot", table(keyed("a", "(B)", "c.", "D:"))),
    Trap('letters behind a word: "Option A", "Answer: B"', table(keyed("Option A", "Answer: B", "choice C", "ans. D"))),
    Trap("numbers from 0 declared index0", table(keyed(0, 1, 2, 3)), fields=INDEX0),
    Trap('numbers written "3.0", as spreadsheets do', table(keyed("1.0", "2.0", "3.0", "4.0")), fields=INDEX1),
    Trap('numbers behind a word: "option3"', table(keyed("option1", "option2", "option3", "option4")), fields=INDEX1),
    Trap("numbers from 0 declared index", table(keyed(0, 1, 2, 3)), fields=INDEX, says="0 is seen: counted from 0"),
    Trap(
        "numbers from 1 declared index", table(keyed(1, 2, 3, 4)), fields=INDEX, says="4 of 4 is seen: counted from 1"
    ),
    Trap(
        "numbers from 1 declared index0",
        table(keyed(1, 2, 3, 4)),
        fields=INDEX0,
        refused="1 of 4 answers is equal to the number of options (first in row 5) and none is 0: the first option "
        "seems to be 1. Set dataset.fields.answer_kind=index1",
    ),
    Trap(
        "numbers from 0 declared index1",
        table(keyed(0, 1, 2, 3)),
        fields=INDEX1,
        refused="1 of 4 answers is 0 (first in row 2) and none is equal to the number of options: the first "
        "option seems to be 0. Set dataset.fields.answer_kind=index0",
    ),
    Trap(
        "numbers that are never 0 nor the last, declared index",
        table(keyed(1, 2, 1, 2)),
        fields=INDEX,
        refused="it is unclear whether options are counted from 0 or from 1. Set dataset.fields.answer_kind=index0",
    ),
    Trap(
        "numbers that are never 0 nor the last, declared index1",
        table(keyed(1, 2, 3, 3)),
        fields=INDEX1,
        right=("liver", "artery", "vagus", "insulin"),
        note="the column does not show whether options are counted from 0 or from 1",
    ),
    Trap(
        "letters declared as numbers",
        table(),
        fields=INDEX1,
        refused="answer_kind=index1 reads 0 of 4 answers, letter reads 4; row 2 has 'A'. "
        "Set dataset.fields.answer_kind=letter",
    ),
    Trap("numbers declared as letters", table(keyed(1, 2, 3, 4)), refused="Set dataset.fields.answer_kind=index."),
    Trap("texts declared as letters", table(TEXTS), refused="Set dataset.fields.answer_kind=text."),
    Trap("letters declared as texts", table(), fields=TEXT, refused="Set dataset.fields.answer_kind=letter."),
    Trap("the right option's text", table(TEXTS), fields=TEXT),
    Trap("its text with a full stop", table(keyed("liver.", *RIGHT[1:])), fields=TEXT, note=SAME_TEXT),
    Trap(
        "its text with a non-breaking space",
        table([(*ROWS[0][:1], "left liver", *ROWS[0][2:5], "left\u00a0liver", "Surgery"), *keyed(*RIGHT)[1:]]),
        fields=TEXT,
        right=("left liver", *RIGHT[1:]),
        note=SAME_TEXT,
    ),
    Trap("its text in capitals", table(keyed("LIVER", *RIGHT[1:])), fields=TEXT, note=SAME_TEXT),
    Trap('its text behind its letter: "A. liver"', table(keyed("A. liver", *RIGHT[1:])), fields=TEXT, note=SAME_TEXT),
    Trap(
        "its text behind another option's letter",
        table(keyed("B. liver", *RIGHT[1:])),
        fields=TEXT,
        right=RIGHT[1:],
        rejected=[(2, "answer_text_mismatch")],
    ),
    Trap(
        "its text with &amp; against &",
        table([(*ROWS[0][:1], "bile & acid", *ROWS[0][2:5], "bile &amp; acid", "Surgery"), *keyed(*RIGHT)[1:]]),
        fields=TEXT,
        right=("bile & acid", *RIGHT[1:]),
        note=SAME_TEXT,
    ),
    Trap(
        "a text that is none of the options",
        table(keyed("kidney", *RIGHT[1:])),
        fields=TEXT,
        right=RIGHT[1:],
        rejected=[(2, "answer_text_mismatch")],
    ),
    Trap('two answers: "A,C"', table(keyed("A,C", "B", "C", "D")), right=RIGHT[1:], rejected=[(2, "several_answers")]),
    Trap(
        'two answers: "option1 and option3"',
        table(keyed("option1 and option3", "option2", "option3", "option4")),
        fields=INDEX1,
        right=RIGHT[1:],
        rejected=[(2, "several_answers")],
    ),
    Trap(
        'two texts as the answer: "liver; colon"',
        table(keyed("liver; colon", *RIGHT[1:])),
        fields=TEXT,
        right=RIGHT[1:],
        rejected=[(2, "several_answers")],
    ),
    Trap("an empty answer", table(keyed("", "B", "C", "D")), right=RIGHT[1:], rejected=[(2, "missing_answer")]),
    Trap('the answer "nan"', table(keyed("nan", "B", "C", "D")), right=RIGHT[1:], rejected=[(2, "missing_answer")]),
    Trap(
        "NaN in JSON as the answer",
        lines(records()).replace('"key": "A"', '"key": NaN'),
        ".jsonl",
        right=RIGHT[1:],
        rejected=[(1, "missing_answer")],
    ),
    Trap(
        "a letter beyond the options",
        table(keyed("E", "B", "C", "D")),
        right=RIGHT[1:],
        rejected=[(2, "answer_out_of_range")],
    ),
    Trap(
        "a number beyond the options",
        table(keyed(9, 1, 2, 4)),
        fields=INDEX1,
        right=("aorta", "median", "heparin"),
        rejected=[(2, "answer_out_of_range")],
    ),
    Trap("a list with one answer", lines(records(keyed(["A"], ["B"], ["C"], ["D"]))), ".jsonl"),
    Trap(
        "a list with two answers",
        lines(records(keyed(["A", "B"], "B", "C", "D"))),
        ".jsonl",
        right=RIGHT[1:],
        rejected=[(1, "several_answers")],
    ),
    Trap(
        "a letter, and beside it the text of another option (fields.answer_text)",
        table([(*row, text) for row, text in zip(ROWS, ("spleen", *RIGHT[1:]), strict=True)], (*HEADER, "text")),
        fields={"answer_text": "text"},
        right=RIGHT[1:],
        rejected=[(2, "answer_text_mismatch")],
    ),
    Trap(
        'a letter, and beside it the option\'s text with a trailing ">"',
        table([(*row, text) for row, text in zip(ROWS, ("liver>", *RIGHT[1:]), strict=True)], (*HEADER, "text")),
        fields={"answer_text": "text"},
        note=SAME_TEXT,
    ),
)

OPTIONS = (
    *(
        Trap(
            f'a fifth option "{word}" in every row',
            with_fifth(*[word] * 4),
            fields=FIVE,
            options=ROWS[0][1:5],
            note=NOT_COUNTED,
        )
        for word in ("N/A", "nan", "None")
    ),
    Trap(
        "a fifth option in one row, empty in the others",
        with_fifth("bone", "", "", ""),
        fields=FIVE,
        options=("liver", "spleen", "colon", "lung", "bone"),
        note=NOT_COUNTED,
    ),
    Trap(
        'an option "N/A" in one row of forty',
        table(many(10, d="N/A")),
        right=RIGHT * 10,
        options=("liver", "spleen", "colon", "N/A"),
        note="an option reads 'N/A': it is asked as an option, because few rows have it",
    ),
    Trap(
        "an empty option in one row of forty",
        table(many(10, d="")),
        right=(RIGHT * 10)[1:],
        rejected=[(2, "empty_option")],
    ),
    Trap(
        'the answer means a filler, "N/A"',
        with_fifth(*["N/A"] * 4).replace(",A,Surgery", ",E,Surgery"),
        fields=FIVE,
        right=RIGHT[1:],
        rejected=[(2, "answer_is_no_option")],
        note=NOT_COUNTED,
    ),
    Trap(
        "options that have letters: A., B), (C), D:",
        table(LETTERED),
        options=ROWS[0][1:5],
        note="already have letters or numbers (A., 1.): these are removed",
    ),
    Trap(
        "options that have numbers: 1. to 4.",
        table([(row[0], *(f"{n}. {text}" for n, text in enumerate(row[1:5], 1)), *row[5:]) for row in ROWS]),
        options=ROWS[0][1:5],
        note="these are removed",
    ),
    Trap(
        "options that are decimal numbers: 1.5 to 4.5",
        table(edited(a="1.5 mg", b="2.5 mg", c="3.5 mg", d="4.5 mg")),
        right=("1.5 mg", *RIGHT[1:]),
        options=("1.5 mg", "2.5 mg", "3.5 mg", "4.5 mg"),
    ),
    Trap(
        "options whose letters are not in the options' order",
        table(edited(a="B. liver", b="A. spleen", c="C. colon", d="D. lung")),
        right=RIGHT[1:],
        rejected=[(2, "options_lettered_otherwise")],
    ),
    Trap(
        "one option that begins with its own letter",
        table(edited(b="B. fragilis")),
        note="some options, not all, begin with their own letter",
    ),
    Trap(
        "two options that are the same", table(edited(b="lung")), right=RIGHT[1:], rejected=[(2, "duplicate_options")]
    ),
    Trap(
        "two options that differ only in the case of a word",
        table(edited(b="Lung")),
        right=RIGHT[1:],
        rejected=[(2, "duplicate_options")],
    ),
    Trap(
        "two options that differ only in a character without width",
        table(edited(b="lu\u200bng")),
        right=RIGHT[1:],
        rejected=[(2, "duplicate_options")],
    ),
    Trap(
        "two options that differ only in spaces",
        table(edited(b="left  lung", d="left lung")),
        right=RIGHT[1:],
        rejected=[(2, "duplicate_options")],
    ),
    Trap(
        "symbols that differ only in case: PT and pT",
        table(edited(b="PT", c="pT")),
        options=("liver", "PT", "pT", "lung"),
        note="two options differ only in case (PT, pT): they count as two",
    ),
    Trap(
        "only one option",
        lines([{"q": QUESTIONS[0], "o": ["liver"], "key": "A", "field": "Surgery"}, *in_cell(list)[1:]]),
        ".jsonl",
        fields=CELL,
        right=RIGHT[1:],
        rejected=[(1, "too_few_options")],
    ),
    Trap(
        "rows with two, three and four options",
        lines([{**one, "o": one["o"][:size]} for one, size in zip(in_cell(list), (2, 3, 4, 4), strict=True)]),
        ".jsonl",
        fields=CELL,
        options=("liver", "spleen"),
        says="chance is the mean of one over the number of options",
    ),
    Trap(
        "more than 26 options",
        lines(
            [{"q": QUESTIONS[0], "o": [f"o{n}" for n in range(27)], "key": "A", "field": "Surgery"}, *in_cell(list)[1:]]
        ),
        ".jsonl",
        fields=CELL,
        right=RIGHT[1:],
        rejected=[(1, "too_many_options")],
    ),
    Trap(
        "options in an object: {A: ..., D: ...}",
        lines(in_cell(lambda o: dict(zip("ABCD", o, strict=True)))),
        ".jsonl",
        fields=CELL,
        options=ROWS[0][1:5],
    ),
    Trap(
        "an object whose keys stand in another order",
        lines(in_cell(lambda o: dict(reversed(list(zip("ABCD", o, strict=True)))))),
        ".jsonl",
        fields=CELL,
        options=ROWS[0][1:5],
        says="in the order of the letters",
    ),
    Trap(
        "an object {option1: ...} as JSON in a string",
        lines(
            [
                {**one, "key": f"option{n}"}
                for n, one in enumerate(
                    in_cell(lambda o: json.dumps({f"option{n}": text for n, text in enumerate(o, 1)})), 1
                )
            ]
        ),
        ".jsonl",
        fields=CELL | INDEX1,
        options=ROWS[0][1:5],
    ),
    Trap(
        '{"text": [...], "label": [...]}, as on the hub',
        lines(in_cell(lambda o: {"text": o, "label": list("ABCD")})),
        ".jsonl",
        fields=CELL,
        options=ROWS[0][1:5],
    ),
    Trap(
        'a list of objects {"key": "A", "value": ...}',
        lines(in_cell(lambda o: [{"key": k, "value": v} for k, v in zip("ABCD", o, strict=True)])),
        ".jsonl",
        fields=CELL,
        options=ROWS[0][1:5],
    ),
    Trap(
        "a list as JSON in a CSV cell",
        table([(o["q"], o["o"], o["key"], o["field"]) for o in in_cell(json.dumps)], ("q", "o", "key", "field")),
        fields=CELL,
        options=ROWS[0][1:5],
    ),
    Trap(
        "a list as Python prints it in a CSV cell",
        table([(o["q"], o["o"], o["key"], o["field"]) for o in in_cell(str)], ("q", "o", "key", "field")),
        fields=CELL,
        options=ROWS[0][1:5],
    ),
    Trap(
        "an array as numpy prints it, without commas",
        table(
            [(o["q"], o["o"], o["key"], o["field"]) for o in in_cell(lambda o: "['" + "' '".join(o) + "']")],
            ("q", "o", "key", "field"),
        ),
        fields=CELL,
        refused="an array as numpy prints it, without commas; save lists instead",
    ),
    Trap(
        "options in one cell, separated by semicolons",
        table([(o["q"], o["o"], o["key"], o["field"]) for o in in_cell("; ".join)], ("q", "o", "key", "field")),
        fields=CELL,
        refused="a list or an object of options is needed (as JSON, or as Python prints it)",
    ),
    Trap("a range that a spreadsheet turned into a date: 3-Jan", table(edited(b="3-Jan")), note=EXCEL_DATE),
    Trap(
        "options that are dates",
        parquet([{**one, "a": datetime.date(2024, n, 1)} for n, one in enumerate(records(), 1)]),
        ".parquet",
        refused="option 1 is a date; text is needed",
    ),
    Trap(
        "options that are true and false",
        lines([{"q": "Is bile stored?", "o": [True, False], "key": "A", "field": "Surgery"}, *in_cell(list)[1:]]),
        ".jsonl",
        fields=CELL,
        right=("True", *RIGHT[1:]),
    ),
    Trap(
        "options that are numbers",
        lines([{"q": "How many?", "o": [1, 2.5, 3], "key": "B", "field": "Surgery"}, *in_cell(list)[1:]]),
        ".jsonl",
        fields=CELL,
        right=("2.5", *RIGHT[1:]),
    ),
)

PLACES = (
    Trap(
        '"None of the above" in a cloze prompt',
        table(edited(d="None of the above")),
        stage="cloze",
        right=RIGHT[1:],
        rejected=[(2, "needs_other_options")],
        says="a cloze prompt does not show the other options; counted and listed",
    ),
    Trap(
        '"Both A and B" in a cloze prompt',
        table(edited(d="Both A and B")),
        stage="cloze",
        right=RIGHT[1:],
        rejected=[(2, "needs_other_options")],
    ),
    Trap(
        '"None of the above" in a shuffled copy',
        table(edited(d="None of the above")),
        stage="letter",
        options=("liver", "spleen", "colon", "None of the above"),
        says="it stays the last option of the copy",
    ),
    Trap(
        '"A and C" in a shuffled copy',
        table(edited(d="A and C")),
        stage="letter",
        options=("liver", "spleen", "colon", "A and C"),
        says="the item gets no copy",
    ),
    Trap(
        '"1, 2 and 3 are correct" where the question lists 1., 2., 3.',
        table(edited(q="Which? 1. bile 2. acid 3. salt", d="1, 2 and 3 are correct")),
        stage="cloze",
        says="the list is the question's own: the item is asked",
    ),
    Trap('"Hepatitis B and C" and other words that hold letters', table(edited(d="Hepatitis B and C")), stage="cloze"),
)

LABELS = (
    Trap(
        "SURGERY, surgery and Surgery",
        table(labelled("SURGERY", "surgery", "Surgery", "Medicine")),
        stage="labels",
        subjects=("Surgery", "Surgery", "Surgery", "Medicine"),
        note="'SURGERY' (1 item), 'surgery' (1 item) are read as the label 'Surgery'",
    ),
    Trap(
        "a label with a space at its end",
        table(labelled("Surgery ", " Surgery", "Medicine", "Medicine")),
        stage="labels",
        subjects=("Surgery", "Surgery", "Medicine", "Medicine"),
    ),
    Trap(
        "a misspelt label: Surgry",
        table(labelled("Surgry", "Surgery", "Medicine", "Medicine")),
        stage="labels",
        subjects=("Surgry", "Surgery", "Medicine", "Medicine"),
        note="1 item to retain has a label similar to 'Surgery': 'Surgry' (1). "
        "To forget them too: 'forget.subjects=[Surgery,Surgry]'",
    ),
    Trap(
        "a label that contains the target's: General surgery",
        table(labelled("General surgery", "Surgery", "Medicine", "Medicine")),
        stage="labels",
        note="'General surgery' (1). To forget them too: 'forget.subjects=[Surgery,\"General surgery\"]'",
    ),
    Trap(
        "a label that is missing: empty, N/A, nan, Unknown",
        table(labelled("", "N/A", "nan", "Unknown")),
        subjects=(None,) * 4,
        says="no label: labels.fill may give one",
    ),
    Trap(
        "a label that is a number, 1.0 for 1",
        lines(records(labelled(1, 1.0, 2, 2))),
        ".jsonl",
        stage="labels",
        subjects=("1", "1", "2", "2"),
        note="'1.0' (1 item) is read as the label '1'",
    ),
    Trap(
        "Gynaecology & Obstetrics, Gynaecology and Obstetrics",
        table(labelled("Ob & Gyn", "Ob and Gyn", "Ob & Gyn", "Medicine")),
        stage="labels",
        subjects=("Ob & Gyn", "Ob & Gyn", "Ob & Gyn", "Medicine"),
        note="'Ob and Gyn' (1 item) is read as the label 'Ob & Gyn'",
    ),
)

FILES = (
    Trap("a byte-order mark", ("\ufeff" + table()).encode()),
    Trap("UTF-16 with a mark", table().encode("utf-16"), refused="set dataset.encoding=utf_16"),
    Trap("UTF-16 with a mark, named", table().encode("utf-16"), encoding="utf-16"),
    Trap("UTF-16 without a mark", table().encode("utf-16-le"), refused="set dataset.encoding=utf-16-le"),
    Trap("Latin-1", table(edited(a="Ménière")).encode("latin-1"), refused="not utf-8: byte 0xe9"),
    Trap(
        "Latin-1, named",
        table(edited(a="Ménière")).encode("latin-1"),
        encoding="latin-1",
        right=("Ménière", *RIGHT[1:]),
    ),
    Trap("line ends of Windows", table(end="\r\n")),
    Trap("line ends of old Macs", table(end="\r")),
    Trap("semicolons between columns", table(sep=";")),
    Trap("tabs in a .csv", table(sep="\t")),
    Trap("commas in a .tsv", table(), ".tsv"),
    Trap("a quoted line break in a question", table(edited(q="Which organ\nstores bile?"))),
    Trap("quotes in a question", table(edited(q='Which "organ" stores bile?'))),
    Trap(
        "a quote that is never closed",
        table().replace("Which drug", '"Which drug'),
        right=RIGHT[:3],
        rejected=[(5, "malformed_row")],
    ),
    Trap("a row with a cell too many", table() + "q,a,b,c,d,A,Surgery,more\n", rejected=[(6, "malformed_row")]),
    Trap("rows of empty cells at the end", table() + ",,,,,,\n", rejected=[(6, "empty_question")]),
    Trap("empty lines", table().replace("\n", "\n\n")),
    Trap("an empty file", "", refused="the file has no record"),
    Trap("a header alone", ",".join(HEADER) + "\n", refused="the file has no record"),
    Trap("a missing column", table(header=("q", "a", "b", "c", "d", "answer", "field")), refused="no column 'key'"),
    Trap(
        "a column in another case: Key",
        table(header=("q", "a", "b", "c", "d", "Key", "field")),
        refused="no column 'key' (did you mean 'Key'?)",
    ),
    Trap(
        "a column name twice",
        table(header=("q", "a", "a", "c", "d", "key", "field")),
        refused="names 'a' more than once",
    ),
    Trap("an Excel file", b"PK\x03\x04", ".xlsx", refused="Please save the sheet as CSV (UTF-8)"),
    Trap("a packed file", b"\x1f\x8b", ".gz", refused="Please unpack it"),
    Trap(
        "a cell of a million characters",
        lines(records(edited(q="bile " * 200_000))),
        ".jsonl",
        says="the prompt's limits come later (prompt.max_tokens)",
    ),
    Trap(
        "a cell over 131,072 characters in a CSV",
        table(edited(q="bile " * 40_000)),
        right=RIGHT[1:],
        rejected=[(2, "malformed_row")],
    ),
    Trap("JSON lines with a comma after each", lines(records()).replace("}\n", "},\n"), ".jsonl"),
    Trap("a line that is not JSON", lines(records()) + "{q: 1}\n", ".jsonl", rejected=[(5, "malformed_row")]),
    Trap("a JSON array", json.dumps(records()), ".json"),
    Trap(
        "records pretty-printed one after the other",
        "\n".join(json.dumps(one, indent=1) for one in records()),
        ".jsonl",
    ),
    Trap(
        'an object around the records: {"data": [...]}',
        json.dumps({"version": "1", "data": records()}, indent=1),
        ".json",
    ),
    Trap(
        "an object around several lists of records",
        json.dumps({"train": records()[:2], "test": records()[2:]}),
        ".json",
        refused="several lists of records: train, test. Save each to its own file",
    ),
    Trap(
        "a data frame saved by column",
        json.dumps({name: {str(n): one[name] for n, one in enumerate(records())} for name in HEADER}),
        ".json",
        refused="a data frame saved by column (an object of the columns q, a, b, c",
    ),
    Trap(
        "a data frame saved in the layout 'split'",
        json.dumps({"columns": HEADER, "index": [0, 1, 2, 3], "data": ROWS}),
        ".json",
        refused="a data frame saved in the layout 'split'",
    ),
    Trap(
        "an object that names a key twice",
        lines(records()).replace('"a": "liver"', '"a": "liver", "a": "bone"'),
        ".jsonl",
        right=RIGHT[1:],
        rejected=[(1, "malformed_row")],
    ),
    Trap("Parquet", parquet(records()), ".parquet"),
    Trap("Parquet with categories", parquet(records(), categories=True), ".parquet"),
    Trap("Parquet with options in a list", parquet(in_cell(list)), ".parquet", fields=CELL, options=ROWS[0][1:5]),
    Trap(
        "Parquet with options in an object",
        parquet(in_cell(lambda o: dict(zip("ABCD", o, strict=True)))),
        ".parquet",
        fields=CELL,
        options=ROWS[0][1:5],
    ),
    Trap("a .parquet that is not Parquet", b"PAR0", ".parquet", refused="not a readable Parquet file"),
)

TEXTUAL = (
    Trap(
        "special tokens of models: <s>, <|im_end|>",
        table(edited(q="Which <s>organ</s><|im_end|> stores bile?")),
        says="text like any other",
    ),
    Trap("HTML entities", table(edited(b="bile &lt; acid")), note=MARKED + "HTML entities such as &amp;"),
    Trap("characters without width", table(edited(b="spl\u200been")), note=MARKED + "characters without width"),
    Trap("control characters", table(edited(b="spl\x07een")), note=MARKED + "control characters"),
    Trap(
        "characters that were lost (U+FFFD)",
        table(edited(b="M\ufffdni\ufffdre")),
        note=MARKED + "characters that were lost earlier",
    ),
    Trap(
        "UTF-8 decoded as Latin-1",
        table(edited(b="M\u00c3\u00a9ni\u00c3\u00a8re")),
        note=MARKED + "characters that look decoded twice",
    ),
    Trap("a NUL", lines(records(edited(b="spl\0een"))), ".jsonl", right=RIGHT[1:], rejected=[(1, "malformed_row")]),
    Trap(
        "a NUL in an object of options",
        lines([{**one, "o": {"A": "spl\0een", "B": "lung"}} if n == 0 else one for n, one in enumerate(in_cell(list))]),
        ".jsonl",
        fields=CELL,
        right=RIGHT[1:],
        rejected=[(1, "malformed_row")],
    ),
    Trap(
        "half of a surrogate pair",
        lines(records()).replace("spleen", "spl\\ud83deen"),
        ".jsonl",
        right=RIGHT[1:],
        rejected=[(1, "malformed_row")],
    ),
    Trap(
        "an accent as a character of its own",
        table(edited(a="Me\u0301nie\u0300re")),
        right=("M\u00e9ni\u00e8re", *RIGHT[1:]),
        says="composed (NFC)",
    ),
    Trap("an empty question", table(edited(q=" ")), right=RIGHT[1:], rejected=[(2, "empty_question")]),
    Trap(
        "a question that is an object",
        lines(records(edited(q={"text": "?"}))),
        ".jsonl",
        right=RIGHT[1:],
        rejected=[(1, "malformed_row")],
    ),
)

REPEATS = (
    Trap("a row twice", table([*ROWS, ROWS[0]]), rejected=[(6, "duplicate_id")]),
    Trap(
        "a row again in another case",
        table([*ROWS, (QUESTIONS[0].upper(), *ROWS[0][1:])]),
        rejected=[(6, "duplicate_id")],
    ),
    Trap(
        "an id twice",
        table([(*row, n) for row, n in zip(ROWS, (1, 2, 2, 3), strict=True)], (*HEADER, "id")),
        fields={"id": "id"},
        right=("liver", "artery", "heparin"),
        rejected=[(4, "duplicate_id")],
    ),
    Trap(
        "one question with two right answers, and ids of their own",
        table([(*row, n) for n, row in enumerate([*ROWS, (*ROWS[0][:5], "B", "Surgery")])], (*HEADER, "id")),
        fields={"id": "id"},
        right=(*RIGHT, "spleen"),
        note="an item repeats an earlier one with another right answer: one of them is wrong",
    ),
    Trap(
        "one question with two right answers, without ids",
        table([*ROWS, (*ROWS[0][:5], "B", "Surgery")]),
        rejected=[(6, "duplicate_id")],
    ),
)

GROUPS = {
    "How answers are given": ANSWERS,
    "Options": OPTIONS,
    "Options that refer to each other": PLACES,
    "Labels": LABELS,
    "Files": FILES,
    "Text": TEXTUAL,
    "Repeats": REPEATS,
}
TRAPS = [trap for group in GROUPS.values() for trap in group]


def page() -> str:
    """Return the content of docs/data-traps.md."""
    counts = {
        word: sum(trap.outcome == word for trap in TRAPS) for word in ("accepted", "noted", "rejected", "refused")
    }
    shown = ", ".join(f"{count} {word}" for word, count in counts.items())
    lines = [
        "# Traps in question files",
        "",
        f"{len(TRAPS)} faults and habits of question files, and how each is treated ({shown}). The rows are tests "
        "(`tests/data/traps.py`), and this page is made from them: `python -m tests.data.traps > docs/data-traps.md`. "
        "[data.md](data.md) explains the settings.",
        "",
        "- **accepted**: read as intended.",
        "- **noted**: read; the dry run, the start of a run and its report say so, with the number of rows.",
        "- **rejected**: the row is left out, counted by reason and listed in `rejected.jsonl`; the rest is read.",
        "- **refused**: the command stops before anything is computed; the message says how to fix it.",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"## {title}", "", "| in the file | how it is treated | message or reason |", "|---|---|---|"]
        lines += [
            f"| {_shown(trap.name)} | {trap.outcome}{_aside(trap)} | {_shown(_message(trap))} |" for trap in group
        ]
    return "\n".join(lines) + "\n"


def _aside(trap: Trap) -> str:
    return f": {_shown(trap.says)}" if trap.says else ""


def _message(trap: Trap) -> str:
    if trap.refused:
        return trap.refused
    reasons = ", ".join(dict.fromkeys(reason for _, reason in trap.rejected))
    return "; ".join(filter(None, (reasons, trap.note)))


def _shown(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("&amp;", "&amp;amp;")


if __name__ == "__main__":
    print(page(), end="")
