"""An exported model keeps its record of requests, and a later request continues it."""

import json
import shutil

import pytest
from omegaconf import OmegaConf

from duolearn_cli.cli.commands.following import follow, places
from duolearn_cli.config.compose import compose
from duolearn_cli.config.unlearning import FEWEST_STEPS
from duolearn_cli.errors import RunError
from duolearn_cli.model.adapter_files import ADAPTER_FILE, HELD_FILE
from duolearn_cli.pipeline.requests import FILE, Chain, inherited, read_chain, weight_files, without_places
from tests.pipeline.verification.test_tampering import flip

NEXT = ("unlearn", "+forget=anxiety", "unlearn.epochs=2", "evaluation.generate_items=0", "runtime.threads=1")


@pytest.fixture
def command(chain_of_two, duolearn, tmp_path):
    """`duolearn` beside a copy of the first run, with the chain's cache."""
    shutil.copytree(chain_of_two / "one", tmp_path / "one")
    return lambda *words: duolearn(*words, DUOLEARN_CACHE=str(chain_of_two / "cache"))


def test_an_exported_adapter_is_continued_as_the_run_is(command, tmp_path):
    assert command("export", "run=one", "export_path=out").returncode == 0
    out, adapter = tmp_path / "out", tmp_path / "one" / "adapter"
    chain = read_chain(out)
    assert chain and chain.entries == read_chain(adapter).entries
    assert weight_files(out) == weight_files(adapter) and set(weight_files(out)) == {ADAPTER_FILE, HELD_FILE}
    assert json.loads((out / FILE).read_text())["files"] == weight_files(out)
    card = (out / "README.md").read_text()
    assert "derived from the forgotten items" in card and "continues it" in card
    plans = [command(*NEXT, f"after={start}", "--dry-run") for start in ("out", "one")]
    assert [plan.returncode for plan in plans] == [0, 0], plans[0].stderr
    # The plan names the model that it begins with; the width of the table follows.
    said = [plan.stdout.replace("one/adapter", "out").replace("─", "").split() for plan in plans]
    assert said[0] == said[1]


def settings_after(folder, *words):
    overrides = ["+forget=trauma", f"after={folder}", *words]
    return follow(compose("unlearn", overrides), overrides).unlearn


def test_a_later_request_takes_the_loop_of_the_first_and_enough_steps(chain_of_two, tmp_path):
    one, two = chain_of_two / "one", chain_of_two / "two"
    default = compose("unlearn", ["+forget=trauma"]).unlearn
    assert (default.epochs, default.batch_size, default.min_steps) == (8, 32, None)
    for folder in (one, two):  # both were made with these settings of the first one
        found = settings_after(folder)
        assert (found.epochs, found.batch_size, found.retain_batch_size) == (2, 8, 8)
        # Whoever gave the passes in the first request gets as many.
        assert (found.learning_rate, found.min_steps) == (default.learning_rate, None)
    found = settings_after(one, "unlearn.batch_size=4", "unlearn.learning_rate=1e-4", "unlearn.epochs=3")
    assert (found.batch_size, found.learning_rate, found.min_steps, found.epochs) == (4, 1e-4, None, 3)
    folder = shutil.copytree(one / "adapter", tmp_path / "adapter")
    (entry,) = json.loads((folder / FILE).read_text())["requests"]
    assert entry.pop("epochs_given")
    Chain([]).then({name: value for name, value in entry.items() if name != "hash"}).write(folder)
    assert settings_after(folder).min_steps == FEWEST_STEPS
    assert settings_after(folder, "unlearn.min_steps=5").min_steps == 5
    # One step at least is no rule.
    assert settings_after(folder, "unlearn.min_steps=1").min_steps == 1
    assert settings_after(folder, "unlearn.epochs=3").min_steps is None


def test_a_later_request_chooses_items_as_the_first_one_did(chain_of_two, tmp_path):
    folder = shutil.copytree(chain_of_two / "one" / "adapter", tmp_path / "adapter")
    (entry,) = json.loads((folder / FILE).read_text())["requests"]
    # As data sets of notes set it.
    entry["target"]["configured"]["by"] = "concepts"
    Chain([]).then({name: value for name, value in entry.items() if name != "hash"}).write(folder)
    for words, by in (([], "concepts"), (["forget.by=either"], "either")):
        overrides = ["+forget=trauma", f"after={folder}", *words]
        assert follow(compose("unlearn", overrides), overrides).forget.by == by


@pytest.mark.slow
def test_a_request_after_an_exported_adapter_gives_the_same_model(command, chain_of_two, tmp_path):
    assert command("export", "run=one", "export_path=out").returncode == 0
    done = command(*NEXT, "after=out", "run_dir=two")
    assert done.returncode == 0, done.stderr
    two = tmp_path / "two" / "adapter" / ADAPTER_FILE
    assert two.read_bytes() == (chain_of_two / "two" / "adapter" / ADAPTER_FILE).read_bytes()
    verified = command("verify", "run=two", "chain=[out]")
    assert verified.returncode == 0 and "out: not checked: there is no record.json" in verified.stdout


def test_without_held_gradients_it_says_so(command, tmp_path):
    assert command("export", "run=one", "export_path=out", "export.held=false").returncode == 0
    assert set(weight_files(tmp_path / "out")) == {ADAPTER_FILE} and read_chain(tmp_path / "out")
    refused = command(*NEXT, "after=out", "--dry-run")
    assert refused.returncode == 2 and "held.safetensors was left out when this adapter was exported" in refused.stderr
    assert command(*NEXT, "after=out", "unlearn.hold=false", "--dry-run").returncode == 0


def test_a_merged_model_is_tied_to_its_record(command, tmp_path):
    assert command("export", "run=one", "format=merged", "export_path=out").returncode == 0
    out = tmp_path / "out"
    assert read_chain(out).entries == read_chain(tmp_path / "one" / "adapter").entries
    (weights,) = weight_files(out)
    assert weights.startswith("model")
    flip(out / weights)
    with pytest.raises(RunError, match=f"{weights} is not the file that request 1 left"):
        read_chain(out)


def test_no_record_names_a_path_and_the_run_folder_still_does(command, tmp_path):
    own = tmp_path / "own.tsv"
    own.touch()
    saved = OmegaConf.load(tmp_path / "one" / "config.yaml")
    saved.hierarchy.path = str(own)
    assert without_places(inherited(saved))["hierarchy"]["path"] is None
    OmegaConf.save(saved, tmp_path / "one" / "config.yaml")
    assert places(tmp_path / "one" / "adapter")["hierarchy.path"] == str(own)
    assert places(tmp_path) == {}
    # A name of the hub is no path here.
    saved.hierarchy.path = "hub/name"
    assert without_places(inherited(saved))["hierarchy"]["path"] == "hub/name"
    assert without_places(inherited(saved), everywhere=True)["hierarchy"]["path"] is None
