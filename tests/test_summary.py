"""metrics.json from made-up answers, by hand."""

import pytest

from duolearn_cli.evaluation import Answer
from duolearn_cli.summary import Levels, flags, summarise

NO_LEVELS = Levels({}, [1.0] * 4)


def answers(correct, split="t", nll=1.0, heldout=False, subject="Surgery", topic=None):
    return [
        Answer(
            f"{split}{n}", f"{split}{n}", heldout, subject, topic, 0, 0 if hit else 1, (0.0,) * 4, nll, True, bool(hit)
        )
        for n, hit in enumerate(correct)
    ]


def model(forget, retain, nll=1.0):
    return {
        "forget_train": answers(forget, "f", nll),
        "forget_unseen": answers([0] * 8, "u", 2.0),
        "retain_train": answers(retain, "r", subject="Psychiatry", topic="Anxiety"),
    }


def test_scores_by_hand():
    models = summarise(
        {
            "target": model([1] * 8, [1] * 4, nll=0.1),
            "gold": model([1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0], nll=2.0),
            "unlearned": model([1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0], nll=3.0),
        },
        {"Surgery"},
        NO_LEVELS,
    )
    scores = models["unlearned"]["scores"]
    assert scores["forgetting_rate"]["value"] == pytest.approx(7 / 8)
    assert scores["relative_drop"]["value"] == pytest.approx(7 / 8)
    assert scores["chance_corrected_forgetting"]["value"] == pytest.approx((1 - 1 / 8) / 0.75)
    assert scores["knowledge_preservation"]["value"] == pytest.approx(0.5)
    assert scores["mia_auc"]["value"] == 0 and scores["mia_score"]["value"] == 0
    assert models["target"]["scores"]["mia_auc"]["value"] == 1
    assert models["gold"]["scores"]["mia_auc"]["value"] == 0.5
    assert models["gold"]["scores"]["chance_corrected_forgetting"]["value"] == pytest.approx(1)
    assert "knowledge_preservation" not in models["target"]["scores"]
    assert models["unlearned"]["subjects"]["Psychiatry"]["n"] == 4


def test_a_forgotten_topic_is_counted_apart_from_its_subject():
    models = summarise({"base": model([1], [1, 0])}, {"Psychiatry/Anxiety"}, NO_LEVELS)
    assert set(models["base"]["subjects"]) == {"Surgery", "Psychiatry/Anxiety"}


def test_over_unlearning_is_flagged():
    models = summarise(
        {"target": model([1] * 40, [1] * 40, 0.1), "unlearned": model([0] * 40, [1] * 40, 9.0)},
        {"Surgery"},
        NO_LEVELS,
    )
    said = " ".join(flags(models, 0.25))
    assert "below chance" in said and "below 0.5" in said
    assert flags(summarise({"target": model([1] * 40, [1] * 40)}, set(), NO_LEVELS), 0.25) == []


def test_levels_are_scored_against_the_target():
    levels = Levels({f"f{n}": 4 for n in range(40)} | {f"r{n}": 1 for n in range(40)}, [1.0, 1.0, 1.0, 3.0])
    models = summarise(
        {"target": model([1] * 40, [1] * 40), "unlearned": model([1] * 20 + [0] * 20, [1] * 30 + [0] * 10)},
        {"Surgery"},
        levels,
    )
    assert models["target"]["levels"] == {} and "hmta" not in models["target"]["scores"]
    assert models["unlearned"]["levels"]["1"]["preservation"]["value"] == pytest.approx(0.75)
    assert models["unlearned"]["levels"]["4"]["forgetting"]["value"] == pytest.approx(2 / 3)
    assert models["unlearned"]["scores"]["hmta"]["value"] == pytest.approx((0.75 + 3 * 2 / 3) / 4)
