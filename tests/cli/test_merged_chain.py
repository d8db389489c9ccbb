"""A merged model with its record as the start of the next request, through the public command."""

import json
import shlex
import shutil

import pytest

from duolearn_cli.files import ASSETS
from duolearn_cli.pipeline.requests import read_chain
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
    assert "Hold 2 gradients" in said
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
    assert "the first request's base model is not on this machine" in " ".join(said.split())
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


def steps(done):
    assert done.returncode == 0, done.stderr
    return [shlex.split(line)[1:] for line in done.stdout.splitlines() if line.startswith("duolearn ")]


def without(root, number, name):
    """The folder for the run `food` without a request: its name says which one it is, and of which chain."""
    entry = read_chain(root / "food" / "adapter").entries[number - 1]
    return root / f"food-without-{number}-{name}-{entry['hash'][:8]}"


def without_the_second(duolearn, root, start):
    words, folder = ["withdraw", "run=food", "request=animals"], without(root, 2, "animals")
    ((command, *again),) = steps(duolearn(*words))
    assert command == "unlearn" and f"after={root / start}" in again and f"run_dir={folder.name}" in again
    done = duolearn(*words, "yes=true")
    assert done.returncode == 0, done.stderr
    assert read_chain(folder / "adapter").names == ["geography", "food"]
    assert [row["name"] for row in metrics_of(folder)["requests"]] == ["geography"]
    shutil.rmtree(folder)


@pytest.mark.slow
def test_requests_are_withdrawn_from_a_chain_that_began_with_a_merged_model(chain, duolearn, tmp_path):
    chain(*after("merged", "animals", "model.path=base"))
    chain(*after("animals", "food"))
    # The last request: the adapter before it lies on the merged model.
    last_one = duolearn("withdraw", "run=food", "request=food")
    assert not steps(last_one) and "/animals/adapter" in last_one.stdout.replace("\n", "")
    # The one in the middle: what the first run left is there as an adapter, and once that is gone, merged.
    without_the_second(duolearn, tmp_path, "first/adapter")
    (tmp_path / "not" / "looked").mkdir(parents=True)
    (tmp_path / "first").rename(tmp_path / "not" / "looked" / "first")
    without_the_second(duolearn, tmp_path, "merged")
    (tmp_path / "not" / "looked" / "first").rename(tmp_path / "first")
    # The first: its run has the settings of the target, which is learned by the next request.
    done = duolearn("withdraw", "run=food", "request=geography", "yes=true")
    assert done.returncode == 0, done.stderr
    chain_left = read_chain(without(tmp_path, 1, "geography") / "adapter")
    assert chain_left.names == ["animals", "food"] and "merged" not in chain_left.entries[-1]


@pytest.mark.parametrize("command", ["learn", "retrain"])
def test_only_unlearn_continues_a_chain(duolearn, tmp_path, command):
    (tmp_path / "merged").mkdir()
    refused = duolearn(command, "+forget=surgery", "after=merged")
    assert refused.returncode == 2 and "only `duolearn unlearn` continues a chain" in refused.stderr


@pytest.mark.slow
def test_the_only_request_of_a_given_model_is_withdrawn_by_going_back_to_it(chain, duolearn):
    skip = ["dataset=everyday", "+forget=custom", "forget.name=food", "forget.concepts=[food]", "learn.skip=true"]
    sizes = ["split.max_forget=6", "split.max_retain=40", "evaluation.generate_items=0"]
    model = ["model=local", "model.path=base", "model.name=mine", "model.adapter.rank=8"]
    chain("unlearn", *skip, *sizes, *COMMON, *model, "run_dir=own")
    done = duolearn("withdraw", "run=own", "request=food", "yes=true")
    assert not steps(done) and "began with the model you gave" in " ".join(done.stdout.split())
