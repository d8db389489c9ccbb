"""duolearn withdraw: what must be done again without a request, what it costs, and doing it."""

import json
import shlex
import shutil

import pytest

from duolearn_cli.errors import RunError
from duolearn_cli.pipeline.requests import Chain, read_chain
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.withdrawal import Step, _folder


@pytest.fixture
def command(chain_of_two, duolearn, tmp_path):
    # A level deeper: runs of other days are looked for too, and the folders beside `tmp_path` are other tests'.
    shutil.copytree(chain_of_two, tmp_path / "runs")
    return lambda *words: duolearn(*words, DUOLEARN_CACHE=str(tmp_path / "runs" / "cache"))


def without(root, run):
    """The folder for `run` without the request surgery, from where the command runs."""
    chain = read_chain(root / "runs" / run / "adapter")
    return f"runs/{run}-without-1-surgery-{chain.entries[0]['hash'][:8]}"


def commands(done):
    return [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("duolearn ")]


def test_without_the_first_request_the_later_one_is_the_first(command, tmp_path):
    done = command("withdraw", "run=runs/two", "request=surgery")
    assert done.returncode == 0, done.stderr
    ((_, name, *words),) = commands(done)
    assert name == "unlearn" and "+forget=anxiety" in words and f"run_dir={without(tmp_path, 'two')}" in words
    # What its target has learned is as in the chain; what is forgotten is not.
    assert {"split.max_forget=8", "split.max_retain=60", "learn.epochs=2"} <= set(words)
    assert not any(word.startswith(("after=", "+forget=surgery")) for word in words)
    assert "together about" in done.stdout and "nothing has been run" in done.stdout


def test_without_the_last_request_nothing_is_done_again(command):
    done = command("withdraw", "run=runs/two", "request=2")
    assert done.returncode == 0 and not commands(done)
    assert "/runs/one/adapter" in done.stdout and "nothing to do again" in done.stdout


def test_a_chain_of_one_goes_back_to_its_target(command, tmp_path):
    ((_, name, *words),) = commands(command("withdraw", "run=runs/one", "request=surgery"))
    assert name == "learn" and f"run_dir={without(tmp_path, 'one')}" in words and "+forget=surgery" in words


@pytest.mark.slow
def test_the_commands_are_run_after_a_yes(command, tmp_path):
    done = command("withdraw", "run=runs/two", "request=surgery", "yes=true")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / without(tmp_path, "two")
    chain = read_chain(folder / "adapter")
    assert chain and chain.names == ["anxiety"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert not metrics.get("requests")
    again = command("withdraw", "run=runs/two", "request=surgery", "yes=true")
    assert again.returncode == 0 and f"{folder.name} is finished already" in again.stdout
    # As a run that was interrupted before its last stage.
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"status": "interrupted"}))
    again = command("withdraw", "run=runs/two", "request=surgery", "yes=true")
    assert again.returncode == 0 and "was interrupted and goes on" in again.stdout, again.stderr
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


def test_a_step_knows_its_own_run(tmp_path):
    step = Step("anxiety", "unlearn", ("+forget=anxiety", "seed=1"), tmp_path / "run", None)
    assert step.done_before() is None
    step.folder.mkdir()
    info = {"schema": 1, "command": "unlearn", "status": "interrupted", "overrides": [*step.words, "cache_dir=x"]}
    (step.folder / "run.json").write_text(json.dumps(info))
    assert step.done_before() == "interrupted"
    (step.folder / "run.json").write_text(json.dumps(info | {"overrides": ["+forget=anxiety", "seed=2"]}))
    with pytest.raises(RunError, match="holds another run than this withdrawal needs"):
        step.done_before()


def test_requests_of_one_name_have_folders_of_their_own(tmp_path):
    chain = Chain([])
    for day in "12":
        chain = chain.then({"target": {"name": "surgery"}, "date": day})
    one, two = (_folder(Run(tmp_path / "run"), chain, number).name for number in (1, 2))
    assert one.startswith("run-without-1-surgery-") and two.startswith("run-without-2-surgery-")


@pytest.mark.parametrize("which", ["name", "purged", "unknown folder", "no adapter", "no chain", "changed", "words"])
def test_what_cannot_be_withdrawn_is_refused(command, tmp_path, which):
    words = ["run=runs/two", "request=surgery"]
    said = {
        "name": "the chain has no such request; allowed: 1 (surgery), 2 (anxiety)",
        "purged": "Withdrawing a request needs them",
        "unknown folder": "the run folder of request 1 (surgery) is needed and not known",
        "no adapter": "the run folder of request 1 (surgery) is needed",
        "no chain": "there is no chain of requests",
        "changed": "was changed after it was written",
        "words": "leave out: seed=1",
    }[which]
    if which == "name":
        words[1] = "request=trauma"
    elif which == "purged":
        info = json.loads((tmp_path / "runs" / "one" / "run.json").read_text())
        gone = {"purged": {"date": "2026-01-01", "gone": ["target model"]}}
        (tmp_path / "runs" / "one" / "run.json").write_text(json.dumps(info | gone))
    elif which == "unknown folder":
        shutil.rmtree(tmp_path / "runs" / "one")
    elif which == "no adapter":
        shutil.rmtree(tmp_path / "runs" / "one" / "adapter")
    elif which == "no chain":
        (tmp_path / "runs" / "two" / "adapter" / "requests.json").unlink()
    elif which == "changed":
        path = tmp_path / "runs" / "two" / "adapter" / "requests.json"
        path.write_text(path.read_text().replace('"anxiety"', '"trauma"'))
    elif which == "words":
        words.append("seed=1")
    done = command("withdraw", *words)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_trust_is_never_taken_from_a_recorded_command_line(command, tmp_path):
    path = tmp_path / "runs" / "two" / "run.json"
    info = json.loads(path.read_text())
    info["overrides"] += ["plugins=[evil]", "model.trust_remote_code=true", "hydra.run.dir=/somewhere"]
    path.write_text(json.dumps(info))
    ((_, _, *words),) = commands(command("withdraw", "run=runs/two", "request=surgery"))
    assert not any("evil" in word or "trust" in word or "hydra" in word for word in words)


def test_both_words_are_needed(duolearn):
    done = duolearn("withdraw", "request=surgery")
    assert done.returncode == 2 and "give run=FOLDER" in done.stderr
    assert "only `duolearn withdraw` takes one" in duolearn("verify", "request=surgery").stderr


def test_a_purge_says_beforehand_that_it_ends_this(command):
    done = command("purge", "run=runs/one", "--dry-run")
    assert done.returncode == 0 and "`duolearn withdraw` can take no request out" in done.stdout
