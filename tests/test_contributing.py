"""The examples of CONTRIBUTING.md run as the page says, and its table is that of the import contract."""

import csv
import json
import re
import shlex
import tomllib

import pytest

from duolearn_cli.files import ASSETS
from duolearn_cli.methods import Method
from duolearn_cli.methods.declarations import hook_kinds
from tests.conftest import SMALL
from tests.scripts import FOLDER

ROOT = FOLDER.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## Add a (\w[\w ]*)\n(.*?)(?=^## )", PAGE, re.M | re.S))
SCREEN = 60
FEW = [*SMALL, "evaluation.max_items=6", "evaluation.quick_items=2", "evaluation.generate_items=0"]


@pytest.fixture
def example(tmp_path):
    """Leave the files of a section in the current folder; return the words of its command, without ``duolearn``."""

    def write(name):
        for path, text in re.findall(r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```", SECTIONS[name], re.M | re.S):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
        (command,) = re.findall(r"^```bash\nduolearn (.*?)\n```", SECTIONS[name], re.M | re.S)
        return shlex.split(command)

    return write


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


def test_every_hook_is_named():
    assert [name for name in hook_kinds(Method) if f"`{name}`" not in SECTIONS["method"]] == []


def test_the_tree_has_the_rows_of_the_import_contract():
    table = PAGE.partition("| package of `duolearn_cli` |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()[2:]]
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert rows == [layer.split(" | ") for layer in contract["layers"] if layer != "__main__"]
