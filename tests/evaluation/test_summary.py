"""The summary of made-up answers, against values computed by hand."""

from dataclasses import replace

import pytest

from duolearn_cli.evaluation.answer import Answer
from duolearn_cli.evaluation.members import membership_check, roc_curves
from duolearn_cli.evaluation.summary import Levels, summarise
from duolearn_cli.evaluation.warnings import flagged, flags

NO_LEVELS = Levels({}, [1.0] * 4)


def answers(correct, split="t", nll=1.0, heldout=False, subject="Surgery", topic=None):
    return [
        Answer(
            id=f"{split}{n}",
            fact=f"{split}{n}",
            heldout=heldout,
            subject=subject,
            topic=topic,
            answer=0,
            prediction=0 if hit else 1,
            scores=(1.0, 0.0, 0.0, 0.0) if hit else (0.0, 1.0, 0.0, 0.0),
            nll=nll,
            valid=True,
            recalled=bool(hit),
            totals=(0.0,) * 4,
            tokens=3,
            strength=float(hit),
            min_k=-nll,
            min_k_plus=-nll,
            compressed=12,
            classes={"target": (3 * nll, 3)},
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
    assert scores["forgetting_against_gold"]["value"] == pytest.approx(7 / 6)
    assert models["unlearned"]["membership"]["zlib"]["auc"]["value"] == 0
    assert models["unlearned"]["gold"]["forget"]["agreement"]["value"] == pytest.approx(7 / 8)
    assert models["target"]["gold"]["retain"]["agreement"]["value"] == pytest.approx(3 / 4)
    assert models["gold"]["gold"] == {}
    assert models["unlearned"]["token_classes"]["forget"]["target"]["value"] == pytest.approx(3.0)
    assert models["unlearned"]["calibration"]["forget"]["positions"] == [1 / 8, 7 / 8, 0, 0]
    assert models["gold"]["scores"]["chance_corrected_forgetting"]["value"] == pytest.approx(1)
    assert "knowledge_preservation" not in models["target"]["scores"]
    assert models["unlearned"]["subjects"]["Psychiatry"]["n"] == 4


def test_a_forgotten_topic_is_counted_apart_from_its_subject():
    models = summarise({"base": model([1], [1, 0])}, {"Psychiatry/Anxiety"}, NO_LEVELS)
    assert set(models["base"]["subjects"]) == {"Surgery", "Psychiatry/Anxiety"}


def test_over_unlearning_is_flagged():
    unseen = {"forget_unseen": answers([0] * 40, "u", 2.0)}
    models = summarise(
        {
            "target": model([1] * 40, [1] * 40, 0.1) | unseen,
            "unlearned": model([0] * 40, [1] * 40, 9.0) | unseen,
        },
        {"Surgery"},
        NO_LEVELS,
    )
    raised = flags(models, 0.25)
    sentences = " ".join(flag.sentence for flag in raised)
    assert {"forgetting_rate", "mia_auc"} <= set(flagged(raised))
    assert "below chance" in sentences and "below 0.5" in sentences
    assert flags(summarise({"target": model([1] * 40, [1] * 40)}, set(), NO_LEVELS), 0.25) == []


def test_levels_are_scored_against_the_target():
    levels = Levels({f"f{n}": 4 for n in range(40)} | {f"r{n}": 1 for n in range(40)}, [1.0, 1.0, 1.0, 3.0])
    models = summarise(
        {"target": model([1] * 40, [1] * 40), "unlearned": model([1] * 20 + [0] * 20, [1] * 30 + [0] * 10)},
        {"Surgery"},
        levels,
    )
    # Compared with itself, the target has forgotten nothing.
    assert models["target"]["levels"] == {} and models["target"]["scores"]["hmta"]["value"] == 0
    assert models["unlearned"]["levels"]["1"]["preservation"]["value"] == pytest.approx(0.75)
    assert models["unlearned"]["levels"]["4"]["forgetting"]["value"] == pytest.approx(2 / 3)
    assert models["unlearned"]["scores"]["hmta"]["value"] == pytest.approx(2 * 0.75 * (2 / 3) / (0.75 + 2 / 3))


ONE_PLACE = {"value": 0.65, "low": 0.5, "high": 0.8, "n": 200}


def spoilt(**changes):
    """The entries of a target and of an unlearned model, sound except for the changes `forget__...`, `retain__...`."""
    sound = {"entropy": {"value": 0.3}, "positions": [0.25] * 4, "right_positions": [0.25] * 4}
    sound["favourite_place"] = {"value": 0.0, "low": -0.1, "high": 0.1, "n": 200}

    def entry(**changes):
        sides = {
            side: sound | {key.partition("__")[2]: value for key, value in changes.items() if key.startswith(side)}
            for side in ("forget", "retain")
        }
        written = {side: {"degenerate": own.pop("degenerate", {"value": 0.0})} for side, own in sides.items()}
        sure = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 200}
        return {"scores": {"forget_accuracy": sure}, "calibration": sides, "written": written}

    return {"target": entry(), "unlearned": entry(**changes)}


@pytest.mark.parametrize(
    ("changes", "sentence", "measure"),
    [
        ({"retain__entropy": {"value": 0.999}}, "uniform collapse", "knowledge_preservation"),
        (
            {"forget__positions": [0.0, 0.9, 0.1], "forget__favourite_place": ONE_PLACE},
            "Option 2 is the answer to 90 % of the forget",
            "forgetting_rate",
        ),
        (
            {"retain__positions": [0.9, 0.1], "retain__favourite_place": ONE_PLACE},
            "Option 1 is the answer to 90 % of the retain",
            "knowledge_preservation",
        ),
        ({"retain__degenerate": {"value": 0.4}}, "40 % of the retain items with nothing", "knowledge_preservation"),
    ],
)
def test_each_way_of_breaking_a_model_is_flagged(changes, sentence, measure):
    (flag,) = flags(spoilt(**changes), 0.25)
    assert sentence in flag.sentence and measure in flag.measures
    assert flags(spoilt(), 0.25) == []


def test_a_position_that_is_right_as_often_as_it_is_chosen_is_no_fault():
    changes = {f"forget__{key}": [0.9, 0.1] for key in ("positions", "right_positions")}
    assert flags(spoilt(**changes), 0.25) == []


def test_attacks_are_checked_on_a_model_trained_on_neither_side():
    gold, separable = model([1] * 40, [1] * 4, nll=2.0), model([1] * 40, [1] * 4, nll=0.1)
    blind = membership_check({"base": gold, "gold": gold})
    # The losses of all facts are equal: there is nothing to see, and nothing could have been seen.
    assert blind["model"] == "gold" and blind["usable"] is None and blind["pairs"] == 8
    other = {"base": separable}
    for k, row in enumerate(other["base"]["forget_train"]):
        other["base"]["forget_train"][k] = replace(row, nll=0.1 + k / 1000)
    check = membership_check(other)
    assert check["model"] == "base" and "reference" not in check["attacks"]
    assert not check["usable"] and check["attacks"]["loss"]["seen"] and check["attacks"]["loss"]["auc"]["value"] == 1
    assert membership_check({"target": gold}) is None
    unusable = {"usable": False, "model": "gold", "attacks": {"zlib": {"seen": True}, "loss": {"seen": False}}}
    (flag,) = flags({}, 0.25, unusable)
    assert "zlib distinguish members from non-members on the gold model" in flag.sentence


def test_curves_are_those_of_the_pairs():
    curves = roc_curves({"base": model([1] * 8, [1]), "target": model([1] * 8, [1], nll=0.1)})
    assert curves["target"]["loss"]["tpr"] == [0.0, 1.0, 1.0] and "reference" not in curves["base"]


def test_an_attack_with_a_score_that_is_not_finite_is_left_out():
    """Earlier, one such score made every attack on a sound split see a difference."""

    def with_losses(name, broken):
        rows = [replace(row, nll=1 + n / 10, min_k=-1.0 - n / 7) for n, row in enumerate(answers([0] * 8, name))]
        return [replace(rows[0], min_k=broken), *rows[1:]]

    for broken in (float("nan"), float("-inf")):
        gold = {"forget_train": with_losses("f", broken), "forget_unseen": with_losses("u", -1.0)}
        check = membership_check({"gold": gold})
        assert set(check["attacks"]) == {"loss", "zlib", "min_k_plus"} and check["usable"] is True
        assert set(roc_curves({"gold": gold})["gold"]) == set(check["attacks"])
        entry = summarise({"gold": gold}, set(), NO_LEVELS)["gold"]
        assert set(entry["membership"]) == set(check["attacks"]) and entry["worst_attack"]["attack"] != "min_k"
    broken = {
        name: [replace(row, nll=float("nan"), min_k=float("nan"), min_k_plus=float("nan")) for row in rows]
        for name, rows in gold.items()
    }
    assert membership_check({"gold": broken}) is None
