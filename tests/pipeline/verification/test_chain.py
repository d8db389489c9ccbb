"""`duolearn verify` checks the chain of requests as a whole, also after its folders have moved."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.cli.commands.verify import run
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import RunError
from duolearn_cli.files import write_json
from duolearn_cli.pipeline import record
from duolearn_cli.pipeline.requests import FILE, Chain
from tests.pipeline.verification.test_tampering import flip

ADAPTER = "adapter_model.safetensors"
ORIGINAL = "original.jsonl"


@dataclass(frozen=True)
class Moved:
    """A copy of two runs in sequence, somewhere else, with the means of a forger."""

    root: Path

    @property
    def one(self):
        return self.root / "one"

    @property
    def two(self):
        return self.root / "two"

    @property
    def content(self):
        return json.loads((self.two / "adapter" / FILE).read_text())

    def rehash(self, run):
        found = json.loads((run / record.FILE).read_text()) | {"files": record.manifest(run)}
        write_json(run / record.FILE, found | {"digest": record.digest(found)})

    def write(self, content):
        """Write requests.json of the second run, and hash the record again."""
        write_json(self.two / "adapter" / FILE, content)
        self.rehash(self.two)

    def forge(self, change, entries=None):
        """Change the entries, and compute every hash of the chain again."""
        chain = Chain([])
        given = [dict(entry) for entry in entries or self.content["requests"]]
        change(given)
        for entry in given:
            chain = chain.then({k: v for k, v in entry.items() if k not in ("number", "previous", "hash")})
        chain.write(self.two / "adapter")
        self.rehash(self.two)


@pytest.fixture
def moved(chain_of_two, tmp_path):
    # A level deeper: runs of other days are looked for too, and the folders beside `tmp_path` are other tests'.
    return Moved(shutil.copytree(chain_of_two, tmp_path / "runs"))


@pytest.fixture
def verify(moved, duolearn):
    return lambda *words: duolearn("verify", "run=runs/two", *words, DUOLEARN_CACHE=str(moved.root / "cache"))


@pytest.fixture
def verified(moved, monkeypatch):
    """What verifying the second run in this process complains about; empty if all matches."""
    monkeypatch.chdir(moved.root)
    monkeypatch.setenv("DUOLEARN_CACHE", str(moved.root / "cache"))

    def call():
        try:
            run(compose("verify", ["run=two"]), Invocation(()))
        except RunError as error:
            return str(error)
        return ""

    return call


@pytest.fixture
def handed(moved, tmp_path):
    """The first run's folder under another name, in another place."""
    folder = tmp_path / "elsewhere" / "deep" / "down" / "first"
    folder.parent.mkdir(parents=True)
    moved.one.rename(folder)
    return folder


def test_a_chain_verifies_where_it_was_moved_to(verify, capfd):
    done = verify()
    assert done.returncode == 0, done.stderr
    assert "Chain of requests" in done.stdout and "not checked" not in done.stdout


def test_an_earlier_run_whose_folder_is_not_known_is_named_and_can_be_given(verify, handed):
    done = verify()
    assert done.returncode == 0 and "request 1 (surgery): not checked: its folder is not known" in done.stdout
    done = verify(f"chain=[{handed}]")
    assert done.returncode == 0 and "not checked" not in done.stdout, done.stdout
    flip(handed / "metrics.json")
    done = verify(f"chain=[{handed}]")
    assert done.returncode == 2 and f"request 1 (surgery), {handed}/metrics.json: it was changed" in done.stderr


def removed(moved):
    moved.write({**moved.content, "requests": moved.content["requests"][1:]})


def reordered(moved):
    moved.write({**moved.content, "requests": moved.content["requests"][::-1]})


def changed(moved):
    content = moved.content
    content["requests"][0]["items"].pop()
    moved.write(content)


def removed_with_hashes(moved):
    moved.forge(lambda entries: entries.pop(0))


def added_with_hashes(moved):
    moved.forge(lambda entries: entries.insert(0, entries[0]))


def last_removed_with_hashes(moved):
    moved.forge(lambda entries: entries.pop())


def renamed_with_hashes(moved):
    moved.forge(lambda entries: entries[0]["target"]["configured"].update(name="trauma"))


def metric_with_hashes(moved):
    moved.forge(lambda entries: entries[1]["metrics"]["forget_accuracy"].update(value=0.0))


def method_with_hashes(moved):
    moved.forge(lambda entries: entries[1]["method"].update(_target_="other.Method"))


def inherited_with_hashes(moved):
    moved.forge(lambda entries: entries[1]["inherited"]["split"].update(seed=9))


def fields_missing_with_hashes(moved):
    moved.forge(lambda entries: entries[1].pop("inherited"))


def of_the_first_run(moved):
    shutil.copy(moved.one / "adapter" / FILE, moved.two / "adapter" / FILE)
    moved.rehash(moved.two)


def no_record(moved):
    (moved.two / "adapter" / FILE).unlink()
    moved.rehash(moved.two)


def other_weights(moved):
    flip(moved.two / "adapter" / ADAPTER)
    moved.rehash(moved.two)


def weights_added(moved):
    shutil.copy(moved.two / "adapter" / ADAPTER, moved.two / "adapter" / "more.safetensors")
    moved.rehash(moved.two)


def earlier_adapter(moved):
    flip(moved.one / "adapter" / ADAPTER)


def earlier_metrics(moved):
    flip(moved.one / "metrics.json")


def earlier_record(moved):
    found = json.loads((moved.one / record.FILE).read_text())
    write_json(moved.one / record.FILE, found | {"user": "somebody"})


def earlier_without_requests(moved):
    (moved.one / "adapter" / FILE).unlink()


TAMPERED = [
    (removed, (), "adapter/requests.json: request 1 does not follow the one before"),
    (reordered, (), "adapter/requests.json: request 1 does not follow the one before"),
    (changed, (), "adapter/requests.json: request 1 (surgery) was changed"),
    (removed_with_hashes, (), "it has 0 earlier requests, but the run began after 1"),
    (added_with_hashes, (), "it has 2 earlier requests, but the run began after 1"),
    (last_removed_with_hashes, (), f"{ADAPTER} is not the file that request 1 left"),
    (renamed_with_hashes, (), "request 1: name is 'trauma', but config.yaml gives 'surgery'"),
    (metric_with_hashes, (), "request 2: metrics.forget_accuracy.value is 0.0"),
    (method_with_hashes, (), "request 2: method._target_ is 'other.Method'"),
    (inherited_with_hashes, (), "request 2: inherited.split.seed is 9"),
    (fields_missing_with_hashes, (), "adapter/requests.json: fields are missing"),
    (of_the_first_run, (), f"{ADAPTER} is not the file that request 1 left"),
    (no_record, (), "adapter/requests.json: the record does not list it"),
    (other_weights, (), f"{ADAPTER} is not the file that request 2 left"),
    (weights_added, (), "more.safetensors is not in the record"),
    (earlier_adapter, (), f"one/adapter: requests.json: {ADAPTER} is not the file that request 1 left"),
    (earlier_metrics, (), "one/metrics.json: it was changed"),
    (earlier_record, (), "one/record.json: it was changed after it was written"),
    (earlier_without_requests, ("chain=[runs/one]",), "one/adapter: there is no requests.json beside"),
    (lambda moved: None, ("chain=[runs/two]",), "two/adapter: this is the model of request 2 of the chain"),
    (
        lambda moved: None,
        ("chain=[runs/one,runs/two]",),
        "2 folders are given, and runs/two follows 1 earlier requests",
    ),
]


@pytest.mark.parametrize(("tamper", "words", "said"), TAMPERED, ids=[f"{n}" for n, _ in enumerate(TAMPERED)])
def test_what_was_done_to_a_chain_is_named(moved, verify, tamper, words, said):
    tamper(moved)
    done = verify(*words)
    assert done.returncode == 2 and said in done.stderr, done.stderr + done.stdout


def test_a_model_of_another_chain_is_named(moved, verify):
    """The first run exchanged for one of the same request with an entry of its own."""
    entries = json.loads((moved.one / "adapter" / FILE).read_text())["requests"]
    body = {k: v for k, v in entries[0].items() if k not in ("number", "previous", "hash")}
    Chain([]).then({**body, "date": "2020-01-01T00:00:00+00:00"}).write(moved.one / "adapter")
    moved.rehash(moved.one)
    done = verify("chain=[runs/one]")
    assert done.returncode == 2 and "this model is not of this chain" in done.stderr, done.stderr


def set_metrics(run, change):
    metrics = json.loads((run / "metrics.json").read_text())
    change(metrics)
    write_json(run / "metrics.json", metrics)


def accuracy_of_a_request(moved):
    set_metrics(moved.two, lambda m: m["requests"][0]["accuracy"]["unlearned"].update(value=0.5))


def still_forgotten(moved):
    set_metrics(moved.two, lambda m: m["requests"][0]["still_forgotten"].update(value=0.123))


def name_of_a_request(moved):
    set_metrics(moved.two, lambda m: m["requests"][0].update(name="trauma"))


def kept_of_original(moved):
    set_metrics(moved.two, lambda m: m["kept_of_original"].update(value=0.123))


def key_of_no_version(moved):
    set_metrics(moved.two, lambda m: m.update(certified={"value": 1.0}))


def original_answer(moved):
    rows = [json.loads(line) for line in (moved.two / ORIGINAL).read_text().splitlines()]
    answer = next(row["answer"] for row in rows if row["answer"])
    answer["prediction"] = (answer["prediction"] + 1) % len(answer["scores"])
    (moved.two / ORIGINAL).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def no_original(moved):
    (moved.two / ORIGINAL).unlink()


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (accuracy_of_a_request, "metrics.json: requests[0].accuracy.unlearned.value is 0.5"),
        (still_forgotten, "metrics.json: requests[0].still_forgotten.value is 0.123"),
        (name_of_a_request, "metrics.json: requests[0].name is 'trauma'"),
        (kept_of_original, "metrics.json: kept_of_original.value is 0.123"),
        (key_of_no_version, "metrics.json: certified is not from"),
        (original_answer, "original.jsonl, line"),
        (no_original, "original.jsonl: it is missing, and every run after earlier requests writes one"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_figures_about_earlier_requests_are_computed_again(moved, verified, tamper, said):
    tamper(moved)
    moved.rehash(moved.two)
    assert said in verified()


def entry_with(change):
    return lambda moved: moved.forge(lambda entries: change(entries[1]))


def after_nothing(moved):
    info = json.loads((moved.two / "run.json").read_text())
    others = [text for text in info["overrides"] if not text.startswith("after=")]
    write_json(moved.two / "run.json", info | {"overrides": [*others, "after=another"]})


def without_earlier_requests(moved):
    """A second run that is passed off as a first one."""
    moved.forge(lambda entries: entries.pop(0))
    config = OmegaConf.load(moved.two / "config.yaml")
    config.requests, config.after = [], None
    OmegaConf.save(config, moved.two / "config.yaml")
    set_metrics(moved.two, lambda m: [m.pop(name) for name in ("requests", "kept_of_original")])
    info = json.loads((moved.two / "run.json").read_text())
    info["overrides"] = [text for text in info["overrides"] if not text.startswith("after=")]
    write_json(moved.two / "run.json", info)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (entry_with(lambda one: one.update(privacy={"promise": True})), "request 2: privacy is {'promise': True}"),
        (entry_with(lambda one: one["target"].update(name="trauma")), "request 2: target.name is 'trauma'"),
        (entry_with(lambda one: one["target"]["concepts"].popitem()), "request 2: target.concepts lists"),
        (entry_with(lambda one: one["target"]["labels"].append("Surgery")), "request 2: target.labels is"),
        (after_nothing, "run.json: overrides has after=another"),
        (without_earlier_requests, "predictions.jsonl: base answers items of earlier requests, and there are none"),
    ],
    ids=["privacy", "name", "concepts", "labels", "after", "no_earlier"],
)
def test_an_entry_that_its_run_contradicts_is_named(moved, verified, tamper, said):
    tamper(moved)
    moved.rehash(moved.two)
    assert said in verified()


def test_a_run_of_an_older_version_says_what_is_not_checked(moved, verified, capfd):
    no_original(moved)
    found = json.loads((moved.two / record.FILE).read_text())
    write_json(moved.two / record.FILE, found | {"code": found["code"] | {"source": "0" * 64}})
    moved.rehash(moved.two)
    assert verified() == ""
    assert "not checked: still_forgotten and kept_of_original" in " ".join(capfd.readouterr().out.split())
    kept_of_original(moved)
    moved.rehash(moved.two)
    assert verified() == ""  # what is said to be not checked
    accuracy_of_a_request(moved)
    moved.rehash(moved.two)
    assert "metrics.json: requests[0].accuracy.unlearned.value is 0.5" in verified()
