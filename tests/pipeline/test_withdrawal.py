"""duolearn withdraw: what must be done again without a request, what it costs, and doing it."""

import json
import shlex
import shutil

import pytest

from duolearn_cli.pipeline.requests import read_chain


@pytest.fixture
def command(chain_of_two, duolearn, tmp_path):
    # A level deeper: runs of other days are looked for too, and the folders beside `tmp_path` are other tests'.
    shutil.copytree(chain_of_two, tmp_path / "runs")
    return lambda *words: duolearn(*words, DUOLEARN_CACHE=str(tmp_path / "runs" / "cache"))


def commands(done):
    return [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("duolearn ")]


def test_without_the_first_request_the_later_one_is_the_first(command):
    done = command("withdraw", "run=runs/two", "request=surgery")
    assert done.returncode == 0, done.stderr
    ((_, name, *words),) = commands(done)
    assert name == "unlearn" and "+forget=anxiety" in words and "run_dir=runs/two-without-surgery" in words
    # What its target has learned is as in the chain; what is forgotten is not.
    assert {"split.max_forget=8", "split.max_retain=60", "learn.epochs=2"} <= set(words)
    assert not any(word.startswith(("after=", "+forget=surgery")) for word in words)
    assert "together about" in done.stdout and "nothing has been run" in done.stdout


def test_without_the_last_request_nothing_is_done_again(command):
    done = command("withdraw", "run=runs/two", "request=2")
    assert done.returncode == 0 and not commands(done)
    assert "/runs/one/adapter" in done.stdout and "nothing to do again" in done.stdout


def test_a_chain_of_one_goes_back_to_its_target(command):
    ((_, name, *words),) = commands(command("withdraw", "run=runs/one", "request=surgery"))
    assert name == "learn" and "run_dir=runs/one-without-surgery" in words and "+forget=surgery" in words


@pytest.mark.slow
def test_the_commands_are_run_after_a_yes(command, tmp_path):
    done = command("withdraw", "run=runs/two", "request=surgery", "yes=true")
    assert done.returncode == 0, done.stderr
    chain = read_chain(tmp_path / "runs" / "two-without-surgery" / "adapter")
    assert chain and chain.names == ["anxiety"]
    metrics = json.loads((tmp_path / "runs" / "two-without-surgery" / "metrics.json").read_text())
    assert not metrics.get("requests")
    again = command("withdraw", "run=runs/two", "request=surgery", "yes=true")
    assert again.returncode == 0 and "two-without-surgery is finished already" in again.stdout


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
