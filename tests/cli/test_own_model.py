"""A model of the user's own as the target (learn.skip), through the public command, on the tiny model."""

import json
import shutil

import pytest

from duolearn_cli.files import ASSETS, conf_dir
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
    assert own["base_rates"]["unseen"]["target"]["n"] == 2
    assert "Forgetting against gold (%): needs gold" in " ".join(said.split()) and "There is no gold" in said
    page = (folder / "report.md").read_text()
    assert "Forgetting against gold (%): needs gold" in page and "The given model: what it knew" in page
    # Nothing was learned: the cached target is an adapter that adds zeros.
    assert not (folder / "history.jsonl").read_text().count('"learn"')
    (entry,) = json.loads((folder / "adapter" / "requests.json").read_text())["requests"]
    assert entry["inherited"]["learn"]["skip"] is True and entry["inherited"]["learn"]["gold"] is None
    assert entry["metrics"]["forgetting_against_gold"]["value"] is None
    # What was written agrees with itself, and the run is scored again with the same models.
    checked = duolearn("verify", "run=own")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    limits = [text for text in ASKED if text.startswith("evaluation.")]
    again = duolearn("evaluate", "run=own", *limits, "run_dir=again")
    assert again.returncode == 0, again.stderr
    assert metrics_of(folder.parent / "again")["models"] == metrics["models"]


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_adapter_of_the_users_own_is_the_target_of_a_chain(run, duolearn, tmp_path):
    """It was taught by others, so no run of ours says what it has forgotten."""
    taught = last(*ASKED, "learn.skip=false", "learn.epochs=2", "evaluation.generate_items=0")
    taught = [text for text in taught if not text.startswith("unlearn.")]
    done = duolearn("learn", *taught, "run_dir=taught")
    assert done.returncode == 0, done.stderr
    shutil.copytree(tmp_path / "taught" / "adapter", tmp_path / "mine")
    first, _ = run("first", "adapter=mine")
    metrics = metrics_of(first)
    assert set(metrics["models"]) == {"base", "target", "unlearned"}
    assert metrics["models"]["target"] == metrics_of(tmp_path / "taught")["models"]["target"]
    again = [text for text in ASKED if text.startswith(("unlearn.", "evaluation."))]
    asked = ["+forget=custom", "forget.name=animals", "forget.concepts=[animals]", *again]
    done = duolearn("unlearn", "after=first", *asked, "run_dir=second")
    assert done.returncode == 0, done.stderr
    (row,) = metrics_of(tmp_path / "second")["requests"]
    trained = metrics["models"]["target"]["splits"]["forget_train"]["accuracy"]["value"]
    assert row["accuracy"]["original"]["value"] == trained


@pytest.mark.slow
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
    counts = metrics["data"]["known_facts"]["forget"]
    assert f"the target knows {counts['known']} of {counts['facts']} facts to forget" in said and counts["facts"] == 20
    assert metrics["data"]["forget_train"] == 2 * counts["known"]
    assert metrics["data"]["forget_unknown"] == 2 * (20 - counts["known"])
    assert f"knew {counts['known']} of 20 facts to forget; the others were left out" in " ".join(said.split())
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    trained = [row for row in rows if row["model"] == "target" and row["split"] == "forget_train"]
    assert all(row["correct"] == 1 for row in trained) and trained
    assert metrics["own_model"]["base_rates"]["unknown"]["unlearned"]["n"] == 12  # evaluation.max_items


@pytest.mark.slow
@pytest.mark.parametrize("method", [path.stem for path in (conf_dir() / "method").glob("*.yaml")])
def test_every_method_unlearns_a_given_model(run, method):
    folder, _ = run("own", f"method={method}")
    assert metrics_of(folder)["models"]["unlearned"]["scores"]["knowledge_preservation"]["n"] == 24


@pytest.mark.slow
def test_attacks_and_privacy_need_no_gold(run, duolearn, tmp_path):
    folder, said = run("own", "privacy=eps8", "privacy.protect=forget", "split.max_forget=40")
    assert "Privacy covers what unlearning tells" in " ".join(said.split())
    done = duolearn("audit", "robustness", f"run={folder}", "audit.robustness.attacks=[relearn]", "run_dir=attacked")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "attacked" / "robustness.json").read_text())
    assert set(found["before"]) == {"target", "unlearned"}
    assert all(attack["above_gold"]["forget"] is None for attack in found["attacks"])


@pytest.mark.slow
def test_a_benchmark_compares_methods_on_a_given_model(duolearn, tmp_path):
    given = ["benchmark.methods=[npo,graddiff]", "benchmark.trials=1", "benchmark.seeds=[0]", "split.max_forget=20"]
    done = duolearn("benchmark", *last(*ASKED, *given), "run_dir=compared")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "compared" / "benchmark.json").read_text())
    assert set(found["methods"]) == {"npo", "graddiff"} and "gold" not in found["references"]


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
