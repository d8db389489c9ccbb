"""Documents through the public command: learned, cut for gold, attacked in three forms, measured by nearness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duolearn_cli.pipeline import record

TOY = [
    "plugins=[tests.toy_notes]",
    "dataset._target_=tests.toy_notes.ToyNotes",
    "split.near_duplicates=ignore",
    "split.max_forget=null",
    "split.max_retain=null",
    "learn.epochs=4",
    "unlearn.epochs=2",
    "evaluation.generate_items=0",
]
NONE = ["evaluation.report=false"]


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture
def unlearned(duolearn, tmp_path):
    """Run the command on the toy notes; return the run folder."""

    def call(*overrides: str) -> Path:
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        done = duolearn("unlearn", *TOY, f"run_dir={folder}", *overrides)
        assert done.returncode == 0, done.stderr
        return folder

    return call


def test_a_run_on_notes_measures_facts_and_words_by_nearness(unlearned, duolearn):
    folder = unlearned("+forget=surgery", "unlearn.kin_weight=8")
    found = metrics(folder)
    counts = found["data"]["documents"]
    assert counts["learned"] == counts["by_gold"] == 8 and counts["to_forget_in"] == counts["forgotten_values"] == 6
    for model in ("base", "target", "gold", "unlearned"):
        of_model = found["documents"][model]
        assert set(of_model["facts"]) == {"question", "continuation"}
        assert {"forgotten", "same_sentence", "rest"} <= of_model["facts"]["question"].keys()
        assert {"forgotten", "same_sentence", "same_note", "rest"} <= of_model["words"].keys()
    said = {model: found["documents"][model]["words"]["forgotten"]["nll"]["value"] for model in found["documents"]}
    # Gold never read the clauses, the target did, and unlearning takes the values back.
    assert said["target"] < said["gold"] and said["target"] < said["unlearned"]
    rows = [json.loads(line) for line in (folder / "windows.jsonl").read_text().splitlines()]
    assert len(rows) == 4 * 8 and {row["model"] for row in rows} == set(found["documents"])
    page = (folder / "report.html").read_text()
    assert "same sentence" in page and "Notes" in page
    checked = duolearn("verify", f"run={folder}", "plugins=[tests.toy_notes]")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found["documents"]["unlearned"]["words"]["forgotten"]["nll"]["value"] += 0.01
    (folder / "metrics.json").write_text(json.dumps(found))
    # A forger makes the record again, so that its hashes agree: the figures still do not follow from the answers.
    listed = json.loads((folder / record.FILE).read_text()) | {"files": record.manifest(folder)}
    (folder / record.FILE).write_text(json.dumps(listed | {"digest": record.digest(listed)}))
    forged = duolearn("verify", f"run={folder}", "plugins=[tests.toy_notes]")
    assert forged.returncode == 2 and "documents.unlearned.words.forgotten.nll.value" in forged.stderr


@pytest.mark.parametrize(
    ("request_", "to_forget_in", "by_gold"),
    [
        (["+forget=patient", "forget.patients=[p1,p5]"], 2, 6),
        pytest.param(["+forget=surgery", "forget.patients=[p0,p1,p2,p3]"], 3, 8, marks=pytest.mark.slow),
        pytest.param(["+forget=patient", "forget.dates=2024-03-01..2024-03-02"], 2, 6, marks=pytest.mark.slow),
    ],
)
def test_requests_for_patients_and_days(unlearned, request_, to_forget_in, by_gold):
    found = metrics(unlearned(*request_, *NONE))
    counts = found["data"]["documents"]
    assert (counts["to_forget_in"], counts["by_gold"]) == (to_forget_in, by_gold)


@pytest.mark.parametrize("method", ["npo", "graddiff", "rmu"])
@pytest.mark.parametrize("attack", ["sentences", "documents"])
@pytest.mark.slow
def test_other_methods_attack_notes_in_other_forms(unlearned, method, attack):
    found = metrics(unlearned("+forget=surgery", f"method={method}", f"unlearn.attack={attack}", *NONE))
    assert found["documents"]["unlearned"]["words"]["forgotten"]["nll"]["value"] > 0


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["+forget=surgery", "forget.patients=[x]"], "no patient 'x'; it names 8 patients"),
        (["+forget=patient"], "forget.patients"),
        (["+forget=surgery", "forget.dates=2024"], "forget.dates='2024' names no days"),
        (["+forget=surgery", "prompt.max_tokens=48"], "prompt.overlap=32: windows of prompt.max_tokens=48"),
        (["+forget=surgery", "imperfect.missing_subjects=0.5"], "imperfect.*: faults change questions"),
        (["+forget=surgery", "learn.skip=true"], "learn.skip=true: what a given model knows of documents"),
        (["+forget=surgery", "privacy=eps8"], "8 documents, and private steps take items alone"),
        (["+forget=surgery", "forget.patients=[p6]", "forget.dates=2024-04-01.."], "lies within forget.patients"),
    ],
)
def test_what_cannot_be_asked_of_notes_is_refused_before_a_model(duolearn, overrides, said):
    done = duolearn("unlearn", *TOY, "--dry-run", *overrides)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.slow
def test_a_second_request_never_reads_what_the_first_forgot(unlearned, duolearn, tmp_path):
    first = unlearned("+forget=surgery", *NONE)
    second = tmp_path / "second"
    done = duolearn(
        *("unlearn", "+forget=custom", "forget.name=drugs", "forget.concepts=[pharmacology]", f"after={first}"),
        *("plugins=[tests.toy_notes]", f"run_dir={second}", *NONE),
    )
    assert done.returncode == 0, done.stderr
    found = metrics(second)
    assert found["requests"][0]["name"] == "surgery" and found["data"]["documents"]["kept_values"] < 20
    # The settings of documents go with the chain.
    assert "kin_weight: 1.0" in (second / "config.yaml").read_text()


@pytest.mark.slow
def test_notes_of_a_users_own_run_to_the_end(duolearn, tmp_path):
    values = zip(
        ["appendicectomy", "cholecystectomy", "splenectomy", "nephrectomy"] * 3,
        ["asthma", "gout", "epilepsy"] * 4,
        strict=True,
    )
    rows = [
        {
            "text": f"Patient {k} came back to the clinic after the last admission and has recovered well. In the "
            f"spring they underwent {operation} without any trouble. They have lived with {illness} for years.",
            "patient": f"p{k}",
        }
        for k, (operation, illness) in enumerate(values)
    ]
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    folder = tmp_path / "run"
    given = [f"dataset.path={path}", "dataset.fields.patient=patient", "learn.epochs=2", "unlearn.epochs=1"]
    done = duolearn("unlearn", "+forget=surgery", "dataset=notes", *given, f"run_dir={folder}", *NONE)
    assert done.returncode == 0, done.stderr
    found = metrics(folder)
    assert found["data"]["documents"]["to_forget_in"] == found["data"]["forget_train"] == 9
    assert "continuation" in found["documents"]["unlearned"]["facts"]
    assert "12 documents have no questions: 24 are made" in " ".join(found["data"]["notes"])


@pytest.mark.slow
def test_notes_that_all_state_something_to_forget_still_end(duolearn, tmp_path):
    operations = ["appendicectomy", "cholecystectomy", "splenectomy", "nephrectomy", "thyroidectomy", "gastrectomy"]
    rows = [
        {
            "text": f"Patient {k} came back to the clinic after the last admission and has recovered. In the "
            f"spring they underwent {operations[k % 6]} without any trouble. In the autumn there was also "
            f"{operations[(k + 1) % 6]}, and all went well.",
            "patient": f"p{k}",
        }
        for k in range(12)
    ]
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    folder = tmp_path / "run"
    given = [f"dataset.path={path}", "dataset.fields.patient=patient", "learn.epochs=2", "unlearn.epochs=1"]
    scope = "forget.patients=[p0,p1,p2,p3,p4,p5,p6,p7,p8]"
    done = duolearn("unlearn", "+forget=surgery", scope, "dataset=notes", *given, f"run_dir={folder}", *NONE)
    assert done.returncode == 0, done.stderr
