"""`duolearn audit robustness` through the command line: the files it writes, and what it refuses before it starts."""

from __future__ import annotations

import json
import shutil

import pytest
from omegaconf import OmegaConf

from duolearn_cli.audits.robustness.attack import Attack
from duolearn_cli.audits.robustness.results import summarise
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError
from tests.conftest import SMALL

FEW = ["audit.robustness.relearn_epochs=1", "audit.robustness.relearn_shares=[0.2]", "audit.robustness.bits=[4]"]
FEW += ["audit.robustness.max_items=40"]


@pytest.mark.slow
def test_a_finished_run_is_attacked(duolearn, tmp_path):
    done = duolearn("unlearn", "+forget=surgery", *SMALL)
    assert done.returncode == 0, done.stderr + done.stdout
    (attacked,) = (tmp_path / "outputs").glob("*/*-unlearn-*")
    before = {path: path.read_bytes() for path in attacked.rglob("*") if path.is_file()}
    folders = []
    for place, chosen in (("one", []), ("other", ["audit.robustness.attacks=[relearn]"])):
        done = duolearn("audit", "robustness", f"run={attacked}", *FEW, *chosen, f"output_dir={place}")
        assert done.returncode == 0, done.stderr + done.stdout
        folders += (tmp_path / place).glob("*/*-audit-robustness-surgery")
    assert "Attacks on what was forgotten: surgery" in done.stdout and "proves nothing" in done.stdout
    assert {path: path.read_bytes() for path in attacked.rglob("*") if path.is_file()} == before
    one, other = (rows_of(folder) for folder in folders)
    assert other == [row for row in one if row["attack"] in ("none", "relearn")], "the same seed attacks alike"
    check_files(folders[0])
    for change, said in (
        ("seed=1", "keeps its own configuration; leave out: seed=1"),
        ("privacy=eps4", "privacy=eps4"),
    ):
        done = duolearn("audit", "robustness", f"run={attacked}", change)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    refused_unfinished(duolearn, attacked, tmp_path)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "robustness.jsonl").read_text().splitlines()]


def check_files(folder):
    """Every figure of robustness.json can be computed from the rows."""
    written = json.loads((folder / "robustness.json").read_text())
    rows = rows_of(folder)
    assert written["schema"] == 1 and set(written["before"]) == {"target", "gold", "unlearned"}
    assert {row["model"] for row in rows if row["attack"] == "probe"} == {"base", "target", "gold", "unlearned"}
    assert {one["attack"] for one in written["attacks"]} == {"relearn", "quantise", "prompts", "probe"}
    attacks = [
        Attack(
            one["attack"],
            one["variant"],
            lambda lab: None,
            one["phrasings"],
            one["compared_with"],
            details=one["details"],
        )  # type: ignore[arg-type]
        for one in written["attacks"]
    ]
    again = json.loads(json.dumps(summarise(rows, attacks, [])))
    for key in ("before", "chance", "attacks"):
        assert again[key] == written[key]
    assert [one["variant"] for one in written["skipped"]] == ["other orders"]
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "run.json",
        "log.txt",
        "robustness.json",
        "robustness.jsonl",
        "robustness.md",
        "relearning.svg",
    }


def refused_unfinished(duolearn, attacked, tmp_path):
    """Runs that did not finish, forgot nothing or have no adapter are refused. Nothing is written."""
    copy = tmp_path / "copy"
    shutil.copytree(attacked, copy)
    before = sorted(tmp_path.iterdir())
    info = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(info | {"status": "interrupted"}))
    assert_refused(duolearn("audit", "robustness", f"run={copy}"), "it is interrupted; finish it with duolearn unlearn")
    (copy / "run.json").write_text(json.dumps(info))
    shutil.rmtree(copy / "adapter")
    assert_refused(duolearn("audit", "robustness", f"run={copy}"), "holds no adapter")
    config = OmegaConf.load(copy / "config.yaml")
    config.command = "learn"
    OmegaConf.save(config, copy / "config.yaml")
    assert_refused(duolearn("audit", "robustness", f"run={copy}"), "nothing was forgotten in a run of `duolearn learn`")
    assert sorted(tmp_path.iterdir()) == before


def assert_refused(done, said):
    assert done.returncode == 2 and said in done.stderr, done.stderr + done.stdout
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["robustness"], "run is not set: which run is attacked? Give run=FOLDER"),
        (["robustnes", "run=x"], "did you mean 'robustness'"),
        (["robustness", "run=nowhere"], "run=nowhere: there is no such folder"),
        (["robustness", "run=."], "is not a run folder"),
        (["privacy", "+forget=surgery", "run=."], "`verify`, `withdraw`"),
    ],
)
def test_mistakes_get_one_line(duolearn, tmp_path, arguments, said):
    assert_refused(duolearn("audit", *arguments), said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("attacks=[relern]", "attacks=relern: allowed: relearn, quantise, prompts, probe (did you mean 'relearn'?)"),
        ("attacks=[]", "attacks=[]: one at least is needed; allowed: relearn"),
        ("attacks=[probe,probe]", "an entry is there twice"),
        ("attacks=probe", "a list, such as [a,b]"),
        ("relearn_shares=[0.1,1]", "relearn_shares=1.0: allowed: above 0, up to 0.9"),
        ("relearn_shares=[0]", "relearn_shares=0.0: allowed: above 0"),
        ("relearn_shares=[nan]", "relearn_shares=nan: allowed"),
        ("bits=[1]", "bits=1: allowed: 2 to 16."),
        ("bits=[four]", "a list of numbers"),
        ("group=0", "group=0: allowed: 1 or more."),
        ("relearn_epochs=0", "relearn_epochs=0: allowed: 1 or more."),
        ("shots=99", "shots=99: allowed: 1 to 64."),
        ("shuffles=0", "shuffles=0: allowed: 1 to 100."),
        ("probe_c=0", "probe_c=0.0: allowed"),
        ("max_items=1", "max_items=1: allowed: 2 or more."),
        ("shot=3", "shot: there is no such setting; allowed: attacks, relearn_shares"),
    ],
)
def test_bad_settings_name_field_value_and_what_is_accepted(setting, said):
    with pytest.raises(ConfigError) as caught:
        compose("audit", ["audit.kind=privacy", "+forget=surgery", f"audit.robustness.{setting}"])
    assert "audit.robustness." in str(caught.value) and said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_dry_run_needs_no_forget_target_of_its_own():
    config = compose("audit", ["audit.kind=robustness", "run=."])
    assert OmegaConf.is_missing(config.forget, "name")
