"""What reports say of privacy: the promise, its terms, and what it does not cover."""

import math
from dataclasses import replace

import pytest

from duolearn_cli.privacy import account_summary
from duolearn_cli.privacy.account import Account, Entry
from duolearn_cli.privacy.accounting import Spending
from duolearn_cli.report.page import write_report
from duolearn_cli.report.privacy import not_covered, privacy_table, sentences, spending_curves, warnings
from duolearn_cli.report.tables import DASH


@pytest.fixture(autouse=True)
def short_curves(monkeypatch):
    """Each point of a curve costs the accountant a tenth of a second."""
    monkeypatch.setattr(account_summary, "NUM_POINTS", 3)


def entry(begun=40, randomness="secure", forget=2.0, shared=False):
    spendings = {"retain": Spending(1.0, 0.1, 40)} | ({"forget": Spending(forget, 0.2, 40)} if forget else {})
    unprotected = () if forget else ("forget",)
    return Entry(
        "unlearn",
        spendings,
        unprotected,
        {"retain": 300, "forget": 100},
        0.5,
        "flat",
        randomness,
        begun,
        shared,
        "target-c0ffee",
    )


def with_account(metrics, *entries, unit="example"):
    return metrics | {"privacy": "eps4", "account": account_summary.summarise(Account(unit, 1e-4, 9.0, "pld", entries))}


def with_steps(history):
    extra = {"units_retain": 30.0, "clip_rate_retain": 0.25, "signal_to_noise_retain": 0.125, "clip_rate_forget": None}
    return [line | extra if "forget_loss" in line else line for line in history]


def test_the_promise_names_unit_numbers_and_limits(metrics):
    said = " ".join(sentences(with_account(metrics, entry(), unit="fact")))
    retain, forget = (
        with_account(metrics, entry())["account"]["sets"][name]["epsilon"] for name in ("retain", "forget")
    )
    for epsilon, name in ((retain, "retain"), (forget, "forget")):
        assert f"adds at most (epsilon = {epsilon:.3g}, delta = 0.0001) about each fact, with all its items, of" in said
        assert f"of the {name} set" in said
    assert "began with target-c0ffee." in said
    assert "given the model that it began with" in said and "PLD accountant of dp-accounting" in said
    assert "never stored" in said and "No epsilon covers what" in said
    assert "had memorised: the MIA rows measure" in said
    assert "the model that the first run began with" in not_covered(with_account(metrics, entry()))
    assert "certified" not in said and not warnings(with_account(metrics, entry()))


def test_an_unprotected_set_is_infinite_and_shared_units_are_named(metrics):
    said = sentences(with_account(metrics, entry(forget=None)))
    assert "The forget set is not protected: its epsilon is infinite." in said
    assert any("items in both sets" in line for line in sentences(with_account(metrics, entry(shared=True))))


def test_noise_from_a_seed_promises_nothing_and_says_so_first(tmp_path, write_run, metrics):
    seeded = with_account(metrics, entry(randomness="seeded"))
    assert "No privacy is promised" in warnings(seeded)[0] == sentences(seeded)[0]
    assert "would add at most" in " ".join(sentences(seeded))
    # One seeded stage is enough.
    assert warnings(with_account(metrics, entry(randomness="seeded"), entry()))
    write_report(write_run(tmp_path, seeded))
    text = (tmp_path / "report.md").read_text()
    assert text.index("No privacy is promised") < text.index("## Figures")


def test_what_is_told_of_a_fact_with_several_units_is_a_warning(metrics):
    shared = replace(entry(), together={"fact": [{"retain": 2, "forget": 0}], "patient": None})
    found = with_account(metrics, shared)
    epsilon = Account("example", 1e-4, 9.0, "pld", (shared,)).epsilon_of("fact")
    assert found["account"]["groups"] == {
        "fact": {"units": 2, "epsilon": epsilon},
        "patient": {"units": None, "epsilon": None},
    }
    said = (
        f"Up to 2 units belong to one fact: epsilon is that of one unit, and more is revealed about a fact, at most "
        f"epsilon = {epsilon:.3g} at the same delta. privacy.unit=fact makes the promise to each fact.",
        "Units hold items of several patients, and nothing bounds what is revealed about one patient: "
        "privacy.unit=patient makes the promise to each patient.",
    )
    assert warnings(found) == list(said) and set(said) < set(sentences(found))
    # Accounts in files of earlier versions tell no groups.
    del found["account"]["groups"]
    assert warnings(found) == []


def test_steps_that_are_mostly_noise_are_flagged(metrics, history):
    account = with_account(metrics, entry())
    assert warnings(account, with_steps(history)) == []
    quiet = [line | {"signal_to_noise_forget": 0.012} for line in with_steps(history)]
    assert warnings(account, quiet) == [
        "The gradients of the forget set were mostly noise (signal to noise 0.012): its records hardly influenced "
        "the steps. More records or a larger epsilon would help."
    ]


def test_stages_before_are_in_the_sum_and_this_one_stands_alone(metrics):
    found = with_account(metrics, entry(), entry())
    own = found["account"]["sets"]["forget"]
    said = sentences(found)[1]
    assert f"All 2 stages together add at most (epsilon = {own['epsilon']:.3g}, delta = 0.0001) about each item" in said
    assert f"the unlearning phase alone adds at most epsilon = {own['epsilon_run']:.3g} at the same delta" in said


def test_learning_is_not_called_unlearning(metrics):
    found = with_account(metrics, entry())
    del found["account"]["start"]
    assert "a model that is not named" in " ".join(sentences(found))
    assert sentences(found)[0].startswith("The unlearning phase adds at most")
    found["account"]["stage"] = "learn"
    assert sentences(found)[0].startswith("The learning phase adds at most")


def test_a_budget_without_an_account_is_a_request_and_no_guarantee(metrics):
    said = sentences(metrics | {"privacy": "eps4"})
    assert "privacy=eps4 was set" in said[0] and "not as a guarantee" in said[0]
    assert "No privacy guarantee is made" in said[1]


def test_without_an_account_there_is_no_guarantee(metrics):
    assert len(sentences(metrics)) == 1 and "No privacy guarantee is made" in sentences(metrics)[0]
    assert not_covered(metrics) == [] and privacy_table(metrics, []).rows == () and spending_curves(metrics, []) is None


def test_the_table_has_terms_costs_and_means_over_steps(metrics, history):
    account = with_account(metrics, entry(), entry(begun=30))
    retain, forget = privacy_table(account, with_steps(history)).rows
    own = account["account"]["sets"]["retain"]
    assert retain == (
        "retain",
        f"{own['epsilon']:.3g}",
        f"{own['epsilon_run']:.3g}",
        "0.0001",
        "1",
        "0.5 (flat)",
        "30 of 300 (poisson)",
        "30 of 40",
        "25.0",
        "0.125",
    )
    assert own["epsilon"] > own["epsilon_run"]
    assert forget[-2:] == (DASH, DASH)
    bare = privacy_table(with_account(metrics, entry(forget=None)), history).rows[1]
    assert bare[:2] == ("forget", "∞ (not protected)") and set(bare[2:]) == {DASH}


def test_a_first_run_has_no_column_for_itself_alone(metrics):
    first, second = (privacy_table(with_account(metrics, *[entry()] * n), []) for n in (1, 2))
    assert "Of this run alone" in second.header and "Of this run alone" not in first.header
    assert {len(row) for row in first.rows} == {len(first.header)} == {len(second.header) - 1}


def test_noise_too_weak_to_bound_anything_is_not_called_unprotected(metrics):
    found = with_account(metrics, entry())
    own = found["account"]["sets"]["retain"]
    own["epsilon"] = own["epsilon_run"] = own["over_steps"][-1][1] = None
    assert "Nothing bounds what is revealed about the retain set" in sentences(found)[0]
    assert privacy_table(found, []).rows[0][1:4] == ("∞", "0.0001", "1")
    assert len(spending_curves(found, []).axes[0].lines[0].get_ydata()) == len(own["over_steps"]) - 1
    for key in ("noise_multiplier", "rate", "units"):
        own[key] = None
    assert privacy_table(found, []).rows[0][3:6] == (DASH, "0.5 (flat)", DASH)


def test_means_count_a_step_once_and_unlearning_alone(metrics):
    steps = [
        {"stage": "unlearn", "step": s, "clip_rate_retain": v} for s, v in ((1, 1.0), (2, 1.0), (2, 0.5), (3, None))
    ]
    steps += [{"stage": "learn", "step": 9, "clip_rate_retain": 0.0}, {"stage": "unlearn", "step": 4}]
    steps += [{"stage": "unlearn", "step": 5, "clip_rate_retain": math.nan}]
    assert privacy_table(with_account(metrics, entry()), steps).rows[0][-2] == "75.0"


@pytest.mark.parametrize("forget", [2.0, None])
def test_curves_end_at_what_was_spent_beside_the_budget(metrics, history, forget):
    account = with_account(metrics, entry(forget=forget))
    figure = spending_curves(account, with_steps(history))
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert set(lines) == {"retain", "budget", *(["forget"] if forget else [])}
    assert lines["retain"].get_ydata()[-1] == account["account"]["sets"]["retain"]["epsilon"]
    assert set(lines["budget"].get_ydata()) == {9.0}
    assert len(figure.axes) == 3
    assert [text.get_text() for text in figure.legends[0].texts] == list(lines)


def test_the_report_holds_all_of_it(tmp_path, write_run, metrics, history):
    write_report(write_run(tmp_path, with_account(metrics, entry()), with_steps(history)))
    markdown, html = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    for text in (markdown, html):
        assert "30 of 300" in text and "Adjacent data sets" in text and "Not covered:" in text
    assert (tmp_path / "figures" / "privacy.svg").is_file()


def test_names_in_an_account_are_escaped(tmp_path, write_run, metrics):
    found = with_account(metrics, entry()) | {"privacy": "<script>eps|4"}
    bad = "<img src=http://x>"
    found["account"] |= {"start": bad, "library": bad, "excludes": [bad], "clipping": bad}
    found["account"]["sets"]["retain"]["sampling"] = bad
    write_report(write_run(tmp_path, found))
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "<script" not in text and "<img" not in text and text.count("&lt;img") == 6
        assert "eps" in text
    del found["account"]
    write_report(write_run(tmp_path, found))
    assert "privacy=&lt;script&gt;eps|4 was set" in (tmp_path / "report.html").read_text()
