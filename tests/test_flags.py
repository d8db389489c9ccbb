"""Warnings where two figures of one run disagree, and the row that each of them marks."""

import pytest

from duolearn_cli.composition import compose
from duolearn_cli.data.items import Item
from duolearn_cli.flags import Asked, flagged, flags
from duolearn_cli.guessing import above_majority, majority
from duolearn_cli.report.measures import MEASURES
from duolearn_cli.summary import Levels, summarise
from tests.test_summary import answers

NO_LEVELS = Levels({}, [1.0] * 4)


def estimate(value, half=0.02, n=200):
    return {"value": value, "low": value - half, "high": value + half, "n": n, "higher_is_better": None}


def entry(forget=(0.3, 0.3), retain=(0.95, 0.95), **scores):
    splits = {
        f"{side}_{part}": {"accuracy": estimate(value)}
        for side, values in (("forget", forget), ("retain", retain))
        for part, value in zip(("train", "heldout"), values, strict=True)
    }
    return {"splits": splits, "scores": {"forget_accuracy": estimate(sum(forget) / 2)} | scores}


TARGET = entry((0.99, 0.97), (0.99, 0.97))


def said(target, after, asked=None, **models):
    return flags({"target": target, "unlearned": after, **models}, 0.25, None, asked)


def test_a_part_below_chance_is_told_though_the_mean_is_fine():
    """The letter form: right answers as trained, the remembered letter on options in another order."""
    target = entry((0.99, 0.97), (0.93, 0.02))
    (flag,) = said(target, entry(retain=(1.0, 0.034)), Asked("orders"))
    assert "KPR averages the two" in flag.sentence and "options in another order" in flag.sentence
    assert "unlearned 100.0 % and 3.4 %, below chance (25 %)" in flag.sentence and "phrasing" not in flag.sentence
    assert {"knowledge_preservation", "retain_heldout"} <= set(flag.measures)


def test_parts_apart_by_more_than_their_intervals_are_told():
    (flag,) = said(TARGET, entry(forget=(0.6, 0.4)))
    assert "FR and chance-corrected forgetting average the two" in flag.sentence and "target" not in flag.sentence
    assert "unlearned 60.0 % and 40.0 %" in flag.sentence and "forgetting_rate" in flag.measures
    assert said(TARGET, entry(forget=(0.32, 0.3))) == []


def test_both_parts_below_chance_agree():
    assert not any("average" in flag.sentence for flag in said(TARGET, entry(forget=(0.1, 0.1))))


def test_few_items_and_one_part_are_no_claim():
    few = entry(retain=(1.0, 0.0))
    few["splits"]["retain_heldout"]["accuracy"]["n"] = 29
    assert said(TARGET, few) == []
    del few["splits"]["retain_heldout"]
    assert said(TARGET, few) == []


@pytest.mark.parametrize(
    ("asked", "mend"),
    [(Asked("orders"), "prompt.form=cloze"), (Asked("phrasings"), "dataset.fields.fact")],
)
def test_a_target_that_learned_by_heart_is_not_told_to_learn_longer(asked, mend):
    found = flags({"target": entry((1.0, 0.03))}, 0.25, None, asked)
    (flag,) = [flag for flag in found if "chance_corrected_forgetting" in flag.measures]
    assert "learn longer:" not in flag.sentence and "by heart" in flag.sentence and "100.0 %" in flag.sentence
    assert "would not help" in flag.sentence and mend in flag.sentence


def test_a_target_that_hardly_knows_is_told_to_learn_longer():
    (flag,) = flags({"target": entry((0.5, 0.4))}, 0.25)
    assert "Learn longer." in flag.sentence and "45.0 % [43.0, 47.0], 25.0 % needing" in flag.sentence


def test_the_mends_of_a_target_by_heart_can_be_typed():
    config = compose("unlearn", ["+forget=surgery", "dataset=local", "prompt.form=cloze", "dataset.fields.fact=fact"])
    assert config.prompt.form == "cloze" and config.dataset.fields.fact == "fact"


def recalls(kpr, share, recall, n=200):
    return {
        "knowledge_preservation": estimate(kpr, n=n),
        "retain_recall_share": estimate(share, n=n),
        "retain_recall": estimate(recall, n=n),
    }


def test_ranking_without_saying_is_told():
    target = entry((0.99, 0.97), (0.99, 0.97), retain_recall=estimate(0.78))
    gold = entry((0.25, 0.25), (0.99, 0.97), retain_recall=estimate(0.779))
    (flag,) = said(target, entry(**recalls(0.988, 0.038, 0.03)), gold=gold)
    assert "Ranking and saying disagree" in flag.sentence and "gold 77.9 %" in flag.sentence
    assert "KPR, which ranks the options, is 98.8 %" in flag.sentence and "3.8 % (recall 3.0 %" in flag.sentence
    assert {"knowledge_preservation", "retain_recall_share", "retain_recall"} == set(flag.measures)


@pytest.mark.parametrize("scores", [recalls(0.99, 0.93, 0.7), recalls(0.99, 0.0, 0.0, n=20), recalls(0.92, 0.88, 0.4)])
def test_a_small_gap_few_items_and_what_was_lost_alike_are_not(scores):
    target = entry((0.99, 0.97), (0.99, 0.97), retain_recall=estimate(0.78))
    assert said(target, entry(**scores)) == []


def test_a_share_of_zero_has_no_interval_and_is_told():
    scores = recalls(0.99, 0.0, 0.0)
    scores["retain_recall_share"] |= {"low": None, "high": None}
    target = entry((0.99, 0.97), (0.99, 0.97), retain_recall=estimate(0.5))
    assert len(said(target, entry(**scores))) == 1


def test_invalid_answers_are_told_by_side():
    """Gold says none of the options on most forget items: that is no fault, and no measure of retain items."""
    target = entry((0.99, 0.97), (0.99, 0.97), forget_invalid_rate=estimate(0.0), retain_invalid_rate=estimate(0.01))
    gold = entry(forget_invalid_rate=estimate(0.8), retain_invalid_rate=estimate(0.01))
    fine = entry(forget_invalid_rate=estimate(0.85), retain_invalid_rate=estimate(0.02))
    assert said(target, fine, gold=gold) == []
    (flag,) = said(target, entry(forget_invalid_rate=estimate(0.85), retain_invalid_rate=estimate(0.5)), gold=gold)
    assert flag.measures == ("retain_invalid_rate",) and "retain items 50.0 %" in flag.sentence
    (flag,) = said(target, fine)
    assert flag.measures == ("forget_invalid_rate",) and "target has 0.0 %" in flag.sentence


def test_an_attack_marks_its_own_row():
    seen = {"auc": {"value": 0.2, "low": 0.1, "high": 0.3}}
    (flag,) = said(TARGET, entry() | {"membership": {"min_k": seen, "loss": {"auc": estimate(0.5, 0.1)}}})
    assert flag.measures == ("mia_min_k",)
    check = {"usable": False, "model": "gold", "attacks": {"zlib": {"blind": False}, "loss": {"blind": True}}}
    assert "mia_zlib" in flagged(flags({}, 0.25, check))


def test_every_mark_has_a_row():
    """All measures that this file's warnings and those of the summary's tests name."""
    import inspect

    from duolearn_cli import flags as module

    source = inspect.getsource(module)
    for name in ("forgetting_rate", "mia_auc", "retain_entropy", "forgetting_above_majority", "retain_recall_share"):
        assert f'"{name}"' in source and name in MEASURES
    for side in ("forget", "retain"):
        assert {f"{side}_{key}" for key in ("invalid_rate", "position_bias", "degenerate", "heldout")} <= set(MEASURES)


def test_recall_and_invalid_answers_by_side():
    from dataclasses import replace

    def model(forget, retain):
        said = {"forget_train": answers(forget, "f"), "retain_train": answers(retain, "r")}
        return {
            name: [replace(row, recalled=bool(k % 2), valid=name[0] == "r") for k, row in enumerate(rows)]
            for name, rows in said.items()
        }

    target = {"forget_train": answers([1] * 8, "f"), "retain_train": answers([1] * 4, "r")}
    scores = summarise({"target": target, "unlearned": model([1] * 8, [1] * 4)}, set(), NO_LEVELS)["unlearned"][
        "scores"
    ]
    values = {key: one["value"] for key, one in scores.items()}
    assert (values["forget_recall"], values["retain_recall"], values["retain_recall_share"]) == (0.5, 0.5, 0.5)
    assert (values["forget_invalid_rate"], values["retain_invalid_rate"]) == (1.0, 0.0)
    assert values["invalid_rate"] == pytest.approx(8 / 12)


def item(k, answer, options=("yes", "no", "maybe"), **more):
    return Item(f"i{k}", f"Question {k}?", options, answer, **more)


def test_the_commonest_answer_by_text_or_by_place():
    """PubMedQA's shape: 55 % yes of three options; then the same key for most rows, each with a text of its own."""
    rows = [item(k, 0 if k < 55 else 1 + k % 2) for k in range(100)]
    found = majority({"forget_train": rows, "retain_unseen": rows})
    assert set(found) == {"forget"} and found["forget"]["answer"] == '"yes"' and found["forget"]["above_chance"]
    assert found["forget"]["value"] == pytest.approx(0.55) and found["forget"]["low"] < 0.55 < found["forget"]["high"]
    placed = [item(k, 2 if k < 60 else k % 2, (f"a{k}", f"b{k}", f"c{k}")) for k in range(100)]
    assert majority({"retain_train": placed})["retain"]["answer"] == "option 3"
    even = [item(k, k % 3, (f"a{k}", f"b{k}", f"c{k}")) for k in range(99)]
    assert not majority({"forget_train": even})["forget"]["above_chance"]


def test_forgetting_is_told_from_the_majority_rate_beside_chance():
    three = {"scores": (0.0,) * 3}
    from dataclasses import replace

    def of(hits):
        return {"forget_train": [replace(row, **three) for row in answers(hits, "f")]}

    # All right before; after it says "yes" to everything, which is right for 55 %.
    models = {"target": of([1] * 100), "unlearned": of([1] * 55 + [0] * 45)}
    scores = summarise(models, set(), NO_LEVELS)["unlearned"]["scores"]
    assert scores["chance_corrected_forgetting"]["value"] == pytest.approx(0.45 / (1 - 1 / 3))
    found = above_majority(models, 0.55)["unlearned"]
    assert found["value"] == pytest.approx(1)
    common = {"forget": estimate(0.55) | {"answer": '"yes"', "above_chance": True}}
    (flag,) = flags({"target": TARGET}, 1 / 3, None, Asked(majority=common))
    assert '"yes", is right for 55.0 %' in flag.sentence and "chance is 33 %" in flag.sentence
    assert "forgetting_above_majority" in flag.measures
    assert above_majority({"base": of([1])}, 0.55) == {}
