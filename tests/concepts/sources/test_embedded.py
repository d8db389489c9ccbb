"""The embedded hierarchies, parts of them, and extra terms."""

import pytest

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.sources.embedded import Embedded, part, with_terms
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError, DataError
from duolearn_cli.pipeline.prepare import load_hierarchy, prepare


def small():
    return Hierarchy(
        [
            Concept("drugs", 2, "drugs"),
            Concept("surgery", 3, "surgery"),
            Concept("mind", 3, "psychiatry"),
            Concept("ssri", 4, "SSRI", ("mind", "drugs"), ("serotonin drug",)),
            Concept("hernia", 4, "hernia", ("surgery",)),
            Concept("stress", 4, "stress reaction", ("mind",), ("shock",)),
        ]
    )


def test_a_part_is_closed_downwards_and_then_upwards():
    assert set(part(small(), ["Psychiatry"]).concepts) == {"mind", "ssri", "stress", "drugs"}
    assert set(part(small(), ["drugs"]).concepts) == {"drugs", "ssri", "mind"}
    assert set(part(small(), []).concepts) == set(small().concepts)


def test_one_message_lists_all_unknown_roots():
    with pytest.raises(ConfigError) as caught:
        part(small(), ["mnd", "surgry"])
    assert "did you mean 'mind'" in str(caught.value) and "did you mean 'surgery'" in str(caught.value)


def test_terms_are_added_or_moved():
    hierarchy = with_terms(small(), {"trauma": "stress", "Shock": "hernia", "SSRI": "ssri"})
    matcher = Matcher(hierarchy)
    mentioned = [mention.concept for mention in matcher.find("trauma, shock, an SSRI")]
    assert mentioned == ["stress", "hernia", "ssri"]
    assert hierarchy["ssri"].synonyms == ("serotonin drug",)


def test_terms_may_have_a_context():
    hierarchy = with_terms(small(), {"trauma{fear*,!fracture}": "stress", "hernia{=}": "hernia"})
    texts = ("trauma", "trauma and fears", "fear, trauma, fracture")
    assert [Matcher(hierarchy).concepts([text]) for text in texts] == [(), ("stress",), ()]
    assert Matcher(hierarchy).concepts(["Hernia"]) == () and Matcher(hierarchy).concepts(["hernia"]) == ("hernia",)
    plain = with_terms(hierarchy, {"trauma": "stress", "HERNIA": "hernia"})
    assert Matcher(plain).concepts(["trauma", "Hernia"]) == ("stress", "hernia") and plain["hernia"].synonyms == ()
    with pytest.raises(ConfigError, match="the braces need words"):
        with_terms(small(), {"trauma{}": "stress"})


def test_one_message_lists_all_wrong_terms():
    with pytest.raises(ConfigError) as caught:
        with_terms(small(), {"trauma": "strss", "hernia": "stress"})
    assert "did you mean 'stress'" in str(caught.value) and "is the name of hernia" in str(caught.value)


def test_files(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("id\tlevel\tparents\tname\tsynonyms\tsubjects\nx\t1\t\tX\t\t\n")
    assert len(Embedded(path=str(path)).load()) == 1
    with pytest.raises(ConfigError, match=r"did you mean 'medical4\.tsv'"):
        Embedded(file="medical5.tsv").load()
    with pytest.raises(DataError, match="does not exist"):
        Embedded(path="nowhere.tsv").load()


def test_mental_health4_is_a_part_with_everyday_words():
    whole = Embedded().load()
    config = compose("unlearn", ["+forget=trauma", "hierarchy=mental_health4"])
    hierarchy = load_hierarchy(config)
    assert set(hierarchy.concepts) < set(whole.concepts)
    assert "hernia_surgery" not in hierarchy.concepts and {
        concept.level for concept in hierarchy.concepts.values()
    } == {
        1,
        2,
        3,
        4,
    }
    target = resolve_target(config.forget, hierarchy)
    for text, concept in (("early trauma", "trauma"), ("Depression", "depression"), ("an anxious man", "anxiety")):
        assert Matcher(hierarchy).concepts([text]) == (concept,)
    for text in ("respiratory depression", "depression of the mandible", "a depressed skull fracture", "ST depression"):
        assert "depression" not in Matcher(hierarchy).concepts([text])
    assert Matcher(whole).concepts(["early trauma"]) == ()
    assert "trauma" in target.forget


def test_a_run_can_use_it():
    study = prepare(compose("unlearn", ["+forget=anxiety", "hierarchy=mental_health4"]))
    assert study.splits.forget_train
