"""Cached mentions and forms: equal to fresh ones, one file for each content, and rebuilt when damaged."""

from dataclasses import replace

import pytest

from duolearn_cli.concepts import matcher, mention_cache
from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.context import Context
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.mention_cache import CachedMatcher, fingerprint

CONCEPTS = [Concept("hernia", 1, "hernia"), Concept("femoral", 2, "femoral hernia", synonyms=("crural hernia",))]
TEXTS = [
    "A femoral hernia and a h\u00e9rnia.",
    "nothing",
    "",
    "\ud800 crural hernias",
    "A femoral hernia and a h\u00e9rnia.",
]


@pytest.fixture(autouse=True)
def small_collections_count(monkeypatch):
    monkeypatch.setattr(mention_cache, "MIN_TEXTS", 2)


@pytest.fixture
def searched(monkeypatch):
    """The texts that were searched instead of read from the cache."""
    texts, find = [], Matcher.find
    monkeypatch.setattr(Matcher, "find", lambda self, text: texts.append(text) or find(self, text))
    return texts


def cached(folder, concepts=CONCEPTS, texts=TEXTS):
    return CachedMatcher(Hierarchy(concepts), texts, folder)


def test_cached_mentions_equal_fresh_ones(tmp_path, searched):
    plain = Matcher(Hierarchy(CONCEPTS))
    expected = [plain.find(text) for text in TEXTS]
    assert expected[0] and expected[3]
    cached(tmp_path / "new" / "folder")
    searched.clear()
    again = cached(tmp_path / "new" / "folder")
    assert [again.find(text) for text in TEXTS] == expected
    assert again.concepts(TEXTS) == ("femoral", "hernia")
    assert searched == []
    assert again.find("another hernia") == plain.find("another hernia")


def test_contexts_count_in_cached_mentions_too(tmp_path, monkeypatch):
    monkeypatch.setattr(mention_cache, "MIN_TERMS", 2)
    concepts = [CONCEPTS[0], replace(CONCEPTS[1], contexts=(("crural hernia", Context(("groin",))),))]
    texts = ["A crural hernia.", "A crural hernia in the groin."]
    for _ in range(2):
        mentions = cached(tmp_path, concepts, texts)
        assert [mentions.concepts([text]) for text in texts] == [("hernia",), ("femoral",)]
        assert [mentions.concepts([f"{text}!"]) for text in texts] == [("hernia",), ("femoral",)]


def test_a_small_collection_leaves_no_file(tmp_path):
    assert cached(tmp_path, texts=["a hernia", "a hernia"]).find("a hernia")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "other",
    [
        {"texts": [*TEXTS, "more"]},
        {"texts": TEXTS[::-1]},
        {"concepts": [CONCEPTS[0], Concept("femoral", 2, "femoral hernia")]},
        {"concepts": [CONCEPTS[0], Concept("crural", 2, "femoral hernia", synonyms=("crural hernia",))]},
        {"concepts": [CONCEPTS[0], replace(CONCEPTS[1], contexts=(("crural hernia", Context(("groin",))),))]},
        {"concepts": [CONCEPTS[0], Concept("femoral", 3, "femoral hernia", synonyms=("crural hernia",))]},
    ],
)
def test_other_content_has_a_file_of_its_own(tmp_path, other):
    cached(tmp_path)
    cached(tmp_path, **other)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_new_version_of_the_matcher_searches_again(tmp_path, monkeypatch):
    cached(tmp_path)
    monkeypatch.setattr(mention_cache, "VERSION", matcher.VERSION + 1)
    cached(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"[2,16,", b"[2,17,"),
        lambda data: data.replace(b"femoral", b"hernial"),
        lambda data: b"\xff" + data,
        lambda data: b"[" * 100_000,
        lambda data: data.splitlines()[1],
    ],
)
def test_a_damaged_file_is_written_again(tmp_path, searched, damage):
    cached(tmp_path)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert path.read_bytes() != good
    searched.clear()
    assert cached(tmp_path).find(TEXTS[0]) == Matcher(Hierarchy(CONCEPTS)).find(TEXTS[0])
    assert len(searched) > len(set(TEXTS))
    assert path.read_bytes() == good and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_ignored(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert cached(tmp_path / "file").find("a hernia")


def test_the_fingerprint_depends_only_on_what_mentions_depend_on():
    same = [Concept("hernia", 1, "hernia", subjects=("Surgery",)), CONCEPTS[1]]
    assert fingerprint(Hierarchy(CONCEPTS)) == fingerprint(Hierarchy(same))
    assert fingerprint(Hierarchy(CONCEPTS)) != fingerprint(Hierarchy(CONCEPTS[::-1]))


@pytest.fixture
def forms_count(monkeypatch):
    """Cache the forms of small hierarchies too; return the hierarchies whose forms were built instead of read."""
    made, make = [], matcher.forms
    monkeypatch.setattr(mention_cache, "MIN_TERMS", 2)
    monkeypatch.setattr(mention_cache, "MIN_TEXTS", 100)
    monkeypatch.setattr(matcher, "forms", lambda hierarchy: made.append(hierarchy) or make(hierarchy))
    return made


def test_forms_are_built_once_and_read_in_the_same_order(tmp_path, forms_count):
    expected = matcher.forms(Hierarchy(CONCEPTS))
    forms_count.clear()
    for _ in range(3):
        again = cached(tmp_path / "new")
        assert [again.find(text) for text in TEXTS] == [Matcher(Hierarchy(CONCEPTS)).find(text) for text in TEXTS]
        assert list(again._forms().items()) == list(expected.items())
    (path,) = (tmp_path / "new").iterdir()
    assert path.name.startswith("forms-")
    # Once for the cache, and once for each plain matcher that it is compared with.
    assert len(forms_count) == 1 + 3 * len(TEXTS)


def test_forms_are_built_again_if_the_file_is_damaged_or_the_code_has_changed(tmp_path, forms_count, monkeypatch):
    expected = cached(tmp_path)._forms()
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    for damaged in (b"", good[:-20], good.replace(b"crural", b"plural"), b"\xff" + good):
        path.write_bytes(damaged)
        assert cached(tmp_path)._forms() == expected
        assert path.read_bytes() == good
    assert len(forms_count) == 5
    monkeypatch.setattr(mention_cache.inspect, "getsource", lambda module: "changed")
    assert cached(tmp_path)._forms() == expected
    assert len(forms_count) == 6 and len(list(tmp_path.iterdir())) == 2


def test_a_dry_run_and_a_small_hierarchy_leave_no_forms(tmp_path, forms_count, monkeypatch):
    assert CachedMatcher(Hierarchy(CONCEPTS), TEXTS, tmp_path, may_write=False).find("a hernia")
    monkeypatch.setattr(mention_cache, "MIN_TERMS", 100)
    assert cached(tmp_path).find("a hernia")
    assert not list(tmp_path.iterdir())
