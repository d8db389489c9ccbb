"""The examples of CONTRIBUTING.md run as the page says, and its table is that of the import contract."""

import csv
import json
import re
import shutil
import tomllib

import pytest

from duolearn_cli.config.declarations import hook_kinds
from duolearn_cli.evaluation.measures import AddedMeasure
from duolearn_cli.files import ASSETS
from duolearn_cli.methods import Method
from duolearn_cli.report.jobs import read_jobs
from duolearn_cli.report.sweep import sweep_table
from tests.conftest import SMALL
from tests.contributing import PAGE, SECTIONS, leave_example
from tests.scripts import FOLDER

ROOT = FOLDER.parent
SCREEN = 60
FEW = [*SMALL, "evaluation.max_items=6", "evaluation.quick_items=2", "evaluation.generate_items=0"]


@pytest.fixture
def example(tmp_path):
    """Leave the files of a section in the current folder; return the words of its command, without ``duolearn``."""

    return lambda name: leave_example(name, tmp_path)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_fits_a_screen(name):
    assert len(SECTIONS[name].strip().splitlines()) <= SCREEN


def test_a_method(duolearn, example, tmp_path):
    done = duolearn(*example("method"), *FEW)
    assert done.returncode == 0, done.stderr + done.stdout
    (run,) = (tmp_path / "outputs").glob("*/*")
    steps = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    losses = [step["forget_loss"] for step in steps if "forget_loss" in step]
    assert losses[-1] < losses[0]
    assert json.loads((run / "metrics.json").read_text())["method"] == "MaxEntropy"
    assert "MaxEntropy" in (run / "report.md").read_text()


def test_a_method_is_compared_by_its_search_space(duolearn, example):
    _, target, _, *trust = example("method")
    asked = ["benchmark.methods=[max_entropy,npo]", "benchmark.trials=2", "--dry-run"]
    done = duolearn("benchmark", target, *trust, *asked)
    assert done.returncode == 0 and "max_entropy" in done.stdout, done.stderr
    assert "retain_weight" in done.stdout


def test_a_data_set(duolearn, example, tmp_path):
    rows = [
        {
            "question": f"Which of these numbers is {number} times two?",
            "options": {letter: str(number * factor) for letter, factor in zip("ABCD", (1, 2, 3, 4), strict=True)},
            "answer_idx": "B",
        }
        for number in range(1, 9)
    ]
    rows.append({"question": "What is left out?", "options": ["this", "row"], "answer_idx": "A"})
    (tmp_path / "medqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = duolearn(*example("data set"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| all .*?\| 8 \|", done.stdout, re.M) and "options is no object" in done.stdout
    (tmp_path / "medqa.jsonl").write_text('{"question": "What?"}\n')
    refused = duolearn(*example("data set"))
    assert refused.returncode == 2 and "no column 'options'" in refused.stderr


def test_a_hierarchy(duolearn, example, tmp_path):
    names = {"A": "digestive", "A10": "diabetes", "A10B": "no insulins", "A10BA": "biguanides", "A10BA02": "metformin"}
    with (tmp_path / "atc.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("code", "name"), *names.items()])
    done = duolearn(*example("hierarchy"))
    assert done.returncode == 0, done.stderr + done.stdout
    assert "5 concepts" in done.stdout
    (tmp_path / "atc.csv").write_text("code,label\nA,digestive\n")
    refused = duolearn(*example("hierarchy"))
    assert refused.returncode == 2 and "every row needs a code and a name" in refused.stderr


def test_a_model(duolearn, example):
    done = duolearn(*example("model"), f"model.path={ASSETS / 'tiny'}")
    assert done.returncode == 0, done.stderr
    assert "163,840 of 1,377,408 parameters" in done.stdout, "of rank 16"


def test_a_measure(duolearn, example, tmp_path):
    command = example("measure")
    untrusted = duolearn(*(word for word in command if not word.startswith("plugins")))
    assert untrusted.returncode == 2 and "or of a module named in `plugins`" in untrusted.stderr
    done = duolearn(*command, *FEW, "run_dir=run")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    values = {name: entry["scores"]["margin"] for name, entry in metrics["models"].items()}
    assert values["target"]["value"] > values["gold"]["value"]
    assert values["unlearned"]["low"] < values["unlearned"]["value"] < values["unlearned"]["high"]
    report = (tmp_path / "run" / "report.md").read_text()
    assert all(f"| Margin ↓, n {values['base']['n']} (too few for a claim) |" in text for text in (done.stdout, report))
    assert "- Margin: Log-probability of the right option less that of the best other one, in nats." in report
    for job in ("0", "1"):
        shutil.copytree(tmp_path / "run", tmp_path / "sweep" / job)
    swept = sweep_table(read_jobs(tmp_path / "sweep"))
    assert swept.header[-2] == "Margin ↓"
    assert all(row[-2].startswith(f"{values['unlearned']['value']:.3f} [") for row in swept.rows)
    _, _, *trust = command
    again = duolearn("evaluate", "run=run", *trust, "measures.margin.split=retain_heldout", "--dry-run")
    assert again.returncode == 0, again.stderr
    refused = duolearn("evaluate", "run=run", "--dry-run")
    assert refused.returncode == 2 and "plugins=[margin]" in refused.stderr


def test_every_hook_is_named():
    assert [name for name in hook_kinds(Method) if f"`{name}`" not in SECTIONS["method"]] == []


def test_every_hook_of_a_measure_is_in_its_example():
    optional = {"origin", "problems", "row", "wrong_as"}
    named = set(re.findall(r"\w+", SECTIONS["measure"]))
    assert {name for name in hook_kinds(AddedMeasure) if name not in named} <= optional


def test_the_tree_has_the_rows_of_the_import_contract():
    table = PAGE.partition("| package of `duolearn_cli` |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()[2:]]
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert rows == [layer.split(" | ") for layer in contract["layers"] if layer != "__main__"]
