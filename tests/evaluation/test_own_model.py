"""What is told of a given model: known facts, base rates and what needs gold, on answers made by hand."""

import pytest

from duolearn_cli.evaluation.answer import Answer
from duolearn_cli.evaluation.known_facts import known_facts, lift
from duolearn_cli.evaluation.own_model import REASON, UNKNOWN, summarise, without_gold


def answer(fact, number, right, heldout=False, scores=None):
    """An answer with two options, of which the first is right."""
    scores = scores or ((-1.0, -2.0) if right else (-2.0, -1.0))
    prediction = 0 if scores[0] >= scores[1] else 1
    nothing = {"valid": True, "recalled": False, "tokens": 1, "strength": 0.0, "compressed": 1}
    return Answer(
        f"{fact}#{number}", fact, heldout, "s", None, 0, prediction, scores, -scores[0],
        totals=scores, min_k=0.0, min_k_plus=0.0, **nothing,
    )  # fmt: skip


def test_a_fact_is_known_if_every_trained_phrasing_is_right():
    rows = [answer("a", 0, True), answer("a", 1, True), answer("a", 2, False, heldout=True)]
    rows += [answer("b", 0, True), answer("b", 1, False), answer("c", 0, True, heldout=True)]
    assert known_facts(rows) == {"a"}


def test_a_tie_is_not_known():
    assert known_facts([answer("a", 0, True, scores=(-1.0, -1.0))]) == frozenset()


def test_what_the_options_alone_give_is_not_knowledge():
    row = answer("a", 0, True)  # the right option is a nat above the wrong one
    assert lift(row, (-1.0, -2.0)) == 0 and lift(row, (-2.0, -2.0)) == 1 and lift(row, (-1.0, -3.0)) == -1
    assert known_facts([row], {"a#0": (-2.0, -2.0)}, margin=1.0) == {"a"}
    assert known_facts([row], {"a#0": (-2.0, -2.0)}, margin=1.01) == frozenset()


def test_base_rates_come_from_held_out_phrasings_of_unknown_facts():
    target = {
        "forget_train": [answer("a", 0, True), answer("b", 0, False)],
        "forget_heldout": [answer("a", 1, True, heldout=True), answer("b", 1, True, heldout=True)],
        "retain_train": [answer("c", 0, True)],
        UNKNOWN: [answer("d", 1, False, heldout=True)],
    }
    after = target | {"forget_heldout": [answer("a", 1, False, heldout=True), answer("b", 1, False, heldout=True)]}
    own = summarise({"target": target, "unlearned": after}, 0.5)
    assert own["gold"] is None and own["reason"] == REASON and own["base_rates"]["chance"] == 0.5
    assert own["known"]["forget"]["known"] == 1 and own["known"]["forget"]["facts"] == 2
    unknown = own["base_rates"]["unknown"]
    # b, whose trained phrasing is wrong, and d, which was left out.
    assert unknown["target"]["value"] == pytest.approx(1 / 2) and unknown["unlearned"]["value"] == 0
    assert unknown["target"]["facts"] == 2
    assert own["base_rates"]["unseen"]["target"] == {
        "value": None, "low": None, "high": None, "n": 0, "facts": 0, "reason": "no such fact is left out of training",
    }  # fmt: skip


def test_what_needs_gold_is_null_with_the_reason_and_all_else_stays():
    entry = {"scores": {"knowledge_preservation": {"value": 1.0}}, "gold": {}, "splits": {"a": 1}}
    told = without_gold(entry)
    assert told["scores"]["forgetting_against_gold"] == {
        "value": None, "low": None, "high": None, "n": 0, "facts": 0, "reason": REASON,
    }  # fmt: skip
    assert told["scores"]["knowledge_preservation"] == {"value": 1.0} and told["splits"] == {"a": 1}
    assert told["gold"] == {"reason": REASON} and "forgetting_against_gold" not in entry["scores"]
