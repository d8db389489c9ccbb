"""The record of requests, the study of a request that follows others, and `after=` through the public command."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from duolearn_cli.config.compose import compose
from duolearn_cli.errors import DataError, RunError
from duolearn_cli.files import file_hash
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.requests import FILE, Chain, patient_hash, read_chain
from duolearn_cli.training.held import FILE as HELD
from tests.chain_of_two import FIRST
from tests.conftest import last


def following(forget, *before, **settings):
    """The study of a request after others, with the limits of `FIRST`."""
    given = (f"{key}={value}" for key, value in settings.items())
    config = compose("unlearn", last(f"+forget={forget}", *FIRST[1:], *given))
    config.requests = [compose("unlearn", [f"+forget={name}"]).forget for name in before]
    return prepare(config)


def facts(items):
    return {item.fact_id for item in items}


def test_a_later_request_divides_what_the_first_target_learned():
    first, second = prepare(compose("unlearn", FIRST)), following("anxiety", "surgery")
    learned = facts((*first.splits.forget_train, *first.splits.retain_train))
    surgery, anxiety = facts(first.splits.forget_train), facts(second.splits.forget_train)
    assert anxiety and anxiety <= facts(first.splits.retain_train)
    assert facts(second.splits.retain_train) == learned - surgery - anxiety - second.sides.forget
    # What was never learned stays unseen.
    assert facts(second.splits.forget_unseen) <= facts(first.splits.retain_unseen)
    assert facts(second.earlier) == surgery and second.requests[0].name == "surgery"
    assert not facts(second.training_items("gold")) & (surgery | anxiety)
    third = following("trauma", "surgery", "anxiety")
    assert facts(third.earlier) == surgery | anxiety and [one.name for one in third.requests] == ["surgery", "anxiety"]
    assert not facts(third.splits.retain_train) & (surgery | anxiety)


def test_a_fact_of_two_requests_counts_for_the_later_one():
    again = following("surgery", "surgery")
    assert not again.earlier and again.requests[0].facts == frozenset()
    assert facts(again.splits.forget_train) == facts(prepare(compose("unlearn", FIRST)).splits.forget_train)


def test_what_the_target_never_learned_cannot_be_forgotten():
    with pytest.raises(DataError, match="has learned none of its"):
        following("trauma", "surgery", **{"split.max_retain": 2, "split.seed": 1})


def test_a_second_request_keeps_the_record_and_tells_of_the_first(chain_of_two):
    chain = read_chain(chain_of_two / "two" / "adapter")
    assert chain is not None and chain.names == ["surgery", "anxiety"]
    first = read_chain(chain_of_two / "one" / "adapter")
    assert first is not None and list(first.entries) == list(chain.entries)[:1]
    metrics = json.loads((chain_of_two / "two" / "metrics.json").read_text())
    (row,) = metrics["requests"]
    assert row["name"] == "surgery" and row["items"] == len(chain.entries[0]["items"])
    assert set(row["accuracy"]) == {"original", "base", "target", "gold", "unlearned"}
    assert "What earlier requests forgot" in (chain_of_two / "two" / "report.md").read_text()
    assert metrics["kept_of_original"]["n"] == metrics["models"]["unlearned"]["scores"]["knowledge_preservation"]["n"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["requests"].pop(0), "request 1 does not follow the one before"),
        (lambda c: c["requests"].reverse(), "request 1 does not follow the one before"),
        (lambda c: c["requests"][0]["target"].update(name="other"), "request 1.* was changed"),
        (lambda c: c["requests"][1]["metrics"].clear(), "request 2.* was changed"),
        (lambda c: c["requests"].pop(), "adapter_model.safetensors is not the file that request 1 left"),
        (lambda c: c.update(schema=9), "is of schema 9"),
        (lambda c: c.update(requests=[]), "cannot be read"),
    ],
)
def test_tampering_is_named(chain_of_two, tmp_path, change, said):
    folder = Path(shutil.copytree(chain_of_two / "two" / "adapter", tmp_path / "adapter"))
    content = json.loads((folder / FILE).read_text())
    change(content)
    (folder / FILE).write_text(json.dumps(content))
    with pytest.raises(RunError, match=said):
        read_chain(folder)


def test_exchanged_files_are_named(chain_of_two, tmp_path):
    folder = Path(shutil.copytree(chain_of_two / "two" / "adapter", tmp_path / "adapter"))
    shutil.copy(chain_of_two / "one" / "adapter" / HELD, folder / HELD)
    with pytest.raises(RunError, match=r"held\.safetensors is not the file that request 2 left"):
        read_chain(folder)


def test_what_contradicts_the_record_is_refused(chain_of_two, duolearn, tmp_path):
    one = chain_of_two / "one"
    for words, said in (
        (["split.seed=5"], "leave out: split.seed=5"),
        (["forgotten=[surgery]", "adapter=x"], "leave out adapter="),
    ):
        (tmp_path / "x").mkdir(exist_ok=True)
        done = duolearn("unlearn", "+forget=anxiety", f"after={one}", *words)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    bare = Path(shutil.copytree(one, tmp_path / "bare"))
    (bare / "adapter" / FILE).unlink()
    done = duolearn("unlearn", "+forget=anxiety", f"after={bare}")
    assert done.returncode == 2 and "there is no requests.json" in done.stderr
    done = duolearn("evaluate", f"after={one}")
    assert done.returncode == 2 and "only `duolearn unlearn` continues a chain" in done.stderr


def test_a_key_that_cannot_serve_is_known_before_anything_is_read(duolearn, tmp_path):
    (tmp_path / "short").write_bytes(b"secret")
    for path, said in (("nowhere", "the file cannot be read"), ("short", "allowed: 16 or more")):
        done = duolearn("unlearn", "+forget=surgery", f"patient_key={path}", "--dry-run")
        assert done.returncode == 2 and said in done.stderr and not done.stdout, done.stderr


def test_patients_are_hashed_with_the_users_key():
    one, other = patient_hash("p1", b"k" * 16), patient_hash("p1", b"q" * 16)
    assert one != other and one == patient_hash("p1", b"k" * 16) and "p1" not in one


def test_a_chain_is_hashed_over_all_before():
    chain = Chain([]).then({"target": {"name": "a"}}).then({"target": {"name": "b"}})
    assert chain.entries[1]["previous"] == chain.entries[0]["hash"] and chain.entries[1]["number"] == 2


@pytest.mark.slow
def test_rehearsed_items_join_the_steps_of_a_later_request(chain_of_two, duolearn, tmp_path):
    words = ["+forget=trauma", "unlearn.epochs=1", "evaluation.generate_items=0", f"after={chain_of_two / 'two'}"]
    steps = {}
    for rehearse in (0, 4):
        run = tmp_path / str(rehearse)
        done = duolearn("unlearn", *words, f"unlearn.rehearse={rehearse}", "unlearn.batch_size=8", f"run_dir={run}")
        assert done.returncode == 0, done.stderr
        lines = (run / "history.jsonl").read_text().splitlines()
        steps[rehearse] = [row for row in map(json.loads, lines) if row.get("stage") == "unlearn"]
    # As many steps, each with other forget items.
    assert len(steps[0]) == len(steps[4]) > 0
    assert all(one != other for one, other in zip(steps[0], steps[4], strict=True))


def test_nothing_is_rehearsed_without_earlier_requests(duolearn):
    done = duolearn("unlearn", "+forget=surgery", "unlearn.rehearse=4", "--dry-run")
    assert done.returncode == 2 and "without after=RUN there are no earlier requests" in done.stderr


def test_a_figure_without_a_value_does_not_break_the_chain(tmp_path):
    """It is NaN in memory and null in the file."""
    save_file({"a": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    digest = file_hash(tmp_path / "adapter_model.safetensors")
    entry = {"target": {"name": "a"}, "metrics": {"mia_score": {"value": math.nan}}, "adapter": digest, "held": None}
    Chain([]).then(entry).write(tmp_path)
    assert read_chain(tmp_path).entries[0]["metrics"]["mia_score"]["value"] is None
