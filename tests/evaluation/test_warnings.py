"""Warnings, the situations in which they are raised, and the rows of tables that each of them marks."""

import pytest

from duolearn_cli.config.compose import compose
from duolearn_cli.data.items import Item
from duolearn_cli.evaluation.guessing import MUCH_CUT, above_majority, by_options, by_place, cut, floor, majority
from duolearn_cli.evaluation.measures import MEASURES
from duolearn_cli.evaluation.metrics.membership import attacks
from duolearn_cli.evaluation.summary import Levels, summarise
from duolearn_cli.evaluation.warnings import Context, flagged, flags
from tests.evaluation.test_summary import answers

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


def raised(target, after, context=None, **models):
    return flags({"target": target, "unlearned": after, **models}, 0.25, None, context)


def test_a_part_below_chance_is_flagged_although_the_mean_is_fine():
    """In the letter form a model may remember the letter, which is wrong once the options are in another order."""
    target = entry((0.99, 0.97), (0.93, 0.02))
    (flag,) = raised(target, entry(retain=(1.0, 0.034)), Context("orders"))
    assert "KPR averages the two" in flag.sentence and "options in another order" in flag.sentence
    assert "unlearned 100.0 % and 3.4 %, below chance (25 %)" in flag.sentence and "phrasing" not in flag.sentence
    assert {"knowledge_preservation", "retain_heldout"} <= set(flag.measures)


def test_parts_that_differ_beyond_their_intervals_are_flagged():
    (flag,) = raised(TARGET, entry(forget=(0.6, 0.4)))
    assert "FR and chance-corrected forgetting average the two" in flag.sentence and "target" not in flag.sentence
    assert "unlearned 60.0 % and 40.0 %" in flag.sentence and "forgetting_rate" in flag.measures
    assert raised(TARGET, entry(forget=(0.32, 0.3))) == []


def test_both_parts_below_chance_agree():
    assert not any("average" in flag.sentence for flag in raised(TARGET, entry(forget=(0.1, 0.1))))


def test_few_items_or_a_missing_part_raise_no_warning():
    few = entry(retain=(1.0, 0.0))
    few["splits"]["retain_heldout"]["accuracy"]["n"] = 29
    assert raised(TARGET, few) == []
    del few["splits"]["retain_heldout"]
    assert raised(TARGET, few) == []


@pytest.mark.parametrize(
    ("context", "fix"),
    [(Context("orders"), "prompt.form=cloze"), (Context("phrasings"), "dataset.fields.fact")],
)
def test_a_target_that_learned_by_heart_is_not_told_to_learn_longer(context, fix):
    every = flags({"target": entry((1.0, 0.03))}, 0.25, None, context)
    (flag,) = [flag for flag in every if "chance_corrected_forgetting" in flag.measures]
    assert "Learn longer" not in flag.sentence and "by heart" in flag.sentence and "100.0 %" in flag.sentence
    assert "would not help" in flag.sentence and fix in flag.sentence


def test_a_target_that_hardly_knows_is_told_to_learn_longer():
    (flag,) = flags({"target": entry((0.5, 0.4))}, 0.25)
    assert "Learn longer." in flag.sentence and "45.0 % [43.0, 47.0], and 25.0 % need" in flag.sentence


def test_the_fixes_for_a_target_that_learned_by_heart_are_valid_settings():
    config = compose("unlearn", ["+forget=surgery", "dataset=local", "prompt.form=cloze", "dataset.fields.fact=fact"])
    assert config.prompt.form == "cloze" and config.dataset.fields.fact == "fact"


def recalls(kpr, share, recall, n=200):
    return {
        "knowledge_preservation": estimate(kpr, n=n),
        "retain_recall_share": estimate(share, n=n),
        "retain_recall": estimate(recall, n=n),
    }


def test_ranking_without_recall_is_flagged():
    target = entry((0.99, 0.97), (0.99, 0.97), retain_recall=estimate(0.78))
    gold = entry((0.25, 0.25), (0.99, 0.97), retain_recall=estimate(0.779))
    (flag,) = raised(target, entry(**recalls(0.988, 0.038, 0.03)), gold=gold)
    assert "Ranking and recall disagree" in flag.sentence and "gold 77.9 %" in flag.sentence
    assert "KPR, which ranks the options, is 98.8 %" in flag.sentence and "recalls only 3.8 %" in flag.sentence
    assert "(recall 3.0 %" in flag.sentence
    assert {"knowledge_preservation", "retain_recall_share", "retain_recall"} == set(flag.measures)


@pytest.mark.parametrize("scores", [recalls(0.99, 0.93, 0.7), recalls(0.99, 0.0, 0.0, n=20), recalls(0.92, 0.88, 0.4)])
def test_a_small_gap_few_items_and_equal_losses_are_not_flagged(scores):
    target = entry((0.99, 0.97), (0.99, 0.97), retain_recall=estimate(0.78))
    assert raised(target, entry(**scores)) == []


def test_a_recall_of_zero_without_an_interval_is_flagged():
    scores = recalls(0.99, 0.0, 0.0)
    scores["retain_recall_share"] |= {"low": None, "high": None}
    target = entry((0.99, 0.97), (0.99, 0.97), retain_recall=estimate(0.5))
    assert len(raised(target, entry(**scores))) == 1


def test_invalid_answers_are_flagged_by_side():
    """Gold answers most forget items with none of the options: that is no fault, and tells nothing of retain items."""
    target = entry((0.99, 0.97), (0.99, 0.97), forget_invalid_rate=estimate(0.0), retain_invalid_rate=estimate(0.01))
    gold = entry(forget_invalid_rate=estimate(0.8), retain_invalid_rate=estimate(0.01))
    fine = entry(forget_invalid_rate=estimate(0.85), retain_invalid_rate=estimate(0.02))
    assert raised(target, fine, gold=gold) == []
    (flag,) = raised(target, entry(forget_invalid_rate=estimate(0.85), retain_invalid_rate=estimate(0.5)), gold=gold)
    assert flag.measures == ("retain_invalid_rate",) and "retain items 50.0 %" in flag.sentence
    (flag,) = raised(target, fine)
    assert flag.measures == ("forget_invalid_rate",) and "target has 0.0 %" in flag.sentence


def test_an_attack_marks_its_own_row():
    seen = {"auc": estimate(0.2, 0.1)}
    (flag,) = raised(TARGET, entry() | {"membership": {"min_k": seen, "loss": {"auc": estimate(0.5, 0.1)}}})
    assert flag.measures == ("mia_min_k",)
    # By chance, one of four attacks is below 0.5 more often than a single one: the wider interval decides.
    unsure = seen | {"auc_together": estimate(0.2, 0.31)}
    assert raised(TARGET, entry() | {"membership": {"min_k": unsure}}) == []
    check = {"usable": False, "model": "gold", "attacks": {"zlib": {"seen": True}, "loss": {"seen": False}}}
    assert "mia_zlib" in flagged(flags({}, 0.25, check))


def test_every_mark_has_a_row():
    """Every measure that a warning names as text is a row of a table; the others are taken from their rows."""
    import inspect
    import re

    from duolearn_cli.evaluation import warnings as module

    named = set(re.findall(r'\("(\w+)", [A-Z_]+\.key\)', inspect.getsource(module)))
    assert "retain_entropy" in named and named <= {*MEASURES, "forget", "retain"}
    for side in ("forget", "retain"):
        assert {f"{side}_{key}" for key in ("invalid_rate", "position_bias", "degenerate", "heldout")} <= set(MEASURES)


def test_recall_and_invalid_answers_by_side():
    from dataclasses import replace

    def model(forget, retain):
        by_split = {"forget_train": answers(forget, "f"), "retain_train": answers(retain, "r")}
        return {
            name: [replace(row, recalled=bool(k % 2), valid=name[0] == "r") for k, row in enumerate(rows)]
            for name, rows in by_split.items()
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


def test_the_most_common_answer_by_text_or_by_position():
    """As in PubMedQA, 55 % of the answers are yes; then most answers are at one position, each with its own text."""
    rows = [item(k, 0 if k < 55 else 1 + k % 2) for k in range(100)]
    common = majority({"forget_train": rows, "retain_unseen": rows})
    assert set(common) == {"forget"} and common["forget"]["answer"] == '"yes"' and common["forget"]["above_chance"]
    assert (
        common["forget"]["value"] == pytest.approx(0.55) and common["forget"]["low"] < 0.55 < common["forget"]["high"]
    )
    placed = [item(k, 2 if k < 60 else k % 2, (f"a{k}", f"b{k}", f"c{k}")) for k in range(100)]
    assert majority({"retain_train": placed})["retain"]["answer"] == "option 3"
    even = [item(k, k % 3, (f"a{k}", f"b{k}", f"c{k}")) for k in range(99)]
    assert not majority({"forget_train": even})["forget"]["above_chance"]


def test_forgetting_is_measured_from_the_majority_rate_too():
    from dataclasses import replace

    def of(hits):
        return {"forget_train": [replace(row, scores=row.scores[:3]) for row in answers(hits, "f")]}

    # All answers are right before. After, the model answers "yes" to everything, which is right for 55 %.
    models = {"target": of([1] * 100), "unlearned": of([1] * 55 + [0] * 45)}
    scores = summarise(models, set(), NO_LEVELS)["unlearned"]["scores"]
    assert scores["chance_corrected_forgetting"]["value"] == pytest.approx(0.45 / (1 - 1 / 3))
    estimate_of_majority = above_majority(models, 0.55)["unlearned"]
    assert estimate_of_majority["value"] == pytest.approx(1)
    common = {"forget": estimate(0.55) | {"answer": '"yes"', "above_chance": True}}
    (flag,) = flags({"target": TARGET}, 1 / 3, None, Context(majority=common))
    assert '"yes", is right for 55.0 %' in flag.sentence and "chance is 33 %" in flag.sentence
    assert "forgetting_above_majority" in flag.measures
    assert above_majority({"base": of([1])}, 0.55) == {}


def test_attacks_that_are_always_wrong_are_flagged_if_there_are_enough_facts():
    """An AUC of 0: a warning for forty pairs, none for fifteen and for three."""
    for pairs, measures in ((40, {"mia_auc", "mia_score", "mia_min_k"}), (15, set()), (3, set())):
        sides = ([0.0] * pairs, [1.0] * pairs)
        by_attack, _ = attacks({"loss": sides, "min_k": sides})
        plain = {name: {key: one.as_dict() for key, one in own.items()} for name, own in by_attack.items()}
        every = raised(TARGET, entry(mia_auc=plain["loss"]["auc"]) | {"membership": plain})
        assert set(flagged(every)) == measures


def test_a_check_without_power_raises_no_warning():
    check = {"usable": None, "model": "gold", "attacks": {"loss": {"seen": False}}}
    assert flags({}, 0.25, check) == []


def test_each_shortfall_is_flagged_with_its_interval():
    """AUC 0.95, CCF 0.13 and KPR 0.30 once raised no warning, and a run without a warning looks clean."""
    after = entry(
        chance_corrected_forgetting=estimate(0.13),
        knowledge_preservation=estimate(0.3),
        mia_auc=estimate(0.95),
    )
    gold = {"scores": {"mia_auc": estimate(0.49)}}
    sentences = " ".join(flag.sentence for flag in raised(TARGET, after, gold=gold))
    assert "Too little is forgotten: 13.0 % [11.0, 15.0]" in sentences
    assert "Too much is lost: 30.0 % [28.0, 32.0]" in sentences
    assert "AUC is 0.95, above 0.5" in sentences and "gold's is 0.49" in sentences


def test_a_value_that_may_be_sufficient_is_no_shortfall():
    fine = {"chance_corrected_forgetting": estimate(0.85, 0.1), "knowledge_preservation": estimate(0.85, 0.1)}
    assert raised(TARGET, entry(**fine, mia_auc=estimate(0.55, 0.1))) == []
    few = {"chance_corrected_forgetting": estimate(0.1, n=29), "knowledge_preservation": estimate(0.1, n=29)}
    assert raised(TARGET, entry(**few)) == []
    unbounded = {"value": 0.1, "low": None, "high": None, "n": 200, "unbounded": True}
    assert raised(TARGET, entry(chance_corrected_forgetting=unbounded)) == []


def test_a_target_that_knew_little_of_two_options():
    """With an accuracy of 0.62 and chance 0.5 it knows a quarter of what there is to know."""
    target = entry((0.62, 0.62))
    assert any("hardly knows" in flag.sentence for flag in flags({"target": target}, 0.5))
    assert not any("hardly knows" in flag.sentence for flag in flags({"target": target}, 0.2))


def test_a_position_chosen_in_79_percent_is_flagged():
    own = {
        "entropy": estimate(0.3),
        "positions": [0.07, 0.79, 0.07, 0.07],
        "right_positions": [0.25] * 4,
        "favourite_place": estimate(0.54, 0.1),
    }
    after = entry() | {"calibration": {"forget": own}}
    (flag,) = raised(TARGET, after)
    assert "Option 2 is the answer to 79 % of the forget items (it is right in 25 %)" in flag.sentence
    own["favourite_place"] = estimate(0.15, 0.1)
    assert raised(TARGET, after) == []


def test_below_chance_is_avoidance_only_if_gold_is_at_chance():
    """Gold, which knows the rest of the table, answers 15 % as well: that is no avoidance."""
    after = entry((0.15, 0.15), chance_corrected_forgetting=estimate(1.0, 0.05))
    by_gold = Context(floor={"source": "gold", "rate": 0.16, "cut": 0.5})
    assert any("avoided" in flag.sentence for flag in raised(TARGET, after))
    gold = entry((0.16, 0.16))
    sentences = [flag.sentence for flag in raised(TARGET, after, by_gold, gold=gold)]
    assert not any("right answers are avoided" in one for one in sentences)
    assert any("Chance on forget items is not 1 / number of options" in one and "50 %" in one for one in sentences)
    less = entry((0.02, 0.02), chance_corrected_forgetting=estimate(1.17, 0.05))
    assert any("below that of gold" in flag.sentence for flag in raised(TARGET, less, by_gold, gold=gold))


def of_model(hits):
    return {"forget_train": answers(hits, "f"), "retain_train": answers([1] * 4, "r")}


def test_forgetting_is_measured_from_gold_if_gold_is_not_at_chance():
    items = {"forget_train": [item(k, 0) for k in range(80)]}
    models = {"target": of_model([1] * 80), "gold": of_model([1] * 4 + [0] * 76), "unlearned": of_model([0] * 80)}
    by_gold = floor(models, cut(items))
    assert (by_gold.source, by_gold.rate) == ("gold", 0.05)
    scores = {name: one["scores"] for name, one in summarise(models, set(), NO_LEVELS, by_gold.of_item).items()}
    assert scores["gold"]["chance_corrected_forgetting"]["value"] == pytest.approx(1)
    assert scores["unlearned"]["chance_corrected_forgetting"]["value"] == pytest.approx(80 / 76)
    at_chance = models | {"gold": of_model([1] * 20 + [0] * 60)}
    assert floor(at_chance, cut(items)).source == "options" and floor(at_chance, cut(items)).of_item == {}
    assert floor({"target": models["target"]}, cut(items)).source == "options"


def test_a_target_that_cuts_through_a_table_is_measured_from_gold():
    """Its wrong options are the right answers of retained items."""
    table = [f"drug {k}" for k in range(40)]

    def row(k, name):
        return Item(f"{name}{k}", "?", (table[k], table[(k + 1) % 40], table[(k + 2) % 40]), 0)

    items = {
        "forget_train": [row(k, "f") for k in range(0, 40, 2)],
        "retain_train": [row(k, "r") for k in range(1, 40, 2)],
    }
    assert cut(items) == 1.0 > MUCH_CUT
    models = {name: of_model([1] * 10 + [0] * 30) for name in ("target", "gold")}
    assert floor(models, cut(items)).source == "gold"
    assert cut({"forget_train": items["forget_train"]}) == 0.0


def test_options_that_give_answers_away_are_flagged():
    """First the right option is the longest; then all are alike."""
    longest = [item(k, k % 3, tuple("x" * (9 if j == k % 3 else 3) + str(k) for j in range(3))) for k in range(120)]
    given_away = by_options({"forget_train": longest})["forget"]
    assert given_away["above_chance"] and given_away["value"] > 0.9 and given_away["facts"] == 120
    alike = [item(k, (k * 7 // 3) % 3, tuple(f"{k}{j}x" for j in "abc")) for k in range(120)]
    assert not by_options({"forget_train": alike})["forget"]["above_chance"]
    (flag,) = flags({}, 1 / 3, None, Context(by_options={"forget": given_away}))
    assert "never sees the question" in flag.sentence and flag.measures == ("chance_corrected_forgetting",)


def test_positions_that_give_answers_away_are_flagged():
    """Two trained and two held-out phrasings over four positions: the held-out position is one of two."""
    from duolearn_cli.data.readers.minimed import Minimed

    rows = Minimed().load().items[:400]
    items = {
        name: [r for r in rows if r.heldout == heldout]
        for name, heldout in (("forget_train", 0), ("forget_heldout", 1))
    }
    given_away = by_place(items)["forget"]
    assert given_away["value"] == pytest.approx(0.5) and given_away["above_chance"]
    (flag,) = flags({}, 0.25, None, Context(by_place={"forget": given_away}))
    assert "50.0 %" in flag.sentence and flag.measures == ("forget_heldout",)
    anywhere = [item(k, k % 4, ("a", "b", "c", "d"), fact=f"f{k}") for k in range(200)]
    heldout = [item(k, k * 7 % 16 // 4, ("a", "b", "c", "d"), fact=f"f{k}") for k in range(200)]
    assert not by_place({"forget_train": anywhere, "forget_heldout": heldout})["forget"]["above_chance"]


def few(one, facts):
    """The estimate over `facts` facts, with more than enough items."""
    return one | {"n": 200, "facts": facts}


@pytest.mark.parametrize("facts", [8, 29, 30])
def test_no_warning_is_based_on_the_interval_of_few_facts(facts):
    """Every warning that goes by an interval, at 30 facts and below."""
    area, never = few(estimate(0.2), facts), {"source": "gold", "rate": 0.25, "cut": 0.0}
    avoided = {"scores": {"forget_accuracy": few(estimate(0.05), facts)}}
    beyond = {"scores": avoided["scores"] | {"chance_corrected_forgetting": few(estimate(1.3), facts)}}
    unlikely = {"scores": {"mia_auc": area}, "membership": {"zlib": {"auc": area}}}
    likely = {"scores": {"mia_auc": few(estimate(0.8), facts)}}
    given_away = {"forget": few(estimate(0.6), facts) | {"above_chance": True, "answer": "yes"}}
    every = [
        flags({"unlearned": avoided}, 0.25),
        flags({"unlearned": beyond}, 0.25, None, Context(floor=never)),
        flags({"unlearned": unlikely}, 0.25),
        flags({"unlearned": likely}, 0.25),
        flags({"target": {"scores": {"forget_accuracy": few(estimate(0.4), facts)}}}, 0.25),
        *(flags({}, 0.25, None, Context(**{key: given_away})) for key in ("majority", "by_options", "by_place")),
    ]
    assert [len(one) for one in every] == ([1, 1, 2, 1, 1, 1, 1, 1] if facts == 30 else [0] * 8)


def test_a_rare_wrong_option_is_not_given_as_a_reason():
    """A share that would be shown as 0 % does not explain gold's answers."""
    gold = {"scores": {"forget_accuracy": estimate(0.15)}}
    for share, is_given in ((0.004, False), (0.006, True)):
        (flag,) = flags({"gold": gold}, 0.25, None, Context(floor={"source": "gold", "rate": 0.15, "cut": share}))
        assert ("of them have a wrong option" in flag.sentence) is is_given and "0 % of them" not in flag.sentence
