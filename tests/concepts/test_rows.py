"""Rows of text files: what is written is read back, and the message lists every unusable row with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.context import Context
from duolearn_cli.concepts.rows import COLUMNS, Layout, as_tsv, read_concepts
from duolearn_cli.concepts.sources.embedded import FOLDER
from duolearn_cli.errors import DataError

NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="|{}\ufeff"), min_size=1
)
IDS = st.text("abcDEF019_:.-\"'", min_size=1, max_size=8)


@given(
    st.lists(
        st.builds(
            Concept,
            IDS,
            st.integers(1, 4),
            NAMES,
            st.lists(IDS, max_size=3).map(tuple),
            st.lists(NAMES, max_size=3).map(tuple),
            st.lists(IDS, max_size=2).map(tuple),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, concepts):
    path = tmp_path_factory.mktemp("rows") / "h.tsv"
    path.write_bytes(as_tsv(concepts).encode())
    assert read_concepts(path) == concepts


def test_the_embedded_file_is_written_unchanged():
    path = FOLDER / "medical4.tsv"
    assert as_tsv(read_concepts(path)) == path.read_text(encoding="utf-8")


def test_terms_are_changed_to_fit_the_format_and_ids_are_refused():
    concept = Concept("a", 1, "a|b\tc", synonyms=("d\n e",))
    assert as_tsv([concept]).splitlines()[1] == "a\t1\t\ta/b c\td e\t"
    with pytest.raises(DataError, match="2 concepts cannot be written"):
        as_tsv([Concept("a|b", 1, "x"), Concept("b", 1, "y", subjects=("s\tt",))])


def test_one_message_lists_all_bad_rows_with_their_lines(tmp_path):
    path = tmp_path / "h.tsv"
    lines = ["\t".join(COLUMNS), "a\t1\t\tA\t\t", "b\t0\t\tB\t\t", "", "c\t1\t\t \t\t", "d\t1", "e\t1\t\tE\t\t\tx"]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_concepts(path)
    for part in ("4 rows", "line 3: a level is 1, 2, 3 or 4, found '0'", "line 5: a concept", "line 6", "line 7"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found: nothing"),
        (b"Id;name\n", "did you mean 'Id'"),
        (b"id;id;name\n1;2;x\n", "names 'id' more than once"),
        (b"id;name\n", "no concept"),
        (b'id;name\na;"x\n', "a quote that is not closed"),
        (b"id;name\na;\xff\n", "not UTF-8 at byte 10"),
    ],
)
def test_unusable_files(tmp_path, content, message):
    path = tmp_path / "h.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_concepts(path, Layout({"id": "id", "name": "name"}, delimiter=";", quoting=True))


def test_missing_files_folders_and_encodings(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_concepts(tmp_path / "h.tsv")
    with pytest.raises(DataError, match="this is a folder"):
        read_concepts(tmp_path)
    path = tmp_path / "h.tsv"
    path.write_text("x")
    for encoding in ("utf-9", "hex"):
        with pytest.raises(DataError, match="is unknown"):
            read_concepts(path, Layout(encoding=encoding))


def test_only_our_own_format_has_contexts(tmp_path):
    path = tmp_path / "h.tsv"
    path.write_text("\t".join(COLUMNS) + "\na\t1\t\tAIDS{=}\tRCT{trial,!tooth}|x\t\n")
    (concept,) = read_concepts(path)
    assert concept.terms == ("AIDS", "RCT", "x") and concept.plain_terms == ["x"]
    assert concept.context("RCT") == Context(("trial",), ("tooth",)) and concept.context("x") is None
    assert as_tsv([concept]) == path.read_text()
    (imported,) = read_concepts(path, Layout())
    assert imported.terms == ("AIDS{=}", "RCT{trial,!tooth}", "x") and not imported.contexts
    assert "AIDS(=)\tRCT(trial,!tooth)|x" in as_tsv([imported])


def test_an_empty_context_is_refused_with_its_line(tmp_path):
    path = tmp_path / "h.tsv"
    path.write_text("\t".join(COLUMNS) + "\na\t1\t\tA\tRCT{}\t\n")
    with pytest.raises(DataError, match=r"line 2: 'RCT\{\}': the braces need words"):
        read_concepts(path)
