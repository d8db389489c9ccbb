"""What a run would spend is known, and refused, before any model is loaded."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import replace

import pytest

from duolearn_cli.config.compose import compose
from duolearn_cli.data.items import Item
from duolearn_cli.data.request import Doubt
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.pipeline import private_starts
from duolearn_cli.pipeline.planning.plan import spending
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.privacy_plan import check_resumed, group, plan_learning, plan_unlearning, shared_by_units
from duolearn_cli.privacy.account import read_account
from duolearn_cli.privacy.accounting import epsilon
from tests.conftest import SMALL


@functools.cache
def study_of(*overrides):
    return prepare(compose("unlearn", ["+forget=surgery", *SMALL, *overrides]))


def with_request(study, **changes):
    return replace(study, request=replace(study.request, **changes))


@pytest.mark.parametrize("epsilon", [1, 4, 8])
@pytest.mark.parametrize("protect", ["both", "retain", "forget"])
def test_each_protected_set_spends_the_asked_epsilon(epsilon, protect):
    study = study_of(f"privacy=eps{epsilon}", f"privacy.protect={protect}")
    account = plan_unlearning(study).planned()
    entry = account.last
    sizes = {name: len({item.fact_id for item in getattr(study.request, name)}) for name in ("retain", "forget")}
    assert account.budget == epsilon
    for name, size in sizes.items():
        if protect not in ("both", name):
            assert name in entry.unprotected and account.epsilon(name) == float("inf")
            continue
        assert 0.99 * epsilon < account.epsilon(name) <= epsilon
        assert entry.num_units[name] == size
        assert entry.spendings[name].rate == pytest.approx(min(1.0, 8 / size))
    assert account.delta == 1 / (10 * max(entry.num_units.values()))


def test_without_privacy_there_is_no_account():
    assert plan_unlearning(study_of()) is None
    assert plan_learning(study_of()) is None


def test_batches_may_be_larger_and_shuffled():
    study = study_of("privacy=eps4", "privacy.batch_size=12", "privacy.sampling=shuffled", "unlearn.epochs=3")
    entry, size = plan_unlearning(study).last, len({item.fact_id for item in study.request.forget})
    steps = -(-size // 12)
    assert entry.spendings["forget"].rate == 1 / steps and entry.spendings["forget"].steps == 3 * steps


@pytest.mark.parametrize("unit", ["fact", "patient"])
def test_units_hold_all_that_is_of_them_and_no_more_than_allowed(unit):
    study = study_of("privacy=eps4", f"privacy.unit={unit}", "privacy.max_examples=2")
    items = [replace(item, patient=f"p{i % 3}") for i, item in enumerate(study.request.retain)]
    found = group(items, study.config)
    expected = {item.fact_id for item in items} if unit == "fact" else {"p0", "p1", "p2"}
    assert set(found) == expected
    for name, own in found.items():
        assert 1 <= len(own) <= 2
        assert all((items[i].fact_id if unit == "fact" else items[i].patient) == name for i in own)
    # Which of a unit's items are used depends on no other unit.
    fewer = group([item for item in items if item.patient != "p0"], study.config)
    if unit == "patient":
        kept = [item for item in items if item.patient != "p0"]
        assert [kept[i].id for i in fewer["p1"]] == [items[i].id for i in found["p1"]]


def test_facts_are_the_unit_unless_others_are_asked_for():
    study = study_of("privacy=eps4")
    account = plan_unlearning(study)
    assert account.unit == "fact" and account.shared_kinds == []
    facts = {name: len({item.fact_id for item in getattr(study.request, name)}) for name in ("retain", "forget")}
    assert account.last.num_units == facts


def test_items_that_share_a_fact_or_a_patient_are_told():
    study = study_of("privacy=eps4", "privacy.unit=example")
    account = plan_unlearning(study).planned()
    assert account.last.together == {"fact": [{"retain": 0, "forget": 2}, {"retain": 2, "forget": 0}]}
    assert account.epsilon_of("fact") > 2 * 4
    said = dict(spending(account))["privacy of a fact"]
    assert said.startswith(
        f"epsilon {account.epsilon_of('fact'):.3g} for its units together; privacy.unit=fact promises"
    )
    # Of a set that is not protected nothing is promised, shared or not.
    retain = study_of("privacy=eps4", "privacy.unit=example", "privacy.protect=retain")
    assert plan_unlearning(retain).last.together == {"fact": [{"retain": 2, "forget": 0}]}


def of(name, fact="", patient=None):
    return Item(name, "?", ("yes", "no"), 0, fact=fact, patient=patient)


@pytest.mark.parametrize(
    ("unit", "retain", "forget", "found"),
    [
        ("example", [of("1"), of("2")], [of("3")], {}),
        ("example", [of("1", "a"), of("2", "a"), of("3", "b")], [], {"fact": [{"retain": 2, "forget": 0}]}),
        (
            "example",
            [of("1", patient="p"), of("2", patient="p"), of("3", patient="q")],
            [of("4", patient="q"), of("5")],
            {"patient": [{"retain": 1, "forget": 1}, {"retain": 2, "forget": 0}]},
        ),
        # A patient with one item in each set is within one that has more in both.
        (
            "example",
            [of("1", patient="p"), of("2", patient="p"), of("3", patient="q")],
            [of("4", patient="p"), of("5", patient="q")],
            {"patient": [{"retain": 2, "forget": 1}]},
        ),
        ("fact", [of("1", "a"), of("2", "a")], [], {}),
        (
            "fact",
            [of("1", "a", "p"), of("2", "a", "p"), of("3", "b", "p")],
            [],
            {"patient": [{"retain": 2, "forget": 0}]},
        ),
        # A fact of two patients cannot be taken for one patient's.
        ("fact", [of("1", "a", "p"), of("2", "a", "q"), of("3", "b", "p")], [], {"patient": None}),
        ("patient", [of("1", "a", "p"), of("2", "b", "p")], [of("3", "c", "q")], {}),
        ("patient", [of("1", "a", "p"), of("2", "a", "q")], [], {"fact": [{"retain": 2, "forget": 0}]}),
    ],
)
def test_the_largest_groups_of_units_are_found(unit, retain, forget, found):
    config = study_of("privacy=eps4", f"privacy.unit={unit}").config
    assert shared_by_units({"retain": retain, "forget": forget}, config) == found


def test_many_sizes_of_groups_become_the_largest():
    """Patients with 1 to 6 items in one set and 6 to 1 in the other."""
    pairs = [(own, 7 - own) for own in range(1, 7)]
    retain = [of(f"r{k}-{i}", patient=f"p{k}") for k, (count, _) in enumerate(pairs) for i in range(count)]
    forget = [of(f"f{k}-{i}", patient=f"p{k}") for k, (_, count) in enumerate(pairs) for i in range(count)]
    config = study_of("privacy=eps4", "privacy.unit=example").config
    found = shared_by_units({"retain": retain, "forget": forget}, config)
    assert found == {"patient": [{"retain": 6, "forget": 6}]}


def test_patients_need_names():
    with pytest.raises(ConfigError, match=r"privacy\.unit=patient: item .* names no patient.*dataset\.fields\.patient"):
        plan_unlearning(study_of("privacy=eps4", "privacy.unit=patient"))


def test_a_patient_in_both_sets_pays_for_both():
    study = study_of("privacy=eps4", "privacy.unit=patient")
    forget, retain = (
        tuple(replace(item, patient=f"{side}{i}") for i, item in enumerate(items))
        for side, items in (("f", study.request.forget), ("r", study.request.retain))
    )
    apart = plan_unlearning(with_request(study, forget=forget, retain=retain))
    mixed = with_request(study, forget=(replace(forget[0], patient="r0"), *forget[1:]), retain=retain)
    shared = plan_unlearning(mixed)
    assert not apart.last.shared and shared.last.shared
    assert shared.last.spendings["retain"].noise_multiplier > apart.last.spendings["retain"].noise_multiplier
    assert 3.9 < shared.planned().worst() <= 4
    one_sided = study_of("privacy=eps4", "privacy.unit=patient", "privacy.protect=retain")
    with pytest.raises(ConfigError, match=r"1 units \(patient\) have items in both sets.*privacy\.protect=both"):
        plan_unlearning(with_request(one_sided, forget=mixed.request.forget, retain=retain))


def test_a_delta_that_gives_a_record_away_is_refused():
    with pytest.raises(ConfigError, match=r"privacy\.delta=0\.5: with .* revealed completely"):
        plan_unlearning(study_of("privacy=eps4", "privacy.delta=0.5"))


def begun(tmp_path, *overrides):
    """An adapter folder with the account of a finished run."""
    plan_unlearning(study_of(*overrides)).planned().write(tmp_path)
    return f"adapter={tmp_path}"


def test_a_second_request_is_paid_from_the_same_budget(tmp_path):
    given = begun(tmp_path, "privacy=eps4", "privacy.budget=8")
    account = plan_unlearning(study_of("privacy=custom", "privacy.epsilon=3", given))
    assert len(account.entries) == 2 and account.budget == 8
    total = account.planned().worst()
    assert 4 < total < 7
    assert account.planned().epsilon("retain", alone=True) <= 3
    assert account.delta == read_account(tmp_path).delta


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["privacy=eps8"], r"together with the 1 earlier stages .* epsilon would be .*, and the budget is 4"),
        (["privacy=none"], r"a run without privacy would leave nothing of it"),
        (
            ["privacy=custom", "privacy.epsilon=0.1", "privacy.protect=retain"],
            r"an earlier stage .* allowed here: both",
        ),
        (["privacy=custom", "privacy.epsilon=0.1", "privacy.unit=example"], r"uses unit fact"),
        (["privacy=custom", "privacy.epsilon=0.1", "privacy.delta=1e-9"], r"uses delta"),
        (["privacy=custom", "privacy.epsilon=0.1", "privacy.budget=9"], r"cannot grow"),
    ],
)
def test_what_would_exceed_or_void_the_budget_is_refused(tmp_path, overrides, said):
    given = begun(tmp_path, "privacy=eps4")
    with pytest.raises(ConfigError, match=said):
        plan_unlearning(study_of(*overrides, given))


def test_private_learning_is_paid_from_the_budget_too():
    study = study_of("privacy=eps4", "privacy.learn_epsilon=2")
    account = plan_unlearning(study)
    assert [entry.stage for entry in account.entries] == ["learn", "unlearn"] and account.budget == 6
    learned = plan_learning(study)
    assert 1.98 < learned.worst() <= 2 and learned.last.begun == learned.num_steps
    assert max(learned.worst(), 4) < account.planned().worst() <= 6
    with pytest.raises(ConfigError, match="a run without privacy"):
        plan_unlearning(study_of("privacy=none", "privacy.learn_epsilon=2"))


def test_subjects_that_other_records_teach_are_refused():
    study = study_of("privacy=eps4")
    for outcome in ("filled", "undecided"):
        doubt = Doubt("x", None, "Surgery", 0.9, outcome)
        with pytest.raises(ConfigError, match=r"labels\.fill=true: the subjects of 1 items \(x first\) are inferred"):
            plan_unlearning(replace(study, sides=replace(study.sides, doubts=(doubt,))))


def test_the_file_tells_the_plan(tmp_path):
    begun(tmp_path, "privacy=eps4", "privacy.protect=retain")
    said = json.loads((tmp_path / "privacy.json").read_text())
    assert said["spent"]["forget"] is None and said["entries"][0]["unprotected"] == ["forget"]


def registered(tmp_path, name, *overrides):
    """A run of this name, planned and registered beside the adapter in `tmp_path`."""
    account = plan_unlearning(study_of(*overrides, f"adapter={tmp_path}"))
    private_starts.register(tmp_path, tmp_path / "runs" / name, account)
    return account


def test_two_runs_of_one_model_share_its_budget(tmp_path):
    begun(tmp_path, "privacy=eps1", "privacy.budget=6")
    three = ["privacy=custom", "privacy.epsilon=3"]
    first = registered(tmp_path, "a", *three)
    assert first.planned().worst() < 6
    # The second one is within the budget by itself. Together they spend more than it.
    with pytest.raises(ConfigError, match=r"privacy\.epsilon=3: 1 other private run began with .* budget is 6"):
        registered(tmp_path, "b", *three)
    assert len(private_starts.siblings(tmp_path, None)) == 1
    small = registered(tmp_path, "b", "privacy=custom", "privacy.epsilon=0.5")
    together = private_starts.epsilon_together([first.planned(), small.planned()], 1)
    assert max(first.planned().worst(), small.planned().worst()) < together <= 6


def test_a_run_is_not_its_own_sibling(tmp_path):
    begun(tmp_path, "privacy=eps1", "privacy.budget=5")
    account = registered(tmp_path, "a", "privacy=custom", "privacy.epsilon=3")
    private_starts.check(tmp_path, tmp_path / "runs" / "a", account)
    private_starts.register(tmp_path, tmp_path / "runs" / "a", account)
    assert len(private_starts.siblings(tmp_path, None)) == 1


def test_what_one_model_spent_before_counts_once(tmp_path):
    begun(tmp_path, "privacy=eps4", "privacy.budget=20")
    one = registered(tmp_path, "a", "privacy=eps1").planned()
    together = private_starts.epsilon_together([one, one], 1)
    # A unit may be in either set of each run, so both spendings of both runs count.
    lasts = [spending for path in one.last.paths(one.last.begun) for spending in path] * 2
    start = one.entries[0]
    naive = [epsilon([*lasts, *path], one.delta, one.accountant) for path in start.paths(start.begun)]
    assert together == pytest.approx(max(naive))


def test_a_run_with_no_account_left_is_named(tmp_path):
    begun(tmp_path, "privacy=eps1", "privacy.budget=5")
    (tmp_path / "private_runs" / "x").mkdir(parents=True)
    with pytest.raises(RunError, match=r"x holds no privacy\.json"):
        registered(tmp_path, "a", "privacy=eps1")


def test_a_resumed_run_is_checked_against_runs_begun_meanwhile(tmp_path):
    begun(tmp_path, "privacy=eps1", "privacy.budget=5")
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    overrides = ["privacy=custom", "privacy.epsilon=3"]
    registered(tmp_path, "a", *overrides).write(run)
    config = study_of(*overrides, f"adapter={tmp_path}").config
    check_resumed(config, run)
    other = tmp_path / "private_runs" / "other"
    shutil.copytree(next(path for path in (tmp_path / "private_runs").iterdir() if path.is_dir()), other)
    with pytest.raises(ConfigError, match="1 other private run began"):
        check_resumed(config, run)


def test_raw_held_gradients_steer_no_private_run(tmp_path):
    (tmp_path / "held.safetensors").write_bytes(b"")
    study = prepare(compose("unlearn", ["+forget=surgery", *SMALL, "privacy=eps4"]))
    study.config.after = str(tmp_path)
    with pytest.raises(ConfigError, match=r"unlearn\.hold=true: .* raw gradients"):
        plan_unlearning(study)
    study.config.unlearn.hold = False
    assert plan_unlearning(study) is not None
