"""The lights of a verdict, against a table of cases."""

from __future__ import annotations

import json

import pytest

from duolearn_cli.config.verdict import VerdictConfig, verdict_limits
from duolearn_cli.evaluation.verdict import sentence, verdict

LIMITS = VerdictConfig()


def estimate(value, low, high, facts=60, **more):
    return {"value": value, "low": low, "high": high, "n": 2 * facts, "facts": facts} | more


def run(forgotten=None, kept=None, auc=None, gold_auc=None, gold_kept=None, by_gold=True, **more):
    """metrics.json of a run, as far as a verdict reads it."""
    accuracy = {"forget_accuracy": estimate(0.3, 0.2, 0.4), "retain_accuracy": estimate(0.9, 0.85, 0.95)}
    key = "forgetting_against_gold" if by_gold else "chance_corrected_forgetting"
    after = {**accuracy, key: forgotten, "knowledge_preservation": kept}
    models = {"target": {"scores": accuracy}, "unlearned": {"scores": after, "membership": attack(auc)}}
    if by_gold:
        models["gold"] = {"scores": {**accuracy, "knowledge_preservation": gold_kept}, "membership": attack(gold_auc)}
    return {"forget": "mental_health", "chance": 0.25, "privacy": "none", "models": models} | more


def attack(auc):
    return {"loss": {"auc": auc}} if auc else {}


def light(key, metrics, limits=LIMITS):
    return next(one for one in verdict(metrics, limits)["lights"] if one["key"] == key)


@pytest.mark.parametrize("by_gold", [True, False])
@pytest.mark.parametrize(
    ("found", "state"),
    [
        (estimate(0.95, 0.91, 0.99), "green"),
        (estimate(0.95, 0.90, 1.02), "green"),  # the threshold itself is enough
        (estimate(0.95, 0.89, 1.01), "amber"),  # the interval holds the threshold
        (estimate(0.89, 0.84, 0.94), "amber"),
        (estimate(0.80, 0.72, 0.89), "red"),
        (estimate(0.99, 0.97, 1.00, facts=29), "amber"),  # too few facts for any claim
        (estimate(0.10, 0.00, 0.20, facts=29), "amber"),
        (estimate(1.30, 1.10, 1.50), "amber"),  # avoided, not forgotten
        (estimate(1.00, None, None, unbounded=True), "amber"),
        (estimate(None, None, None), "amber"),
        (None, "amber"),
    ],
)
def test_forgotten_goes_by_the_whole_interval(by_gold, found, state):
    one = light("forgotten", run(found, by_gold=by_gold))
    assert one["state"] == state
    assert one["limit"] == 0.9 and one["bar"]["marks"]["target"] == 0.3 and one["bar"]["marks"]["chance"] == 0.25
    assert ("gold" in one["bar"]["marks"]) == by_gold


def test_forgetting_is_measured_from_gold_where_there_is_one_else_from_chance():
    found = estimate(0.95, 0.91, 0.99)
    assert light("forgotten", run(found))["measure"] == "forgetting_against_gold"
    assert "never learned it" in light("forgotten", run(found))["reason"]
    without = light("forgotten", run(found, by_gold=False))
    assert (
        without["measure"] == "chance_corrected_forgetting"
        and "to guessing; needed: at least 90 %." in without["reason"]
    )


def test_a_run_that_has_a_reason_in_place_of_gold_is_measured_from_chance():
    metrics = run(estimate(0.95, 0.91, 0.99), by_gold=False)
    missing = {"value": None, "low": None, "high": None, "n": 0, "facts": 0, "reason": "no gold"}
    metrics["models"]["unlearned"]["scores"]["forgetting_against_gold"] = missing
    metrics["models"]["unlearned"]["gold"] = {"reason": "no gold"}
    one = light("forgotten", metrics)
    assert (one["state"], one["measure"]) == ("green", "chance_corrected_forgetting")


@pytest.mark.parametrize(
    ("found", "gold", "state", "limit"),
    [
        (estimate(0.97, 0.93, 1.01), None, "green", 0.9),
        (estimate(0.90, 0.87, 0.93), None, "amber", 0.9),
        (estimate(0.80, 0.75, 0.85), None, "red", 0.9),
        # Gold lost a fifth by itself, since it never learned the forget items: less is asked.
        (estimate(0.80, 0.75, 0.85), estimate(0.80, 0.75, 0.85), "green", 0.72),
        # That gold is better than the target asks no more.
        (estimate(0.95, 0.91, 0.99), estimate(1.10, 1.00, 1.20), "green", 0.9),
    ],
)
def test_kept_is_relative_to_gold_where_gold_is_worse_than_the_target(found, gold, state, limit):
    one = light("kept", run(kept=found, gold_kept=gold))
    assert (one["state"], one["limit"]) == (state, pytest.approx(limit))
    assert f"needed: at least {100 * limit:.3g} %" in one["reason"]
    assert ("90 % of gold's 80 %" in one["reason"]) == (limit < 0.9)


@pytest.mark.parametrize(
    ("auc", "gold", "state"),
    [
        (estimate(0.52, 0.45, 0.59), None, "green"),
        (estimate(0.52, 0.35, 0.69), None, "amber"),
        (estimate(0.80, 0.70, 0.90), None, "red"),
        (estimate(0.20, 0.10, 0.30), None, "red"),  # over-unlearned items stand out, too
        (estimate(0.60, 0.52, 0.68), estimate(0.60, 0.50, 0.70), "green"),  # gold shows the same difference
        (estimate(0.60, 0.52, 0.68), estimate(0.60, 0.50, 0.70, facts=9), "amber"),  # such a gold shows nothing
        (estimate(0.80, 0.70, 0.90, facts=9), None, "amber"),
        (None, None, "amber"),
    ],
)
def test_attacks_must_be_blind_within_the_margin_and_gold(auc, gold, state):
    assert light("attacks", run(auc=auc, gold_auc=gold))["state"] == state


def test_the_worst_of_several_attacks_decides_by_its_interval_for_all_together():
    metrics = run(auc=estimate(0.51, 0.45, 0.57))
    metrics["models"]["unlearned"]["membership"]["min_k"] = {
        "auc": estimate(0.75, 0.65, 0.85),
        "auc_together": estimate(0.75, 0.55, 0.95),
    }
    one = light("attacks", metrics)
    assert (one["state"], one["measure"], one["low"]) == ("amber", "mia_min_k", 0.55)
    del metrics["models"]["unlearned"]["membership"]["min_k"]["auc_together"]
    assert light("attacks", metrics)["state"] == "red"


def test_a_split_on_which_attacks_see_what_nobody_learned_decides_nothing():
    metrics = run(auc=estimate(0.80, 0.70, 0.90), membership_check={"usable": False})
    assert light("attacks", metrics)["state"] == "amber"


def account(promise=True, **epsilons):
    sets = {name: {"epsilon": value} for name, value in epsilons.items()}
    return {"sets": sets, "promise": promise, "delta": 1e-5}


@pytest.mark.parametrize(
    ("more", "state", "said"),
    [
        ({}, "off", "no privacy guarantee was asked for"),
        ({"privacy": "eps4"}, "red", "there is no privacy guarantee"),
        ({"account": account(forget=4.0, retain=3.0)}, "green", "privacy is guaranteed (epsilon 4)"),
        ({"account": account(forget=9.0, retain=3.0)}, "red", "weak (epsilon 9)"),
        ({"account": account(promise=False, forget=4.0)}, "amber", "noise follows from the seed"),
        ({"account": account(forget=4.0, retain=None)}, "red", "covers only the forget set"),
        ({"account": account(forget=None, retain=None)}, "red", "there is no privacy guarantee"),
    ],
)
def test_privacy_goes_by_the_account(more, state, said):
    one = light("privacy", run(**more))
    assert one["state"] == state and said in one["said"]


def test_the_sentence_tells_what_is_decided_first():
    found = run(estimate(0.95, 0.91, 0.99), estimate(0.97, 0.93, 1.01))
    assert verdict(found, LIMITS)["sentence"] == (
        "Mental health is forgotten; other knowledge is kept; no attack could be run; no privacy guarantee was asked "
        "for."
    )
    open_ones = run(estimate(0.9, 0.8, 1.0), estimate(0.5, 0.4, 0.6), estimate(0.5, 0.1, 0.9))
    assert verdict(open_ones, LIMITS)["sentence"] == (
        "Too much other knowledge is lost; no privacy guarantee was asked for. Not decided: whether mental health is "
        "forgotten, and whether attacks find it."
    )


def test_a_sentence_may_have_only_open_or_only_decided_parts():
    assert sentence(["whether a", "whether b", "whether c"]) == "Not decided: whether a, whether b, and whether c."
    assert sentence(["whether a"]) == "Not decided: whether a." and sentence(["a", "b"]) == "A; b."


def test_avoided_answers_are_explained_by_the_interval():
    reason = light("forgotten", run(estimate(1.30, 1.10, 1.50)))["reason"]
    assert reason.endswith("The whole interval is above 100 %: the model answers fewer items right than gold.")


def test_the_light_of_attacks_says_where_its_range_and_its_interval_come_from():
    of_gold = estimate(0.66, 0.56, 0.76)
    metrics = run(auc=estimate(0.51, 0.45, 0.57), gold_auc=of_gold)
    assert "0.40 to 0.76, which is 0.1 beyond 0.5 and beyond gold's 0.66." in light("attacks", metrics)["reason"]
    assert "own in the table" not in light("attacks", metrics)["reason"]
    metrics = run(auc=estimate(0.51, 0.45, 0.57), gold_auc=of_gold | {"facts": 9})
    metrics["models"]["unlearned"]["membership"]["zlib"] = {"auc_together": estimate(0.75, 0.55, 0.95)}
    reason = light("attacks", metrics)["reason"]
    assert "0.40 to 0.60, which is 0.1 beyond 0.5. " in reason and reason.endswith("it holds for all 2 together.")


def test_the_user_sets_the_thresholds():
    strict = VerdictConfig(forgotten=0.99, kept=0.5)
    metrics = run(estimate(0.95, 0.91, 0.98), estimate(0.6, 0.55, 0.65))
    assert light("forgotten", metrics, strict)["state"] == "red" and light("kept", metrics, strict)["state"] == "green"
    assert verdict(metrics, strict)["limits"]["forgotten"] == 0.99
    assert verdict_limits({"verdict": {"kept": 0.5}}) == VerdictConfig(kept=0.5) and verdict_limits({}) == LIMITS


def test_the_configuration_files_hold_the_defaults():
    from duolearn_cli.config.compose import compose

    assert verdict_limits(compose("unlearn", ["+forget=surgery"])) == LIMITS


def test_without_an_unlearned_model_there_is_none():
    metrics = run(estimate(0.95, 0.91, 0.99))
    del metrics["models"]["unlearned"]
    assert verdict(metrics, LIMITS) is None


def test_it_is_json():
    found = verdict(run(estimate(0.95, 0.91, 0.99), auc=estimate(0.5, 0.4, 0.6)), LIMITS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
