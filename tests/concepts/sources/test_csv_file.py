"""A hierarchy from a user's own table."""

import pytest

from duolearn_cli.concepts.sources.csv_file import Columns, Csv
from duolearn_cli.errors import DataError

TEXT = 'code;label;up;also\n1;Medicine;;\n2;"Heart; vessels";1;heart,Medicine\n3;Angina;2;"stable angina,angina"\n'


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "mine.csv"

    def make(text=TEXT, **settings):
        path.write_text(text, encoding=settings.get("encoding", "utf-8"))
        columns = settings.pop("columns", Columns("code", "label", parents="up", synonyms="also"))
        return Csv(path=str(path), columns=columns, delimiter=";", separator=",", **settings)

    return make


def test_columns_separators_and_levels_by_depth(source):
    hierarchy = source().load()
    assert [(c.id, c.level, c.name, c.parents, c.synonyms) for c in hierarchy.concepts.values()] == [
        ("1", 1, "Medicine", (), ()),
        ("2", 2, "Heart; vessels", ("1",), ("heart",)),
        ("3", 3, "Angina", ("2",), ("stable angina",)),
    ]
    assert hierarchy.notes == ("2 synonyms dropped: they name another concept or repeat a term",)
    assert source(level_depths=[1, 1, 2, 2]).load()["2"].level == 4


def test_id_and_name_are_enough(source):
    assert source(columns=Columns("code", "label")).load()["3"].level == 1


def test_columns_for_levels_and_subjects(source):
    text = "code;label;n;s\na;Alpha;2;Surgery,Skin\n"
    hierarchy = source(text, columns=Columns("code", "label", level="n", subjects="s"), encoding="utf-16").load()
    assert hierarchy["a"].level == 2 and hierarchy["a"].subjects == ("Surgery", "Skin")


def test_tabs(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("id\tname\na\tAlpha\n")
    assert len(Csv(path=str(path), delimiter="\\t").load()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT + "4;Stroke;9;\n", "line 5.*unknown parent '9'"),
        (TEXT + "2;Stroke;1;\n", "line 5.*used twice, first by 2 .line 3"),
        (TEXT + "4;;1;\n", "line 5: a concept needs an id and a name"),
        (TEXT + "4;x;4;\n", "cycle: 4 > 4"),
        (TEXT.replace("up", "above"), "missing columns .'up'"),
    ],
)
def test_mistakes_are_reported_with_their_line(source, text, message):
    with pytest.raises(DataError, match=message):
        source(text).load()
