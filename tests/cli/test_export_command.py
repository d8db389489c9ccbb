"""duolearn export: what is handed on loads anywhere, answers as the run does, and says what it is."""

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from duolearn_cli.config.schema import PromptConfig
from duolearn_cli.data.readers.minimed import Minimed
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.weights import TINY
from duolearn_cli.privacy.account import Account
from duolearn_cli.privacy.account_summary import summarise
from tests.pipeline.test_older_runs import FIXTURES
from tests.plain_loading import plain_scores
from tests.privacy.test_account import entry

NATS = 1e-4


def option_texts(tokenizer, predictions):
    """Ids and labelled places of every option of every item that the unlearned model answered, and its scores."""
    items = {item.id: item for item in Minimed().load().items}
    encoder = Encoder(tokenizer, PromptConfig(form="cloze"))
    texts, expected = [], []
    for row in map(json.loads, predictions.read_text().splitlines()):
        if row["model"] == "unlearned":
            options = [encoder.encode(items[row["id"]], k) for k in range(len(row["scores"]))]
            texts += [{"ids": list(one.ids), "labels": list(one.labels("answer"))} for one in options]
            expected += row["scores"]
    return texts, expected


def everything_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_both_forms_answer_as_the_run_without_duolearn(finished, command, tmp_path):
    merged = command("export", f"run={finished.run}", "format=merged", "export.max_shard_gb=0.002")
    assert merged.returncode == 0, merged.stderr
    adapter = command("export", f"run={finished.run}", "export_path=handed/on")
    assert adapter.returncode == 0, adapter.stderr
    folders = [tmp_path / "outputs" / "first-merged", tmp_path / "handed" / "on"]
    assert len(list(folders[0].glob("model-*-of-*.safetensors"))) > 1
    texts, expected = option_texts(AutoTokenizer.from_pretrained(folders[1]), finished.run / "predictions.jsonl")
    jobs = [
        {"folder": str(folder), "base": base, "texts": texts}
        for folder, base in zip(folders, ["", str(TINY)], strict=True)
    ]
    assert len(expected) >= 24
    for found in plain_scores(jobs, tmp_path / "plain"):
        assert found == pytest.approx(expected, abs=NATS)
    for folder in folders:
        assert not (folder / "adapter_config.json").exists() or folder == folders[1]
        for name, content in everything_in(folder).items():
            for place in (tmp_path, TINY.parent, Path.home()):
                assert str(place).encode() not in content, f"{name} names {place}"
    left = {path.name for path in (tmp_path / "outputs").iterdir()}
    assert left == {"first", "first-merged"}


def test_the_card_says_what_where_from_and_how_well(finished, command, tmp_path):
    assert command("export", f"run={finished.run}", "export_path=out").returncode == 0
    card, base = (
        (tmp_path / "out" / "README.md").read_text(),
        json.loads((tmp_path / "out/base_model.json").read_text()),
    )
    rates = json.loads((finished.run / "metrics.json").read_text())["models"]["unlearned"]["scores"]["forgetting_rate"]
    low, high = 100 * rates["low"], 100 * rates["high"]
    for said in (
        "Not for clinical use",
        "license: apache-2.0",
        "# tiny without surgery",
        "concepts: surgery",
        f"[{low:.1f}, {high:.1f}]",
        "No privacy guarantee is made",
        "Low accuracy on what was forgotten is no proof",
        base["reference"],
        "PeftModel.from_pretrained(base",
    ):
        assert said in card, said
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base["reference"] == f"tiny@{base['fingerprint']}"
    for name, digest in base["files"].items():
        assert hashlib.sha256((TINY / name).read_bytes()).hexdigest() == digest
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == (
        finished.run / "adapter" / "adapter_model.safetensors"
    ).read_bytes()


def test_an_older_run_is_exported_without_its_path(tmp_path, duolearn):
    older = shutil.copytree(FIXTURES / "finished", tmp_path / "older")
    done = duolearn("export", f"run={older}", "export_path=out")
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny@1ae8b5f68acde4d3"


def test_no_adapter_of_a_run_names_a_path(finished):
    configs = [*finished.run.rglob("adapter_config.json"), *finished.cache.rglob("adapter_config.json")]
    names = {json.loads(path.read_text())["base_model_name_or_path"] for path in configs}
    assert len(configs) >= 4 and names == {"tiny@1ae8b5f68acde4d3"}


def test_an_account_goes_with_the_model_and_the_card_says_what_it_covers(finished, command, tmp_path):
    account = Account("example", 1e-5, 10.0, "pld", (entry(),))
    account.write(finished.run / "adapter")
    metrics = json.loads((finished.run / "metrics.json").read_text())
    (finished.run / "metrics.json").write_text(json.dumps(metrics | {"account": summarise(account)}))
    assert command("export", f"run={finished.run}", "export_path=out").returncode == 0
    own, copied = finished.run / "adapter" / "privacy.json", tmp_path / "out" / "privacy.json"
    assert own.read_bytes() == copied.read_bytes()
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"epsilon = {account.epsilon('retain'):.3g}, delta = 1e-05" in card
    assert "Epsilon does not cover" in card and "`privacy.json`" in card


def test_a_model_without_the_account_that_it_had_goes_nowhere(finished, command, tmp_path):
    (finished.run / "adapter" / "privacy.json").write_text('{"schema": 1}')
    refused = command("export", f"run={finished.run}", "export_path=out")
    assert refused.returncode == 2 and "privacy.json cannot be read" in refused.stderr
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    "which", ["running", "adapter", "taken", "inside", "base", "precision", "kind", "change", "space"]
)
def test_what_cannot_be_exported_is_refused_before_a_model_is_loaded(finished, command, tmp_path, which, monkeypatch):
    words, info = [f"run={finished.run}"], json.loads((finished.run / "run.json").read_text())
    said = {
        "running": "finish it with duolearn unlearn resume=",
        "adapter": "holds no adapter",
        "taken": "there is something already",
        "inside": "inside the run folder",
        "base": "has 1ae8b5f68acde4d3",
        "precision": "export.precision=bf16: an adapter is copied unchanged",
        "kind": "`duolearn evaluate` leaves no model",
        "change": "leave out: seed=3",
        "space": "GB are free",
    }[which]
    if which == "running":
        (finished.run / "run.json").write_text(json.dumps(info | {"status": "interrupted"}))
    elif which == "adapter":
        shutil.rmtree(finished.run / "adapter")
    elif which == "base":
        (finished.run / "run.json").write_text(json.dumps(info | {"weights": "0" * 16}))
    elif which == "kind":
        saved = finished.run / "config.yaml"
        saved.write_text(saved.read_text().replace("command: unlearn", "command: evaluate"))
    elif which == "space":
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    words += {
        "taken": [f"export_path={finished.run.parent}"],
        "inside": [f"export_path={finished.run}/out"],
        "precision": ["export.precision=bf16"],
        "change": ["seed=3"],
    }.get(which, [])
    monkeypatch.setitem(sys.modules, "duolearn_cli.pipeline.export", None)
    done = command("export", *words)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"first"}


def test_a_quantised_base_is_not_merged(finished, command):
    saved = finished.run / "config.yaml"
    saved.write_text(saved.read_text().replace("quantization: none", "quantization: nf4"))
    done = command("export", f"run={finished.run}", "format=merged")
    assert done.returncode == 2 and "format=merged: the run held its base in nf4" in done.stderr
    assert "format=adapter" in done.stderr


def test_a_dry_run_says_what_would_be_written(finished, command, tmp_path):
    done = command("export", f"run={finished.run}", "format=merged", "--dry-run")
    assert done.returncode == 0 and "first-merged, about 0.06 GB" in done.stdout
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"first"}


def test_the_old_form_names_the_new_one(duolearn):
    done = duolearn("export", "export_path=items.jsonl")
    assert done.returncode == 2 and "duolearn data export" in done.stderr


def test_the_erasure_record_is_a_page_of_a_verified_run(finished, command, tmp_path):
    done = command("export", f"run={finished.run}", "format=record", "export_path=office")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "office").iterdir()} == {"erasure.html", "erasure.json"}
    content = json.loads((tmp_path / "office" / "erasure.json").read_text())
    record = json.loads((finished.run / "record.json").read_text())
    metrics = json.loads((finished.run / "metrics.json").read_text())
    (request,) = json.loads((finished.run / "adapter" / "requests.json").read_text())["requests"]
    assert content["verification"]["digest"] == record["digest"] and content["erased"]["target"] == "surgery"
    before = next(row for row in content["results"] if row["model"] == "target")
    assert before["value"] == metrics["models"]["target"]["scores"]["forget_accuracy"]["value"]
    assert [row["hash"] for row in content["requests"]] == [request["hash"]]
    assert {"Chain of requests", "Answers", "Figures"} <= set(content["verification"]["checked"])
    page = (tmp_path / "office" / "erasure.html").read_text()
    for said in ("Erasure record: surgery", "@page", record["digest"], "Chain of requests, Code, data", "not signed"):
        assert said in page, said
    assert "<script" not in page and "Nothing by <code>duolearn purge</code>" in page
    again = command("export", f"run={finished.run}", "format=record", "export_path=office")
    assert again.returncode == 2 and "there is something already" in again.stderr


def test_the_erasure_record_tells_of_a_purge(finished, command, tmp_path):
    assert command("purge", f"run={finished.run}", "yes=true").returncode == 0
    done = command("export", f"run={finished.run}", "format=record")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "outputs" / "first-record" / "erasure.json").read_text())
    (told,) = json.loads((finished.run / "record.json").read_text())["purges"]
    assert content["purge"]["list"] == told["list"] and "target model" in content["purge"]["kinds"]
    assert any("were purged" in sentence for sentence in content["verification"]["not_checked"])
    assert told["list"] in (tmp_path / "outputs" / "first-record" / "erasure.html").read_text()


def test_there_is_no_erasure_record_of_a_run_that_does_not_verify(finished, command, tmp_path):
    (finished.run / "metrics.json").write_text("{}")
    done = command("export", f"run={finished.run}", "format=record", "export_path=office")
    assert done.returncode == 2 and "metrics.json: it was changed" in done.stderr
    assert not (tmp_path / "office").exists()
    listed = command("export", f"run={finished.run}", "format=record", "export_path=office", "--dry-run")
    assert listed.returncode == 0 and "office/erasure.html" in listed.stdout and not (tmp_path / "office").exists()
    for words, said in ((["seed=3"], "leave out: seed=3"), (["export.precision=bf16"], "holds no weights")):
        refused = command("export", f"run={finished.run}", "format=record", *words)
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr


def test_a_failed_export_leaves_nothing(finished, command, tmp_path, monkeypatch):
    from duolearn_cli.pipeline import export

    monkeypatch.setattr(export, "CLOSE", -1.0)
    done = command("export", f"run={finished.run}", "format=merged")
    assert done.returncode == 2 and "nothing was exported" in done.stderr
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"first"}


@pytest.mark.parametrize("format", ["adapter", "merged"])
def test_the_printed_harness_command_runs(finished, command, tmp_path, format, monkeypatch):
    """With a task that lies here instead of those of the hub."""
    pytest.importorskip("lm_eval", reason="needs the extra `eval`")
    done = command("export", f"run={finished.run}", f"format={format}")
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout.partition("lm-evaluation-harness: ")[2].splitlines()[0])
    assert words[0] == "lm_eval"
    rows = [{"question": "Which nerve is at risk? Answer:", "options": [" median", " ulnar"], "answer": 0}] * 3
    (tmp_path / "little.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "little",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "little.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}],
    }
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "little.yaml").write_text(json.dumps(task))
    words[words.index("--tasks") + 1] = "little"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ran = subprocess.run(
        [sys.executable, "-m", *words, "--include_path", "tasks"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    (results,) = tmp_path.glob("lm_eval/**/results_*.json")
    assert "acc,none" in json.loads(results.read_text())["results"]["little"]
