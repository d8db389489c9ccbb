"""duolearn hierarchy, as a user calls it."""

import json
import os
import re
import subprocess
import sys

import pytest

from duolearn_cli.__main__ import main
from duolearn_cli.cli.commands import hierarchy as command
from duolearn_cli.data.items import Item, Loaded, Rejected
from duolearn_cli.report.survey import rejected_table
from tests.conftest import SMALL

OWN = (
    "id\tlevel\tparents\tname\tsynonyms\tsubjects\n"
    "field\t3\t\tField\t\tSurgery\n"
    "knife\t4\tfield\tknife\tx-ray|blade\t\n"
    "film\t4\tfield\tfilm\tx ray\t\n"
)


def test_show(duolearn):
    plain = duolearn("hierarchy")
    assert plain.returncode == 0 and plain.stdout.startswith("18,148 concepts")
    assert "vascular surgery" in plain.stdout and "sclerotherapy" not in plain.stdout
    roots = duolearn("hierarchy", "show", "depth=1").stdout
    assert "surgery" in roots and "vascular" not in roots
    node = duolearn("hierarchy", "show", "Vascular SURGERY", "+forget=surgery", "forget.keep=[sclerotherapy]")
    assert node.stdout.splitlines()[0].startswith("vascular surgery") and "\x1b" not in node.stdout
    lines = {line.strip("│├└─ ").partition("  ")[0]: line for line in node.stdout.splitlines()}
    assert lines["embolectomy"].endswith("[forget]")
    assert lines["carotid artery stenosis"].endswith("[boundary]")
    assert lines["sclerotherapy"].endswith("[kept]")
    assert "concepts to forget" in node.stdout


def test_coverage_counts_spellings_of_a_label_as_one(tmp_path, capsys):
    lines = ["q,a,b,key,field"]
    spellings = ["Surgery", "SURGERY", " surgery", "S\u00fcrgery", "Medicine", "medicine "]
    lines += [f"What is number {i}?,one {i},two {i},A,{field}" for i, field in enumerate(spellings)]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    fields = {"question": "q", "options": "[a,b]", "answer": "key", "answer_kind": "letter", "subject": "field"}
    (tmp_path / "own.tsv").write_text(OWN)
    given = [f"dataset.fields.{name}={column}" for name, column in fields.items()]
    data = ["dataset=local", f"dataset.path={tmp_path}/own.csv", f"hierarchy.path={tmp_path}/own.tsv"]
    assert main(["hierarchy", "coverage", *data, *given]) == 0
    said = capsys.readouterr().out
    counts = dict(re.findall(r"^\| (\w+) \(.*?\) \| (\d+) \|", said, re.MULTILINE))
    # The hierarchy's spelling, and the data's commonest where it has none.
    assert counts == {"all": "6", "Surgery": "4", "Medicine": "2"}
    assert "'SURGERY' (1 item), 'surgery' (1 item), 'S\u00fcrgery' (1 item) are read as the label 'Surgery'" in said


def test_find(duolearn):
    text = "A 'leg ulcer', ${seed} = {sclerotherapy}? \\ Nothing [else]."
    done = duolearn("hierarchy", "find", text, "+forget=surgery", "forget.keep=[sclerotherapy]")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "A '[leg ulcer]', ${seed} = {[sclerotherapy]}? \\ Nothing [else]."
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    ulcer, sclerotherapy = (next(row for row in rows if row[1] == name) for name in ("leg_ulcer", "sclerotherapy"))
    assert ulcer[0] == "leg ulcer" and ulcer[2] == "3" and "surgery > " in ulcer[4] and ulcer[5] == "forget"
    assert sclerotherapy[5] == "kept"
    assert "no concept in this text" in duolearn("hierarchy", "find", "Nothing else.").stdout


def test_check(duolearn, tmp_path):
    embedded = duolearn("hierarchy", "check")
    assert embedded.returncode == 0
    for said in ("medical4: 18,148 concepts, no problems", "clinical core", "22 roots", "25 subjects mapped"):
        assert said in embedded.stdout
    (tmp_path / "own.tsv").write_text(OWN)
    own = duolearn("hierarchy", "check", "hierarchy.path=own.tsv")
    assert own.returncode == 0 and "film (line 4): 'x ray' in a text means knife" in own.stdout
    (tmp_path / "own.tsv").write_text(OWN + "blade\t3\tfild\tblade\t\t\nx\t1\tfield\tX\t\t\n")
    wrong = duolearn("hierarchy", "check", "hierarchy.path=own.tsv")
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr
    for said in (
        "3 problems",
        "blade (line 5): unknown parent 'fild' (did you mean 'field'?)",
        "the term 'blade'",
        "x (line 6): level 1",
    ):
        assert said in wrong.stderr


def test_import_from_any_source_is_used_again(duolearn, tmp_path):
    (tmp_path / "own.csv").write_text('id,name,up\nA:1,Alpha,\nA:2,"beta, gamma",A:1\nA:3,ALPHA,A:1\n')
    arguments = ["hierarchy=csv", "hierarchy.path=own.csv", "hierarchy.columns.parents=up"]
    done = duolearn("hierarchy", "import", *arguments, "export_path=mine.tsv")
    assert done.returncode == 0, done.stderr
    assert (
        "1 names already belong to an earlier concept" in done.stdout
        and "3 concepts written to mine.tsv" in done.stdout
    )
    shown = duolearn("hierarchy", "show", "beta, gamma", "hierarchy.path=mine.tsv")
    assert shown.stdout.strip() == "beta, gamma  A:2  level 2"
    own = duolearn("hierarchy", "import", *arguments)
    assert own.returncode == 0 and (tmp_path / "hierarchy.tsv").read_text() == (tmp_path / "mine.tsv").read_text()


def test_an_imported_id_or_a_name_is_a_forget_target(duolearn, tmp_path):
    (tmp_path / "own.csv").write_text("id,name,up\nA:1,Surgery in general,\nA:2,hernia,A:1\n")
    own = ["hierarchy=csv", "hierarchy.path=own.csv", "hierarchy.columns.parents=up", "+forget=custom"]
    for word in ("A:1", "surgery IN general"):
        done = duolearn("hierarchy", "show", *own, f'forget.concepts=["{word}"]')
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("[forget]") == 1 and "2 concepts to forget" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shw"], "did you mean 'show'"),
        (["find"], "which text?"),
        (["find", " "], "which text?"),
        (["find", "???"], "text is not set"),
        (["show", "???"], "node is not set"),
        (["show", "surgry"], "did you mean 'surgery'"),
        (["show", "depth=0"], "depth=0: allowed: 1 or more"),
        (["action=shwo"], "did you mean 'show'"),
        (["import", "export_path=."], "this is a folder"),
        (["import", "export_path=no/where.tsv"], "there is no folder no"),
        (["check", "hierarchy=mesh"], "hierarchy.path is not set"),
        (["check", "hierarchy=obo", "hierarchy.path=nowhere.obo"], "nowhere.obo does not exist"),
        (["show", "+forget=custom", "forget.concepts=[General surgry]"], "did you mean"),
        (["show", "hierarchy.roots=[surgry]"], "hierarchy.roots: the hierarchy has no concept 'surgry'"),
    ],
)
def test_mistakes_get_a_message(duolearn, tmp_path, arguments, said):
    done = duolearn("hierarchy", *arguments)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["a=b,c", "'", '"${x}"', "$(x) {y: [z]}", "\\${seed}\\", "help", "-5 mg", "~x", "\n"])
def test_any_text_reaches_the_command(monkeypatch, capsys, text):
    seen = []
    monkeypatch.setattr(command, "_find", lambda display, hierarchy, target, text: seen.append(text))
    status = main(["hierarchy", "find", text, "hierarchy=mental_health4"])
    assert (status, seen) == ((0, [text]) if text.strip() else (2, []))


def test_completion(duolearn):
    def complete(line):
        return duolearn("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line))).stdout

    assert complete("duolearn hi").split() == ["hierarchy"]
    assert complete("duolearn hierarchy ").split() == ["show", "check", "find", "target", "coverage", "import"]
    assert complete("duolearn hierarchy ch").split() == ["check"]
    assert "hierarchy=mesh" in complete("duolearn hierarchy check hierarchy=")
    assert "hierarchy=obo" in complete("duolearn hierarchy hierarchy=")


def test_group_and_command_share_a_name(duolearn):
    done = duolearn("hierarchy", "check", "hierarchy=mental_health4", "--cfg", "job")
    assert done.returncode == 0 and "name: mental_health4" in done.stdout and "command: hierarchy" in done.stdout


def test_a_reader_that_stops_reading_is_no_error(duolearn):
    process = subprocess.Popen(
        [sys.executable, "-m", "duolearn_cli", "hierarchy", "show", "surgery", "depth=4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b"" and process.wait(60) == 0


def test_doctor_counts_the_chosen_hierarchy(duolearn, tmp_path):
    (tmp_path / "own.csv").write_text("id,name\n1,Alpha\n2,alpha\n")
    done = duolearn("doctor", "hierarchy=csv", "hierarchy.path=own.csv")
    assert "csv: 2 concepts; 1 names already belong to an earlier concept" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_run_takes_weights_and_notes_from_the_source(duolearn, tmp_path):
    weights = "hierarchy.level_weights=[1,1,2,0.5]"
    done = duolearn("unlearn", "+forget=anxiety", "hierarchy=mental_health4", weights, *SMALL)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs").glob("*/*")
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    saved = (run / "config.yaml").read_text()
    assert "_target_: duolearn_cli.concepts.sources.embedded.Embedded" in saved
    assert duolearn("evaluate", f"run={run}").returncode == 0


def test_target_says_what_is_forgotten_and_what_is_shared(duolearn):
    done = duolearn("hierarchy", "target", "+forget=surgery")
    assert done.returncode == 0, done.stderr
    assert "4 focused" in done.stdout and "Also under" in done.stdout and "gastroenterology" in done.stdout
    refused = duolearn("hierarchy", "target")
    assert refused.returncode == 2 and "+forget=surgery" in refused.stderr


def test_coverage_tells_how_a_hierarchy_fits_a_data_set(duolearn, tmp_path):
    done = duolearn("hierarchy", "coverage")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[0].startswith("| Subject | n | Concept in question") and rows[2].startswith("| all | ")
    assert any(row.startswith("| Surgery | ") for row in rows)
    assert "rejected rows: none" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_coverage_counts_rows_that_are_no_items():
    rejected = (Rejected("f", 4, "x", "bad_answer", "the key is F"), Rejected("f", 2, "y", "no_options", "one option"))
    again = Rejected("f", 9, "z", "bad_answer", "the key is G")
    found = rejected_table(Loaded((Item("a", "q", ("b", "c"), 0),), (*rejected, again)))
    assert found.title == "Rejected rows: 3"
    assert found.rows == (
        ("bad_answer", "row 4 (id x): the key is F", "2", "50.0"),
        ("no_options", "row 2 (id y): one option", "1", "25.0"),
    )
