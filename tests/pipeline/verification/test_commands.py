"""Runs of every command that computes have a record that verifies, down to the models."""

import sys

import pytest

from duolearn_cli.__main__ import main
from duolearn_cli.pipeline import record
from duolearn_cli.pipeline.run_folder import Run
from tests.signed_run import QUICK


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "models"),
    [
        (["learn", "+forget=surgery", *QUICK], {"target"}),
        (["retrain", "+forget=surgery", *QUICK], {"gold"}),
        (["evaluate", "+forget=surgery", *QUICK], set()),
        (["evaluate", "run=run"], {"target", "gold", "scored"}),
        (["evaluate", "+forget=surgery", "adapter=run/adapter", *QUICK], {"scored"}),
    ],
    ids=["learn", "retrain", "base", "run", "adapter"],
)
def test_a_run_of_a_command(site, monkeypatch, command, models):
    monkeypatch.setattr(sys, "argv", ["duolearn"])
    made = site.root / "made"
    assert main([*command, f"run_dir={made}"]) == 0
    site.verify(made, deep=True)
    assert record.make(*Run.open(made))["models"].keys() == models
