"""Every attack through the code that runs it: it leaves no trace, asks nothing that it taught, and draws no luck."""

import random
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from duolearn_cli.audits.robustness import prompts, relearning
from duolearn_cli.audits.robustness.attack import Attack, Skipped, scorer
from duolearn_cli.audits.robustness.audit import Planned, or_skipped
from duolearn_cli.audits.robustness.material import Material
from duolearn_cli.audits.robustness.restoring import kept
from duolearn_cli.audits.robustness.wording import FRAMES
from duolearn_cli.data.items import Item
from duolearn_cli.data.option_references import if_renamed
from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.perplexity import bits_per_byte, perplexity, plain_texts
from tests.audits.robustness.stand_in import everything, laboratory

QUICK = {"relearn_epochs": 1, "max_items": 24, "shuffles": 2, "shots": 2}


def planned(lab, **values):
    OmegaConf.update(lab.study.config, "audit.robustness", QUICK | values)
    return Planned.of(lab.study, lab.model.tokenizer)


def tried(lab, attack, material):
    return list(attack.rows(lab, material))


@pytest.mark.parametrize("form", ["cloze", "letter"])
def test_every_attack_puts_the_model_back_bit_for_bit(fresh, study, form):
    lab = laboratory(fresh, study, form)
    plan = planned(lab)
    before, luck = everything(fresh), (random.getstate(), torch.get_rng_state(), np.random.get_state()[1].copy())
    plain = scorer(lab)(plan.material.forget)
    assert {attack.name for attack in plan.attacks} == {"relearn", "quantise", "prompts", "probe"}
    for attack in plan.attacks:
        rows = tried(lab, attack, plan.material)
        assert {row["side"] for row in rows} == {"forget", "retain"}
        after = everything(fresh)
        assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
        assert not fresh.network.training and all(parameter.grad is None for parameter in fresh.adapter)
    assert scorer(lab)(plan.material.forget) == plain
    now = (random.getstate(), torch.get_rng_state(), np.random.get_state()[1])
    assert now[0] == luck[0] and torch.equal(now[1], luck[1]) and (now[2] == luck[2]).all()


def test_an_attack_is_reproducible(fresh, study):
    lab = laboratory(fresh, study)
    plan = planned(lab, attacks=["relearn", "probe"])
    for attack in plan.attacks:
        assert tried(lab, attack, plan.material) == tried(lab, attack, plan.material)


def test_relearning_teaches(fresh, study):
    """What was taught is known better; it is marked as used, and so is the control of every lesson."""
    lab = laboratory(fresh, study)
    plan = planned(lab, attacks=["relearn"], relearn_epochs=10, relearn_shares=[0.5], relearn_learning_rate=1e-2)
    attack, control, _ = plan.attacks
    assert (attack.details["material"], control.details["material"]) == ("forget", "retain")
    assert attack.used == control.used and attack.models == ("gold", "unlearned")
    assert attack.details["examples"] == control.details["examples"]
    plain = {row["id"]: row["nll"] for row in tried(lab, Attack("none", "none", plain_during), plan.material)}
    for one, side in ((attack, "forget"), (control, "retain")):
        rows = [row for row in tried(lab, one, plan.material) if row["side"] == side and not row["heldout"]]
        used = [row["nll"] - plain[row["id"]] for row in rows if row["used"]]
        assert len(used) >= 2 and sum(used) / len(used) < -0.2
        assert any(not row["used"] for row in rows)


def test_plain_text_is_a_control_too(fresh, study):
    """It is learned, in as many texts as the largest lesson has, and the same items are asked."""
    lab = laboratory(fresh, study)
    plan = planned(lab, attacks=["relearn"], relearn_epochs=3, relearn_shares=[0.2, 0.5], relearn_learning_rate=1e-3)
    *lessons, plain = plan.attacks
    assert plain.details["material"] == "plain" and plain.used == lessons[0].used
    assert plain.details["examples"] == max(lesson.details["examples"] for lesson in lessons)
    assert plain.variant == f"{plain.details['examples']} plain texts"

    def bits():
        size = study.config.prompt.max_tokens
        return bits_per_byte(perplexity(lab.model, lab.model.tokenizer, plain_texts(), 4096, size))

    before = bits()
    with plain.during(lab):
        assert bits() < before - 0.03
    assert bits() == before


def plain_during(lab):
    return nullcontext(scorer(lab))


def test_a_diverging_lesson_names_its_own_setting(fresh, study):
    lab = laboratory(fresh, study)
    plan = planned(lab, attacks=["relearn"], relearn_learning_rate=1e30, relearn_epochs=9)
    before = everything(fresh)
    with pytest.raises(RunError, match=r"lower audit\.robustness\.relearn_learning_rate=1e\+30"):
        tried(lab, plan.attacks[0], plan.material)
    assert all(torch.equal(value, before[name]) for name, value in everything(fresh).items())


def test_fine_tuning_is_the_runs_own(study):
    config = OmegaConf.merge(study.config, {"seed": 7, "learn": {"batch_size": 3, "warmup": 0.5}})
    found = relearning.learn_settings(config)
    assert (found.seed, found.epochs, found.batch_size, found.warmup) == (7, 5, 3, 0.5)
    assert found.learning_rate == config.learn.learning_rate


def test_what_makes_no_sense_is_said(fresh, study):
    cloze, letter = (planned(laboratory(fresh, study, form), attacks=["prompts"]) for form in ("cloze", "letter"))
    assert [(one.variant, "cloze" in one.reason) for one in cloze.skipped] == [("other orders", True)]
    assert letter.skipped == ()
    variants = [{attack.variant for attack in plan.attacks} for plan in (cloze, letter)]
    assert variants[0] ^ variants[1] == {"letter form", "cloze form", "2 other orders"}
    assert {f"frame: {name}" for name in FRAMES} < variants[0]
    assert {"letters W to Z", "digits", "held-out phrasings", "role", "2 shots"} < variants[0]


def test_options_that_speak_of_each_other_are_asked_only_where_they_can_be(fresh, study):
    plan = {form: planned(laboratory(fresh, study, form), attacks=["prompts", "probe"]) for form in ("cloze", "letter")}
    by_variant = {attack.variant: attack for one in plan.values() for attack in one.attacks}
    letters, others = (Item("i", "q", ("w", "x", "y", last), 0) for last in ("Both A and B", "None of the above"))
    plain = Item("i", "q", ("w", "x", "y", "z"), 0)
    asked = {
        variant: [len(by_variant[variant].vary(item)) for item in (plain, others, letters)]
        for variant in ("2 other orders", "digits", "letters W to Z", "cloze form", "letter form", "linear", "role")
    }
    assert asked == {
        "2 other orders": [2, 2, 0],
        "digits": [1, 1, 0],
        "letters W to Z": [1, 1, 0],
        "cloze form": [1, 0, 0],
        "letter form": [1, 1, 1],
        "linear": [1, 0, 0],
        "role": [1, 1, 1],
    }


def test_an_attack_that_can_ask_nothing_of_a_side_is_skipped():
    bound = Item("i", "q", ("w", "x", "Both A and B"), 0)
    attack = Attack("prompts", "digits", lambda lab: None, vary=if_renamed)
    skipped = or_skipped(attack, Material((bound,), (bound,)))
    assert isinstance(skipped, Skipped) and "all forget items speak of each other" in skipped.reason


def test_copies_in_another_order_are_not_called_phrasings():
    item = Item("a", "Question?", ("x", "y"), 0, heldout=True)
    copy = replace(item, id="a~shuffled")
    found = [prompts._heldout(Material((one,), ())).variant for one in (item, copy)]
    assert found == ["held-out phrasings", "options in another order"]


def test_orders_ask_an_item_several_times_and_shots_are_not_asked(fresh, study):
    lab = laboratory(fresh, study, "letter")
    plan = planned(lab, attacks=["prompts"])
    by_variant = {attack.variant: attack for attack in plan.attacks}
    orders = tried(lab, by_variant["2 other orders"], plan.material)
    assert [row["repeat"] for row in orders] == [0, 1] * (len(orders) // 2)
    shots = by_variant["2 shots"]
    assert len(shots.used) == 2 and not shots.used & {item.fact_id for item in study.splits.forget_train}


def test_an_adapter_is_kept_through_an_error(fresh):
    before = everything(fresh)
    with pytest.raises(KeyError), kept(fresh):
        fresh.adapter[0].data.fill_(3)
        fresh.network.train()
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in everything(fresh).items())
    assert not fresh.network.training
