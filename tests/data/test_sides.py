"""Which side an item enters and why: labels, guesses, what it is about, and what must not be retained."""

from collections import Counter

import pytest

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.config.schema import LabelsConfig
from duolearn_cli.data.items import Item
from duolearn_cli.data.sides import choose_sides

HIERARCHY = Hierarchy(
    [
        Concept("surgery", 3, "surgery", subjects=("Surgery",)),
        Concept("medicine", 3, "medicine", subjects=("Medicine",)),
        Concept("hernia", 4, "hernia", ("surgery",)),
        Concept("colitis", 4, "colitis", ("surgery", "medicine")),
        Concept("asthma", 4, "asthma", ("medicine",)),
        Concept("gout", 4, "gout", ("medicine",)),
        Concept("heart", 3, "cardiology"),
        Concept("angina", 4, "angina", ("heart",)),
    ]
)
MATCHER = Matcher(HIERARCHY)


def item(name, question, subject=None, options=("5 mg", "6 mg"), **values):
    return Item(name, question, options, 0, subject, **values)


def sides_of(items, concepts=("surgery",), threshold=0.35, declared=(), target=None, **labels):
    target = resolve_target(ForgetTarget("t", concepts=list(concepts), **(target or {})), HIERARCHY)
    return choose_sides(items, target, HIERARCHY, MATCHER.find, LabelsConfig(**labels), threshold, declared)


def placed(sides):
    """Return {id: side} of the items that enter a side."""
    return {one.id: "forget" if one.fact_id in sides.forget else "retain" for one in sides.items}


def outcomes(sides):
    return {doubt.id: doubt.outcome for doubt in sides.doubts}


def test_given_labels_decide_whatever_the_text_mentions():
    sides = sides_of([item("a", "Asthma?", "Surgery"), item("b", "Hernia?", "Medicine")])
    assert placed(sides) == {"a": "forget", "b": "retain"} and not sides.doubts
    assert sides.counts == {"forget": {"given_label": 1}, "retain": {"given_label": 1}, "neither": {}}


def test_an_unlabelled_item_that_mentions_the_target_is_never_retained():
    items = [
        item("guessed", "Hernia?"),
        item("other", "Asthma?"),
        # Two of three votes are for medicine, but it may be about the hernia, so it must not be retained.
        item("speaks", "Asthma and gout after hernia?"),
        # A concept that also lies below medicine is on the boundary, so it does not count as the target's.
        item("shared", "Asthma, gout and colitis?"),
        item("unsure", "What now?"),
    ]
    sides = sides_of(items)
    assert placed(sides) == {"guessed": "forget", "other": "retain", "shared": "retain"}
    assert outcomes(sides)["speaks"] == "mentions_target" and outcomes(sides)["unsure"] == "undecided"
    assert sides.counts["neither"] == {"mentions_target": 1, "undecided": 1}
    assert sides.counts["forget"] == {"guessed_label": 1} and sides.counts["retain"] == {"guessed_label": 2}
    assert {one.subject for one in sides.items} == {"Surgery", "Medicine"}


def test_another_phrasing_of_the_same_fact_is_not_retained_either():
    pair = [item("a", "Asthma and gout?", fact="f"), item("b", "Asthma with hernia?", fact="f")]
    assert placed(sides_of(pair)) == {} and set(outcomes(sides_of(pair)).values()) == {"mentions_target"}


def test_without_filling_unlabelled_items_are_retained_unless_they_mention_the_target():
    sides = sides_of([item("a", "Hernia?"), item("b", "What now?"), item("c", "x", "Surgery")], fill=False)
    assert placed(sides) == {"b": "retain", "c": "forget"} and outcomes(sides) == {"a": "mentions_target"}
    assert sides.counts["retain"] == {"no_label": 1}


def test_a_target_by_concept_takes_what_is_about_it_and_leaves_out_what_mentions_it():
    items = [
        item("about", "Treatment of angina?", "Medicine"),
        item("passing", "A man with angina has asthma. Which drug treats asthma and gout?", "Medicine"),
        item("none", "Asthma?", "Medicine"),
    ]
    sides = sides_of(items, ["heart"])
    assert placed(sides) == {"about": "forget", "none": "retain"}
    (doubt,) = sides.doubts
    assert (doubt.id, doubt.given, doubt.guess, doubt.outcome) == ("passing", "Medicine", "t", "borderline")
    assert 0 < doubt.confidence < 0.35
    assert sides.counts == {"forget": {"about": 1}, "retain": {"not_about": 1}, "neither": {"borderline": 1}}
    assert "passing" in placed(sides_of(items, ["heart"], threshold=0.0))


def test_a_fact_is_about_the_target_if_one_phrasing_is():
    pair = [item("a", "Angina?", fact="f"), item("b", "A man with angina. Asthma, gout?", fact="f")]
    assert placed(sides_of(pair, ["heart"])) == {"a": "forget", "b": "forget"}


def test_what_the_data_set_says_an_item_is_about_decides():
    items = [item("a", "What now?", concepts=("angina",)), item("b", "Angina?", concepts=("asthma",))]
    assert placed(sides_of(items, ["heart"], declared=["a", "b"])) == {"a": "forget", "b": "retain"}
    assert placed(sides_of(items, ["heart"])) == {"a": "retain", "b": "forget"}


def test_labels_count_and_so_do_concepts_without_a_label():
    items = [
        item("labelled", "x", "Surgery"),
        item("about", "Angina?", "Medicine"),
        item("unlabelled", "Angina?"),
        item("passing", "A man with angina. Asthma, gout?", "Medicine"),
        item("kept", "Asthma?", "Medicine"),
    ]
    sides = sides_of(items, ["surgery", "heart"])
    assert placed(sides) == {"labelled": "forget", "about": "forget", "unlabelled": "forget", "kept": "retain"}
    assert sides.counts["forget"] == {"given_label": 1, "about": 2} and sides.sought == {"about", "unlabelled"}
    # Labels in forget.subjects cover all concepts of the target.
    named = sides_of(items, ["surgery", "heart"], target={"subjects": ["Surgery"]})
    assert placed(named)["about"] == "retain"
    either = sides_of(items, ["surgery", "heart"], target={"subjects": ["Surgery"], "by": "either"})
    assert placed(either)["about"] == "forget"


@pytest.mark.parametrize("concepts", [["surgery"], ["heart"], ["surgery", "heart"]])
@pytest.mark.parametrize("fill", [True, False])
def test_every_item_is_counted_once(concepts, fill):
    texts = ("Hernia?", "Asthma, gout, hernia?", "Angina?", "Angina. Asthma?", "?", "Gout")
    items = [
        item(f"{n}{label}", text, label) for n, text in enumerate(texts) for label in ("Surgery", "Medicine", None)
    ]
    sides = sides_of(items, concepts, fill=fill)
    counted = {side: sum(reasons.values()) for side, reasons in sides.counts.items()}
    there = Counter(placed(sides).values())
    assert counted == {"forget": there["forget"], "retain": there["retain"], "neither": len(items) - len(sides.items)}
    left_out = {doubt.id for doubt in sides.doubts if doubt.outcome != "filled"}
    assert left_out == {one.id for one in items} - set(placed(sides))


def test_items_that_a_second_data_set_must_not_add_are_counted_separately():
    sides = sides_of([item("a", "x", "Surgery"), item("b", "y", "Medicine"), item("c", "z", "Medicine")])
    cut = sides.cut([one for one in sides.items if one.id != "c"], "second_about")
    assert [one.id for one in cut.items] == ["a", "b"] and cut.forget == sides.forget
    assert cut.counts == {"forget": {"given_label": 1}, "retain": {"given_label": 1}, "neither": {"second_about": 1}}
