"""A merged model with its record as the start of the next request, through the public command."""

import json
import shutil

import pytest

from duolearn_cli.files import ASSETS
from tests.conftest import last

COMMON = ["unlearn.epochs=1", "unlearn.batch_size=8", "evaluation.max_items=12", "evaluation.quick_items=2"]
FIRST = last(
    "dataset=everyday",
    "+forget=custom",
    "forget.name=geography",
    "forget.concepts=[geography]",
    "split.max_forget=6",
    "split.max_retain=40",
    "learn.epochs=1",
    "evaluation.generate_items=0",
    *COMMON,
)


@pytest.fixture
def chain(duolearn, tmp_path):
    """Call the command and return its run folder's metrics; the first request and its merged export are made here."""
    shutil.copytree(ASSETS / "tiny", tmp_path / "base")

    def call(*words):
        done = duolearn(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    model = ["model=local", "model.path=base", "model.name=mine", "model.adapter.rank=8"]
    call("unlearn", *FIRST, *model, "run_dir=first")
    call("export", "run=first", "format=merged", "export_path=merged")
    return call


def after(folder, name, *words):
    asked = ["+forget=custom", f"forget.name={name}", f"forget.concepts=[{name}]", "evaluation.generate_items=0"]
    return ["unlearn", f"after={folder}", *asked, *COMMON, *words, f"run_dir={name}"]


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
def test_a_chain_goes_on_from_a_merged_model_and_its_adapter(chain, duolearn, tmp_path):
    said = chain(*after("merged", "animals", "model.path=base"))
    assert "Hold the gradients of 1 earlier requests anew" in said
    metrics = metrics_of(tmp_path / "animals")
    assert set(metrics["models"]) == {"target", "gold", "unlearned"} and metrics["own_model"]["gold"] == "given"
    (row,) = metrics["requests"]
    first = metrics_of(tmp_path / "first")["models"]
    # What was known at first is told of the first target, and what the merged model knows is what the first run left.
    assert row["accuracy"]["original"]["value"] == first["target"]["splits"]["forget_train"]["accuracy"]["value"]
    assert row["accuracy"]["target"]["value"] == first["unlearned"]["splits"]["forget_train"]["accuracy"]["value"]
    entries = json.loads((tmp_path / "animals" / "adapter" / "requests.json").read_text())["requests"]
    assert [one["target"]["name"] for one in entries] == ["geography", "animals"]
    assert entries[1]["merged"] == json.loads((tmp_path / "merged" / "requests.json").read_text())["files"]
    # The next request takes the adapter, and finds the merged model that it belongs on.
    chain(*after("animals", "food"))
    metrics = metrics_of(tmp_path / "food")
    assert [row["name"] for row in metrics["requests"]] == ["geography", "animals"]
    # Another model than that one is refused.
    refused = duolearn(*after("animals", "words", "model.path=base"))
    assert refused.returncode == 2 and "is not the merged model that the adapter of animals" in refused.stderr


@pytest.mark.slow
def test_without_the_first_base_a_chain_goes_on_and_says_what_is_missing(chain, tmp_path):
    shutil.rmtree(tmp_path / "base")
    said = chain(*after("merged", "animals"))
    assert "the base that the first request began with is not on this machine" in " ".join(said.split())
    metrics = metrics_of(tmp_path / "animals")
    assert set(metrics["models"]) == {"target", "unlearned"} and metrics["own_model"]["gold"] is None
    assert "original" not in metrics["requests"][0]["accuracy"]
    assert metrics["models"]["unlearned"]["scores"]["forgetting_against_gold"]["value"] is None


@pytest.mark.slow
def test_a_changed_merged_model_is_refused(chain, duolearn, tmp_path):
    with (tmp_path / "merged" / "model.safetensors").open("ab") as file:
        file.write(b" ")
    refused = duolearn(*after("merged", "animals"))
    assert refused.returncode == 2 and "model.safetensors is not the file that request 1 left" in refused.stderr
