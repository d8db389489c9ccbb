"""Every attack as the audit runs it: it restores the model, scores nothing that it taught, and is reproducible."""

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
from duolearn_cli.audits.robustness.restoring import adapter_restored
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
def test_every_attack_restores_the_model_bit_for_bit(fresh, study, form):
    """The global random generators are left alone too."""
    lab = laboratory(fresh, study, form)
    plan = planned(lab)
    before, states = everything(fresh), (random.getstate(), torch.get_rng_state(), np.random.get_state()[1].copy())
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
    assert now[0] == states[0] and torch.equal(now[1], states[1]) and (now[2] == states[2]).all()


def test_an_attack_is_reproducible(fresh, study):
    lab = laboratory(fresh, study)
    plan = planned(lab, attacks=["relearn", "probe"])
    for attack in plan.attacks:
        assert tried(lab, attack, plan.material) == tried(lab, attack, plan.material)


def test_relearning_teaches(fresh, study):
    """Taught items become likelier and are marked as used, in lessons and in controls."""
    lab = laboratory(fresh, study)
    plan = planned(lab, attacks=["relearn"], relearn_epochs=10, relearn_shares=[0.5], relearn_learning_rate=1e-2)
    attack, control, _ = plan.attacks
    assert (attack.details["material"], control.details["material"]) == ("forget", "retain")
    assert attack.used == control.used and attack.models == ("gold", "unlearned")
    assert attack.details["examples"] == control.details["examples"]
    plain = {row["id"]: row["nll"] for row in tried(lab, Attack("none", "none", no_attack), plan.material)}
    for one, side in ((attack, "forget"), (control, "retain")):
        rows = [row for row in tried(lab, one, plan.material) if row["side"] == side and not row["heldout"]]
        used = [row["nll"] - plain[row["id"]] for row in rows if row["used"]]
        assert len(used) >= 2 and sum(used) / len(used) < -0.2
        assert any(not row["used"] for row in rows)


def test_plain_text_is_a_control_too(fresh, study):
    """As many plain texts as the largest lesson has are learned, and the same items are asked."""
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
    with plain.apply(lab):
        assert bits() < before - 0.03
    assert bits() == before


def no_attack(lab):
    return nullcontext(scorer(lab))


def test_a_diverging_lesson_names_its_own_setting(fresh, study):
    lab = laboratory(fresh, study)
    plan = planned(lab, attacks=["relearn"], relearn_learning_rate=1e30, relearn_epochs=9)
    before = everything(fresh)
    with pytest.raises(RunError, match=r"lower audit\.robustness\.relearn_learning_rate=1e\+30"):
        tried(lab, plan.attacks[0], plan.material)
    assert all(torch.equal(value, before[name]) for name, value in everything(fresh).items())


def test_relearning_fine_tunes_as_the_run_did(study):
    config = OmegaConf.merge(study.config, {"seed": 7, "learn": {"batch_size": 3, "warmup": 0.5}})
    settings = relearning.learn_settings(config)
    assert (settings.seed, settings.epochs, settings.batch_size, settings.warmup) == (7, 5, 3, 0.5)
    assert settings.learning_rate == config.learn.learning_rate


def test_attacks_that_do_not_apply_are_listed_as_skipped(fresh, study):
    cloze, letter = (planned(laboratory(fresh, study, form), attacks=["prompts"]) for form in ("cloze", "letter"))
    assert [(one.variant, "cloze" in one.reason) for one in cloze.skipped] == [("other orders", True)]
    assert letter.skipped == ()
    variants = [{attack.variant for attack in plan.attacks} for plan in (cloze, letter)]
    assert variants[0] ^ variants[1] == {"letter form", "cloze form", "2 other orders"}
    assert {f"frame: {name}" for name in FRAMES} < variants[0]
    assert {"letters W to Z", "digits", "held-out phrasings", "role", "2 shots"} < variants[0]


def test_options_that_refer_to_each_other_are_asked_only_where_that_is_possible(fresh, study):
    plan = {form: planned(laboratory(fresh, study, form), attacks=["prompts", "probe"]) for form in ("cloze", "letter")}
    by_variant = {attack.variant: attack for one in plan.values() for attack in one.attacks}
    letters, others = (Item("i", "q", ("w", "x", "y", last), 0) for last in ("Both A and B", "None of the above"))
    plain = Item("i", "q", ("w", "x", "y", "z"), 0)
    counts = {
        variant: [len(by_variant[variant].vary(item)) for item in (plain, others, letters)]
        for variant in ("2 other orders", "digits", "letters W to Z", "cloze form", "letter form", "linear", "role")
    }
    assert counts == {
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
    variants = [prompts._heldout(Material((one,), ())).variant for one in (item, copy)]
    assert variants == ["held-out phrasings", "options in another order"]


def test_orders_ask_an_item_several_times_and_shots_are_not_asked(fresh, study):
    lab = laboratory(fresh, study, "letter")
    plan = planned(lab, attacks=["prompts"])
    by_variant = {attack.variant: attack for attack in plan.attacks}
    orders = tried(lab, by_variant["2 other orders"], plan.material)
    assert [row["repeat"] for row in orders] == [0, 1] * (len(orders) // 2)
    shots = by_variant["2 shots"]
    assert len(shots.used) == 2 and not shots.used & {item.fact_id for item in study.splits.forget_train}


def test_an_adapter_is_restored_after_an_error(fresh):
    before = everything(fresh)
    with pytest.raises(KeyError), adapter_restored(fresh):
        fresh.adapter[0].data.fill_(3)
        fresh.network.train()
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in everything(fresh).items())
    assert not fresh.network.training
