"""Private runs that branch from one model at any depth share the budget of that model."""

import pytest

from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import write_json
from duolearn_cli.pipeline.private_starts import epsilon_together, lineage, register, siblings
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.privacy.account import Account, Entry, read_account
from duolearn_cli.privacy.accounting import Spending


def stage(noise):
    spendings = {name: Spending(noise, 0.01, 10, "poisson") for name in ("retain", "forget")}
    return Entry("unlearn", spendings, (), {"retain": 100, "forget": 100}, 1.0, "flat", "secure")


def model(folder, noise, start=None, budget=8.0):
    """The adapter of a finished private run in `folder`, which began with `start`."""
    before = read_account(start) if start else Account("example", 1e-5, budget, "rdp")
    account = before.begin(stage(noise))
    if start:
        register(start, folder, account)
    overrides = ["+forget=surgery", f"run_dir={folder}", *([f"adapter={start}"] if start else [])]
    Run.create(compose("unlearn", overrides), overrides)
    adapter = folder / "adapter"
    adapter.mkdir()
    account.began_with(f"digest of {start}").planned().write(adapter)
    return adapter


def alone(noise):
    return Account("example", 1e-5, 8.0, "rdp", (stage(noise),)).planned().worst()


def test_runs_of_a_later_model_count_for_the_models_before_it(tmp_path):
    first = model(tmp_path / "first", 1.0)
    second = model(tmp_path / "second", 1.0, first)
    third = model(tmp_path / "third", 1.0, second)
    assert lineage(third) == [third, second, first]
    assert len(siblings(first, None)) == 2 and len(siblings(second, None)) == 1
    # Both models that are handed out after the first one, within a budget that covers each of them alone.
    known, before = siblings(first, None), read_account(first)
    branch = before.begin(stage(1.0)).planned()
    both = epsilon_together([*known, branch], 1)
    assert both > epsilon_together([next(one for one in known if len(one.entries) == 2), branch], 1)
    for folder in tmp_path.glob("**/privacy.json"):
        # A budget between the two.
        account = read_account(folder.parent)
        Account("example", 1e-5, both - 0.01, "rdp", account.entries).write(folder.parent)
    with pytest.raises(ConfigError, match=r"2 other private runs began with .*first/adapter too"):
        model(tmp_path / "other", 1.0, first)
    assert len(siblings(first, None)) == 2 and not (tmp_path / "other").exists()
    # The other way round: a branch is counted by whoever goes on with the longer chain.
    branched = model(tmp_path / "small", 4.0, first)
    with pytest.raises(ConfigError, match=r"1 other private run began with .*first/adapter too"):
        model(tmp_path / "fourth", 1.0, third)
    assert not siblings(third, None) and lineage(branched) == [branched, first]


def test_stages_between_count_once(tmp_path):
    first = model(tmp_path / "first", 1.0)
    model(tmp_path / "third", 2.0, model(tmp_path / "second", 1.0, first))
    short, long = sorted(siblings(first, None), key=lambda one: len(one.entries))
    flat = Account("example", 1e-5, 8.0, "rdp", (long.entries[0], long.last))
    assert epsilon_together([short, long], 1) == pytest.approx(epsilon_together([short, flat], 1))
    # A stage whose run is not registered counts too, and so do two runs on the same terms.
    assert epsilon_together([long], 1) > epsilon_together([flat], 1)
    assert epsilon_together([short, short, long], 1) > epsilon_together([short, long], 1)


def test_an_exported_copy_leads_to_its_run(tmp_path):
    first = model(tmp_path / "first", 1.0)
    copied = tmp_path / "copied"
    copied.mkdir()
    read_account(first).write(copied)
    for folder in (first, copied):
        write_json(folder / "requests.json", {"requests": [{"hash": "one"}]})
    assert lineage(copied) == [copied, first]
    model(tmp_path / "second", 1.0, copied)
    assert len(siblings(first, None)) == 1
