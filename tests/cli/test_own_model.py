"""A model of the user's own as the target (learn.skip), through the public command, on the tiny model."""

import json
import shutil

import pytest

from duolearn_cli.files import ASSETS
from duolearn_cli.model.adapter_files import ADAPTER_FILE
from tests.conftest import last

ASKED = last(
    "dataset=everyday",
    "+forget=custom",
    "forget.name=geography",
    "forget.concepts=[geography]",
    "learn.skip=true",
    "split.max_forget=6",
    "split.max_retain=8",
    "split.unseen_fraction=0.1",
    "unlearn.epochs=1",
    "unlearn.batch_size=8",
    "evaluation.max_items=12",
    "evaluation.quick_items=2",
    "evaluation.generate_items=0",
)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture
def run(duolearn, tmp_path):
    """The folder of a finished run with these overrides beside `ASKED`."""

    def call(name, *overrides, command="unlearn"):
        done = duolearn(command, *last(*ASKED, *overrides), f"run_dir={name}")
        assert done.returncode == 0, done.stderr
        return tmp_path / name, done.stdout

    return call


def test_the_model_as_it_stands_is_the_target_and_what_needs_gold_is_null(run, duolearn):
    folder, said = run("own")
    metrics = metrics_of(folder)
    assert set(metrics["models"]) == {"target", "unlearned"}
    missing = metrics["models"]["unlearned"]["scores"]["forgetting_against_gold"]
    assert missing["value"] is None and missing["reason"].startswith("needs gold")
    assert metrics["models"]["unlearned"]["gold"]["reason"] == missing["reason"]
    assert metrics["models"]["unlearned"]["scores"]["knowledge_preservation"]["n"] == 24
    own = metrics["own_model"]
    assert own["gold"] is None and own["known"]["forget"]["facts"] == 6 and own["base_rates"]["chance"] == 0.25
    assert own["base_rates"]["unseen"]["target"]["n"] == 12
    assert "Forgetting against gold (%): needs gold" in " ".join(said.split()) and "There is no gold" in said
    page = (folder / "report.md").read_text()
    assert "Forgetting against gold (%): needs gold" in page and "The given model: what it knew" in page
    # Nothing was learned: the cached target is an adapter that adds zeros.
    assert not (folder / "history.jsonl").read_text().count('"learn"')
    (entry,) = json.loads((folder / "adapter" / "requests.json").read_text())["requests"]
    assert entry["inherited"]["learn"]["skip"] is True and "gold" not in entry["inherited"]["learn"]
    assert entry["metrics"]["forgetting_against_gold"]["value"] is None
    # What was written agrees with itself, and the run is scored again with the same models.
    checked = duolearn("verify", "run=own")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    again = duolearn("evaluate", "run=own", "run_dir=again")
    assert again.returncode == 0, again.stderr
    assert metrics_of(folder.parent / "again")["models"] == metrics["models"]


def test_a_second_request_inherits_the_given_model(run, duolearn, tmp_path):
    run("first")
    done = duolearn(
        "unlearn",
        "after=first",
        "+forget=custom",
        "forget.name=animals",
        "forget.concepts=[animals]",
        *(text for text in ASKED if text.startswith(("unlearn.", "evaluation."))),
        "run_dir=second",
    )
    assert done.returncode == 0, done.stderr
    metrics = metrics_of(tmp_path / "second")
    assert set(metrics["models"]) == {"base", "target", "unlearned"}
    (row,) = metrics["requests"]
    # The original target is the base as it stands.
    assert row["accuracy"]["original"] == row["accuracy"]["base"]


def test_a_given_gold_is_compared_with(run, tmp_path):
    """The tiny model as its own gold: as an adapter that adds zeros, and as a whole model."""
    first, _ = run("first")
    name = json.loads((first / "run.json").read_text())["target_model"]
    whole = shutil.copytree(ASSETS / "tiny", tmp_path / "whole")
    cached = next((tmp_path.parent.parent).rglob(f"{name}/{ADAPTER_FILE}")).parent
    for number, gold in enumerate((cached, whole)):
        folder, _ = run(f"gold{number}", f"learn.gold={gold}")
        metrics = metrics_of(folder)
        assert set(metrics["models"]) == {"target", "gold", "unlearned"}
        gold_scores, target_scores = (metrics["models"][one]["scores"] for one in ("gold", "target"))
        assert gold_scores["forget_accuracy"] == target_scores["forget_accuracy"]
        assert metrics["own_model"]["gold"] == "given"
        assert "reason" not in metrics["models"]["unlearned"]["scores"]["forgetting_against_gold"]


def test_only_known_facts_are_forgotten_and_kept(run):
    folder, said = run("known", "learn.known=true", "learn.known_margin=-99", "split.max_forget=20")
    metrics = metrics_of(folder)
    own = metrics["own_model"]["known"]["forget"]
    assert "the target knows" in said and own["known"] * 2 == metrics["data"]["forget_train"]
    assert metrics["data"]["forget_unknown"] == 2 * (own["facts"] - own["known"])
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    trained = [row for row in rows if row["model"] == "target" and row["split"] == "forget_train"]
    assert all(row["correct"] == 1 for row in trained) and trained
    assert metrics["own_model"]["base_rates"]["unknown"]["unlearned"]["n"] >= metrics["data"]["forget_unknown"] > 0


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("unlearn", ["learn.skip=false", "learn.known=true"], "give learn.skip=true too"),
        ("unlearn", ["learn.gold=nowhere"], "there is no such folder"),
        ("unlearn", ["unlearn.stop=gold"], "there is no gold"),
        ("unlearn", ["unlearn.stop=base"], "the base is the target itself"),
        ("unlearn", ["privacy=custom", "privacy.learn_epsilon=4"], "nothing is learned, and no guarantee"),
        ("unlearn", ["learn.known=true", "privacy=eps8"], "raw answers, outside privacy=eps8"),
        ("learn", [], "does nothing but learn"),
        ("benchmark", ["benchmark.learn_seeds=true"], "nothing is learned"),
    ],
)
def test_what_needs_learning_is_refused_before_anything_is_read(duolearn, command, words, said):
    done = duolearn(command, *last(*ASKED, *words))
    assert done.returncode == 2 and said in done.stderr and not done.stdout, done.stderr
