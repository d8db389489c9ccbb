"""From rows to figures: which items count, what they are compared with, and when an attack is blind."""

import json
from contextlib import nullcontext

import pytest

from duolearn_cli.audits.robustness.attack import Attack, Skipped
from duolearn_cli.audits.robustness.results import is_blind, summarise
from tests.audits.robustness.stand_in import row


def attack(name="relearn", variant="x", **settings):
    return Attack(name, variant, lambda lab: nullcontext(lambda items: []), **settings)


def study_rows(hits, side="forget", facts=20, **settings):
    """Rows for two trained phrasings and a held-out one of each fact; `hits(model, fact, phrasing)` is the answer."""
    return [
        row(model, f"{side}{fact}-{place}", f"{side}{fact}", hits(model, fact, place), side=side, heldout=place == 2)
        | settings
        for model in ("target", "gold", "unlearned")
        for fact in range(facts)
        for place in range(3)
    ]


def knows(model, fact, place):
    return 1.0 if model == "target" else float(fact % 4 == 0)


def test_figures_by_hand():
    plain = study_rows(knows) + study_rows(lambda *_: 1.0, side="retain")

    def after(model, fact, place):
        return float(fact % 2 == 0) if model == "unlearned" else knows(model, fact, place)

    named = {"attack": "relearn", "variant": "x"}
    tried = study_rows(after, **named) + study_rows(lambda *_: 1.0, side="retain", **named)
    skipped = [Skipped("prompts", "other orders", "why")]
    summary = summarise(plain + tried, [attack(details={"examples": 3})], skipped)
    assert summary["skipped"] == [{"attack": "prompts", "variant": "other orders", "reason": "why"}]
    assert summary["before"]["unlearned"]["forget"]["accuracy"]["value"] == 0.25
    assert summary["chance"] == {"forget": 0.25, "retain": 0.25}
    (entry,) = summary["attacks"]
    forget = entry["models"]["unlearned"]["forget"]
    assert forget["accuracy"]["value"] == 0.5 and forget["before"]["value"] == 0.25 and forget["accuracy"]["n"] == 60
    assert forget["recovered"]["value"] == pytest.approx(1 / 3)
    assert entry["models"]["gold"]["forget"]["recovered"]["value"] == 0
    assert entry["above_gold"]["forget"]["value"] == 0.25
    # Nothing was forgotten on the retain side, nor by the target.
    assert entry["models"]["unlearned"]["retain"]["recovered"] is None
    assert entry["models"]["target"]["forget"]["recovered"] is None
    assert not entry["blind"] and entry["details"] == {"examples": 3}
    json.dumps(summary)


def test_facts_that_the_attack_taught_do_not_count():
    def after(model, fact, place):
        return 1.0 if fact < 5 else knows(model, fact, place)

    tried = study_rows(after, attack="relearn", variant="x")
    tried = [one | {"used": int(one["fact"].removeprefix("forget")) < 5} for one in tried]
    retain = study_rows(lambda *_: 1.0, side="retain")
    retain += study_rows(lambda *_: 1.0, side="retain", attack="relearn", variant="x")
    (entry,) = summarise(study_rows(knows) + tried + retain, [attack()], [])["attacks"]
    forget = entry["models"]["unlearned"]["forget"]
    assert forget["accuracy"]["n"] == 45 and forget["accuracy_with_used"]["n"] == 60
    assert forget["accuracy"]["value"] == forget["before"]["value"] == pytest.approx(3 / 15)
    assert forget["recovered"]["value"] == 0
    assert forget["accuracy_with_used"]["value"] == pytest.approx(8 / 20)
    assert entry["models"]["unlearned"]["retain"]["accuracy_with_used"] is None


def test_heldout_phrasings_are_compared_with_trained_ones():
    def otherwise(model, fact, place):
        return 1.0 if model == "target" else float(fact % 2 == 0 if place == 2 else fact % 4 == 0)

    plain = study_rows(otherwise) + study_rows(lambda *_: 1.0, side="retain")
    tried = [one | {"attack": "prompts", "variant": "held-out"} for one in plain if one["heldout"]]
    # A fact without a held-out phrasing counts neither under the attack nor before it.
    tried = [one for one in tried if one["fact"] != "forget0"]
    heldout = attack("prompts", "held-out", phrasings="heldout", compared_with="trained")
    (entry,) = summarise(plain + tried, [heldout], [])["attacks"]
    forget = entry["models"]["unlearned"]["forget"]
    assert forget["accuracy"]["n"] == 19 and forget["before"]["n"] == 38 and not forget["enough"]
    assert forget["accuracy"]["value"] == pytest.approx(9 / 19) and forget["before"]["value"] == pytest.approx(4 / 19)
    assert forget["recovered"]["value"] == pytest.approx(5 / 15) and forget["recovered"]["low"] is None


@pytest.mark.parametrize(
    ("value", "low", "blind"),
    [(0.5, 0.3, False), (0.5, 0.2, True), (0.3, None, False), (0.25, None, True), (0.1, 0.05, True)],
)
def test_blindness(value, low, blind):
    assert is_blind({"accuracy": {"value": value, "low": low}, "chance": 0.25}) is blind
