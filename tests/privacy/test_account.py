"""The account that travels with a model, and the ledger that a run writes before each step."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest

from duolearn_cli.errors import RunError
from duolearn_cli.privacy.account import FILE, Account, Entry, composed_by_set, read_account
from duolearn_cli.privacy.accounting import Spending, epsilon
from duolearn_cli.privacy.ledger import Ledger

DELTA = 1e-5


def entry(retain=1.0, forget=2.0, begun=20, randomness="secure", shared=False):
    spendings = {"retain": retain, "forget": forget}
    spendings = {name: Spending(noise, 0.1, 20) for name, noise in spendings.items() if noise}
    unprotected = tuple(name for name in ("retain", "forget") if name not in spendings)
    sizes = dict.fromkeys(spendings, 100)
    return Entry("unlearn", spendings, unprotected, sizes, 1.0, "flat", randomness, begun, shared)


def account(*entries):
    return Account("example", DELTA, 10.0, "pld", entries)


def spent(*noises):
    return epsilon([Spending(noise, 0.1, 20) for noise in noises], DELTA)


def test_one_run_pays_by_set_and_unprotected_sets_have_no_bound():
    both = account(entry())
    assert (both.epsilon("retain"), both.epsilon("forget")) == (spent(1.0), spent(2.0))
    assert both.worst() == spent(1.0)
    assert account(entry(forget=None)).spent() == {"retain": spent(1.0), "forget": math.inf}


def test_a_unit_in_both_sets_pays_for_both():
    assert account(entry(shared=True)).spent() == pytest.approx(dict.fromkeys(("retain", "forget"), spent(1.0, 2.0)))


def test_runs_compose_over_the_worst_path():
    """A record in the forget set now may have been in the retain set before."""
    twice = account(entry(), entry(retain=3.0, forget=1.5))
    assert twice.epsilon("forget") == pytest.approx(spent(1.5, 1.0))
    assert twice.epsilon("retain") == pytest.approx(spent(3.0, 1.0))
    # Records that a stage used unprotected never have a finite epsilon again.
    assert account(entry(forget=None), entry()).epsilon("forget") == math.inf
    assert twice.epsilon("forget", alone=True) == spent(1.5)
    thrice = account(entry(), entry(), entry())
    assert thrice.epsilon("retain") == pytest.approx(spent(1.0, 1.0, 1.0))


def together(one, **groups):
    return replace(one, together=groups)


def test_a_record_of_several_units_pays_for_all_of_them():
    def paid(*groups):
        return epsilon([Spending(noise, 0.1, 20, group=size) for noise, size in groups], DELTA)

    phrasings = account(together(entry(), fact=[{"retain": 2, "forget": 0}, {"retain": 0, "forget": 3}]))
    assert phrasings.shared_kinds == ["fact"]
    assert phrasings.epsilon_of("fact") == max(paid((1.0, 2)), paid((2.0, 3))) > phrasings.worst()
    # A patient with items in both sets pays in both.
    across = account(together(entry(), patient=[{"retain": 2, "forget": 1}]))
    assert across.epsilon_of("patient") == pytest.approx(paid((1.0, 2), (2.0, 1)))
    # In an earlier run a fact may have been in either set.
    twice = account(phrasings.last, entry(retain=3.0, forget=3.0))
    assert twice.epsilon_of("fact") == pytest.approx(max(paid((1.0, 2), (3.0, 1)), paid((2.0, 3), (3.0, 1))))


def test_records_shared_with_an_unprotected_set_have_no_bound():
    assert account(together(entry(forget=None), patient=[{"retain": 1, "forget": 1}])).epsilon_of("patient") == math.inf
    one_set = account(together(entry(forget=None), fact=[{"retain": 2, "forget": 0}]))
    assert one_set.epsilon_of("fact") < math.inf
    assert account(together(entry(), patient=None)).epsilon_of("patient") == math.inf
    assert account(entry(forget=None), together(entry(), fact=[{"retain": 2}])).epsilon_of("fact") == math.inf


def test_groups_are_kept_and_accounts_of_earlier_versions_have_none(tmp_path):
    grouped = account(together(entry(), fact=[{"retain": 2, "forget": 0}], patient=None))
    grouped.write(tmp_path)
    assert read_account(tmp_path) == grouped
    values = json.loads((tmp_path / FILE).read_text())
    for stage in values["entries"]:
        del stage["together"]
        for spending in stage["spendings"].values():
            del spending["group"]
    (tmp_path / FILE).write_text(json.dumps(values))
    assert read_account(tmp_path) == account(entry())


def test_epsilon_grows_with_the_steps_begun():
    values = [account(entry()).after(begun).epsilon("retain") for begun in (0, 1, 5, 20)]
    assert values[0] == 0 and values == sorted(values) and len(set(values)) == 4
    assert account(entry(begun=0)).planned().epsilon("retain") == values[-1]


def test_the_file_is_complete_and_reads_back(tmp_path):
    original = account(entry(forget=3.0), entry())
    original.write(tmp_path)
    assert read_account(tmp_path) == original
    values = json.loads((tmp_path / FILE).read_text())
    assert values["promise"] is True and values["unit"] == "example" and values["budget"] == 10
    assert values["spent"] == {"retain": original.epsilon("retain"), "forget": original.epsilon("forget")}
    assert "added or removed" in values["adjacency"] and len(values["excludes"]) == 4
    account(entry(forget=None)).write(tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["spent"]["forget"] is None
    account(entry(), entry(randomness="seeded")).write(tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["promise"] is False
    assert read_account(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"schema": 9}', '{"schema": 1, "unit": "example"}', '{"schema": 1, "entries": [{}]}']
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(RunError, match=r"privacy\.json cannot be read.*Put the file back"):
        read_account(tmp_path)


def run(ledger, steps):
    return [ledger.begin(step) for step in steps]


@pytest.mark.parametrize("randomness", ["seeded", "secure"])
def test_an_interrupted_run_spends_what_an_unbroken_one_does(tmp_path, randomness):
    fresh = account(entry(begun=0, randomness=randomness))
    whole = Ledger(fresh, tmp_path)
    assert all(run(whole, range(1, 21))) and not whole.begin(21)
    first = Ledger(fresh, tmp_path)
    run(first, range(1, 8))
    rest = Ledger(read_account(tmp_path), tmp_path)
    assert all(run(rest, range(8, 21))) and not rest.begin(21)
    assert rest.account == whole.account == read_account(tmp_path)
    assert rest.account.epsilon("retain") == whole.account.epsilon("retain")


def test_steps_that_a_crash_lost_are_paid_for(tmp_path):
    """Steps repeated with fresh noise are new releases: the run ends earlier, and never exceeds its plan."""
    ledger = Ledger(account(entry(begun=0)), tmp_path)
    run(ledger, range(1, 11))
    resumed = Ledger(read_account(tmp_path), tmp_path)
    assert resumed.lost(5) == 5 and ledger.lost(10) == 0
    assert run(resumed, range(6, 21)) == [True] * 10 + [False] * 5
    assert resumed.account.last.begun == 20
    same = Ledger(account(entry(begun=10, randomness="seeded")), tmp_path)
    assert same.lost(5) == 0 and all(run(same, range(6, 21)))


def test_the_file_is_written_before_the_step(tmp_path):
    ledger = Ledger(account(entry(begun=0)), tmp_path)
    assert not (tmp_path / FILE).exists()
    ledger.begin(1)
    assert read_account(tmp_path).last.begun == 1
    # While the run lasts, the file states the epsilon of all planned steps: an upper bound.
    assert json.loads((tmp_path / FILE).read_text())["spent"]["retain"] == account(entry()).epsilon("retain")


def test_a_process_that_does_not_write_keeps_count_all_the_same(tmp_path):
    ledger = Ledger(account(entry(begun=19)), tmp_path, writes=False)
    assert run(ledger, [20, 21]) == [True, False]
    assert not (tmp_path / FILE).exists()


def test_several_models_released_together_cost_their_sum():
    jobs = [account(entry()), account(replace(entry(), clipping="automatic")), account(entry())]
    # Two equal entries are still two runs.
    assert composed_by_set(jobs)["retain"] == pytest.approx(spent(1.0, 1.0, 1.0))
    assert composed_by_set([*jobs, account(entry(forget=None))])["forget"] == math.inf


def test_a_run_resumes_only_with_the_model_that_it_started_from():
    begun = account(entry()).began_with("one")
    assert begun.began_with("one") == begun
    with pytest.raises(RunError, match="another was put or learned in its place"):
        begun.began_with("other")


def test_many_earlier_stages_are_added_up_in_seconds():
    """Alternatives share cached prefixes: without the cache five stages took eight seconds, with it less than one."""
    entries = [entry(retain=3 + 0.1 * k, forget=4 + 0.1 * k) for k in range(5)]
    ways = itertools.product(*[(3 + 0.1 * k, 4 + 0.1 * k) for k in range(4)])
    assert account(*entries).epsilon("retain") == pytest.approx(max(spent(3.4, *way) for way in ways))
