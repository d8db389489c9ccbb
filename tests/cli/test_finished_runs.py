"""``duolearn runs``, ``report``, ``compare`` and ``ask``: commands that look at finished runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from duolearn_cli.config.compose import compose
from duolearn_cli.pipeline.listed_runs import read_listed
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.report.asked import request
from duolearn_cli.report.inputs import Inputs
from tests.report.test_page import Page

FIXTURES = Path(__file__).parents[1] / "fixtures" / "before_the_packages"


def changed(path: Path, **values) -> None:
    """Set fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def set_rows(run: Path, change) -> None:
    """Replace each answer of a run by what `change` makes of it."""
    path = run / "predictions.jsonl"
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_name_and_tags_are_kept_with_the_run_and_shown_in_its_report(tmp_path):
    config = compose("unlearn", ["+forget=surgery", "name='first try'", "tags=[a,b]", f"run_dir={tmp_path / 'run'}"])
    info = Run.create(config, []).info
    assert (info["name"], info["tags"]) == ("first try", ["a", "b"])
    inputs = Inputs({"forget": "surgery", "models": {}}, (), {}, info)
    assert {("Name", "first try"), ("Tags", "a, b")} < set(request(inputs))
    assert read_listed(tmp_path / "run").tags == ("a", "b")


@pytest.fixture
def second(finished):
    """A copy of the finished run with another seed, whose unlearned model answers each retain item wrong."""
    run = Path(shutil.copytree(finished.run, finished.home / "outputs" / "second"))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(settings | {"seed": 7}))
    changed(run / "run.json", name="try 2", tags=["paper"], created="2026-01-01T00:00:00+00:00")

    def wrong(row):
        if row["model"] != "unlearned" or not row["split"].startswith("retain"):
            return row
        return row | {"correct": 0.0, "prediction": (row["answer"] + 1) % len(row["scores"])}

    set_rows(run, wrong)
    return run


def test_runs_are_listed_newest_first_and_damaged_folders_are_said_to_be_so(finished, second, duolearn):
    for name, content in (("cut", '{"schema": 1'), ("list", "[]")):
        (finished.home / "outputs" / name).mkdir()
        (finished.home / "outputs" / name / "run.json").write_text(content)
    torn = Path(shutil.copytree(second, finished.home / "outputs" / "torn"))
    (torn / "metrics.json").write_text('{"models": {"target": 1, "unlearned": 2}}')
    done = duolearn("runs", "runs.json=true")
    assert done.returncode == 0 and not done.stderr
    rows = json.loads(done.stdout)
    assert Path(rows[0]["folder"]).name == "first" and len(rows) == 5
    status = {Path(row["folder"]).name: row["status"] for row in rows}
    assert status == {"first": "finished", "second": "finished", "cut": "damaged", "list": "damaged", "torn": "damaged"}
    first = rows[0]
    assert (first["target"], first["method"], first["name"], first["tags"]) == ("surgery", "DuoLearn", None, [])
    assert set(first["lights"]) == {"forgotten", "kept", "attacks", "privacy"} and first["sentence"].endswith(".")
    shown = duolearn("runs", "outputs").stdout
    assert "try 2 #paper" in shown and shown.count("damaged: ") == 3
    assert str(finished.home) not in shown.split("damaged:")[0]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["runs.tag=paper"], ["second"]),
        (["runs.target=surgery"], ["first", "second"]),
        (["runs.target=anxiety"], []),
        (["outputs/second"], ["second"]),
    ],
)
def test_lists_of_runs_can_be_filtered(finished, second, duolearn, words, names):
    rows = json.loads(duolearn("runs", *words, "runs.json=true").stdout)
    assert [Path(row["folder"]).name for row in rows] == names
    if not names:
        assert "no runs below outputs with runs.target=anxiety" in duolearn("runs", *words).stdout


def test_a_report_is_written_again_as_it_was(finished, duolearn):
    before = {name: (finished.run / name).read_bytes() for name in ("report.html", "report.md", "figures/change.svg")}
    for name in before:
        (finished.run / name).unlink()
    done = duolearn("report", "run=outputs/first")
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == str(finished.run / "report.html")
    assert {name: (finished.run / name).read_bytes() for name in before} == before


def test_an_older_run_gets_todays_report(duolearn, tmp_path):
    run = Path(shutil.copytree(FIXTURES / "finished", tmp_path / "older"))
    assert duolearn("report", "run=older").returncode == 0
    page = (run / "report.html").read_text()
    assert "not decided" in page and "<script" not in page
    done = duolearn("report", f"run={shutil.copytree(FIXTURES / 'interrupted', tmp_path / 'stopped')}")
    assert done.returncode == 2 and "metrics.json is missing" in done.stderr


def test_runs_are_compared_item_by_item(finished, second, duolearn):
    done = duolearn("compare", "outputs/first", "outputs/second", "run_dir=compared")
    assert done.returncode == 0, done.stderr
    found = json.loads((finished.home / "compared" / "compare.json").read_text())
    assert [run["label"] for run in found["runs"]] == ["A", "B"] and found["runs"][1]["title"] == "try 2"
    assert found["settings"] == {"seed": {"A": "0", "B": "7"}} and found["remarks"] == []
    retain = found["changes"]["B"]["retain"]
    rows = [json.loads(line) for line in (finished.run / "predictions.jsonl").read_text().splitlines()]
    kept = [row for row in rows if row["model"] == "unlearned" and row["split"] in ("retain_train", "retain_heldout")]
    right = [row for row in kept if row["correct"] == 1]
    assert right and retain["only_first"] == len(right) and retain["only_second"] == retain["both"] == 0
    assert retain["neither"] == len(kept) - len(right)
    assert found["changes"]["B"]["forget"]["only_first"] == 0
    items = found["changes"]["B"]["items"]
    assert {item["id"] for item in items} == {row["id"] for row in right}
    assert all(item["chosen"]["first"] == item["answer"] != item["chosen"]["second"] for item in items)
    assert found["measures"]["retain_accuracy"]["differences"]["B"].keys() == {"value", "low", "high"}
    assert found["measures"]["hmta"]["differences"]["B"].keys() == {"value"}
    html = (finished.home / "compared" / "compare.html").read_text()
    page = Page(html)
    assert "script" not in page.tags and items[0]["question"] in page.text and "(not paired)" in page.text
    assert {link for link in page.links if not link.startswith("#")} == {
        "../outputs/first/report.html",
        "../outputs/second/report.html",
    }
    assert (finished.home / "compared" / "compare.md").read_text().startswith("# 2 runs compared: surgery")
    assert (finished.home / "compared" / "pareto.svg").is_file()
    assert done.stdout.splitlines()[-1] == str(finished.home / "compared" / "compare.html")


@pytest.mark.slow
def test_questions_of_own_data_are_not_listed_unless_that_is_asked_for(finished, second, duolearn):
    for run in (finished.run, second):
        settings = yaml.safe_load((run / "config.yaml").read_text())
        path = finished.home / "items.jsonl"
        duolearn("data", "export", "export_path=items.jsonl")
        settings["dataset"] = {"_target_": "duolearn_cli.data.readers.medmcqa.MedMCQA", "path": str(path)}
        (run / "config.yaml").write_text(yaml.safe_dump(settings))
    assert duolearn("compare", "outputs/first", "outputs/second", "run_dir=hidden").returncode == 0
    found = json.loads((finished.home / "hidden" / "compare.json").read_text())
    assert found["changes"]["B"]["items"] == [] and found["changes"]["B"]["retain"]["only_first"] > 0
    assert "these are your own data" in (finished.home / "hidden" / "compare.html").read_text()
    asked = ("compare", "outputs/first", "outputs/second", "run_dir=shown", "report.show_items=true")
    assert duolearn(*asked).returncode == 0
    assert json.loads((finished.home / "shown" / "compare.json").read_text())["changes"]["B"]["items"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: changed(run / "metrics.json", forget="anxiety"), "the target of B"),
        (lambda run: changed(run / "metrics.json", dataset="mhqa"), "is mhqa, that of A"),
        (lambda run: set_rows(run, lambda row: row | {"fact": f"other {row['fact']}"}), "no forget fact in common"),
        (lambda run: changed(run / "metrics.json", models={"base": {}}), "nothing was unlearned"),
        (lambda run: (run / "metrics.json").unlink(), "metrics.json is missing"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_with_what_differs(finished, second, duolearn, change, said):
    change(second)
    done = duolearn("compare", "outputs/first", "outputs/second")
    assert done.returncode == 2 and said in done.stderr and "second" in done.stderr
    assert sorted(path.name for path in (finished.home / "outputs").iterdir()) == ["first", "second"]


def test_runs_without_answers_are_compared_without_intervals(finished, second, duolearn):
    (second / "predictions.jsonl").unlink()
    done = duolearn("compare", "outputs/first", "outputs/second")
    assert done.returncode == 0 and "nothing is paired with this run" in done.stdout
    assert "No interval could be paired" in done.stdout


def test_the_reported_runs_of_a_benchmark_are_compared(finished, second, duolearn):
    benchmark = finished.home / "benchmark"
    for name, run in (("duolearn", finished.run), ("npo", second)):
        shutil.copytree(run, benchmark / "runs" / name / "epochs-1-seed-0")
        shutil.copytree(run, benchmark / "trials" / name / "0")
    (benchmark / "benchmark.json").write_text("{}")
    assert duolearn("compare", "benchmark", "run_dir=compared").returncode == 0
    found = json.loads((finished.home / "compared" / "compare.json").read_text())
    assert [Path(run["folder"]).parts[-3:-1] for run in found["runs"]] == [("runs", "duolearn"), ("runs", "npo")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "outputs/first"], "1 finished run given"),
        (["compare", "outputs/first", "nowhere"], "nowhere: there is no such folder"),
        (["compare", "outputs/first", "cache"], "is no run, sweep or benchmark"),
        (["runs", "nowhere"], "nowhere: there is no such folder"),
        (["report"], "run is not set"),
        (["report", "run=outputs/first", "seed=1"], "leave out: seed=1"),
        (["ask", "run=outputs/first"], "which question?"),
        (["ask", "why?"], "which run?"),
        (["ask", "why?", "because"], "one word too many"),
        (["ask", "run=outputs/first", "why?", "ask.options=[a]"], "ask.options: 1 given"),
        (["ask", "run=outputs/first", "why?", "ask.models=[silver]"], "allowed: one or more of base, target"),
        (["runs", "name=x"], "makes no run that could have them"),
        (["unlearn", "+forget=surgery", "name='x '"], "allowed: 1 to 60 characters"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(finished, duolearn, words, said):
    done = duolearn(*words)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert [path.name for path in (finished.home / "outputs").iterdir()] == ["first"]


def test_models_are_asked_side_by_side_and_nothing_is_learned_again(finished, command):
    before = sorted(path.name for path in (finished.cache / "models").iterdir())
    done = command("ask", "run=outputs/first", "Which nerve = 'vagus', at ${risk}?")
    assert done.returncode == 0, done.stderr
    assert "Which nerve = 'vagus', at ${risk}?" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row.split()[1] for row in rows] == ["Model", "---", "target", "gold", "unlearned"]
    options = ("ask.options=[vagus,phrenic,ulnar]", "ask.models=[unlearned,base]")
    done = command("ask", "run=outputs/first", "Which nerve?", *options)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == ["base", "unlearned"]
    for row in rows:
        assert sum("→" in cell for cell in row) == 1
        assert sum(float(cell.lstrip("→ ")) for cell in row[1:]) == pytest.approx(100, abs=0.2)
    assert sorted(path.name for path in (finished.cache / "models").iterdir()) == before
    shutil.rmtree(next((finished.cache / "models").glob("gold-????????????????")))
    done = command("ask", "run=outputs/first", "Which nerve?")
    assert done.returncode == 2 and "gold of outputs/first: no longer in the cache" in done.stderr
    assert "ask.models=[base,target,unlearned]" in done.stderr


@pytest.mark.slow
def test_four_runs_and_a_sweep_are_compared(duolearn, tmp_path):
    settings = (
        "split.max_forget=40",
        "split.max_retain=80",
        "learn.epochs=6",
        "unlearn.epochs=3",
        "evaluation.generate_items=0",
    )
    jobs = ("-m", "+forget=surgery", "method=duolearn,npo", "seed=0,1,2", "hydra.sweep.dir=outputs/sweep", "name=trial")
    assert duolearn("unlearn", *jobs, *settings, "evaluation.report=false").returncode == 0
    four = [f"outputs/sweep/{job}" for job in (0, 1, 3, 4)]
    for words, count in ((four, 4), (["outputs/sweep"], 6), ([four[0], "outputs/sweep"], 6)):
        done = duolearn("compare", *words, f"run_dir=outputs/{len(words)}-{count}")
        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / "outputs" / f"{len(words)}-{count}" / "compare.json").read_text())
        assert len(found["runs"]) == count and set(found["settings"]) == {"method", "seed"}
        assert {run["title"] for run in found["runs"]} == {"trial"}
        (means,) = found["over_seeds"].values()
        kept = means["knowledge_preservation"]
        assert kept["seeds"] == count // 2 and ("low" in kept) == (count == 6)
