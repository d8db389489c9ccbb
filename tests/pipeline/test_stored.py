"""Answers come back from a run folder as they were."""

import math
from dataclasses import replace

import pytest

from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.perplexity import TextLoss
from duolearn_cli.evaluation.scoring import Answer
from duolearn_cli.evaluation.summary import Levels
from duolearn_cli.pipeline.assessment import Assessment, Written
from duolearn_cli.pipeline.item_files import write_item_files
from duolearn_cli.pipeline.stored import read_stored

ANSWER = Answer(
    id="a#0",
    fact="a",
    heldout=False,
    subject="Surgery",
    topic=None,
    answer=1,
    prediction=0,
    scores=(-0.5, -1.25),
    nll=1.25,
    valid=True,
    recalled=False,
    totals=(-1.0, -2.5),
    tokens=2,
    strength=0.5,
    min_k=-2.0,
    min_k_plus=-0.5,
    compressed=12,
    classes={"target": (1.5, 2)},
)
# U+2028 ends a line for Python, and not for JSON.
WRITTEN = Written("a#0", "a", "forget_train", "one\u2028two", "two", 1.0, None, False)


def folder_of(path, answer=ANSWER):
    assessed = {
        "base": Assessment({"forget_train": [answer], "retain_train": [replace(answer, id="b#0")]}, [WRITTEN], []),
        "target": Assessment({"forget_train": [answer]}, [], [TextLoss(3.5, 4, 20)]),
    }
    write_item_files(path, assessed, Levels({"a#0": 4}, [1, 1, 1, 1]))
    return assessed


def test_answers_come_back(tmp_path):
    written = folder_of(tmp_path)
    found = read_stored(tmp_path)
    assert found.levels == {"a#0": 4}
    for name, one in written.items():
        back = found.assessed[name]
        assert dict(back.answers) == dict(one.answers)
        assert [*back.written] == [*one.written] and [*back.plain] == [*one.plain]


def test_what_json_has_no_number_for_is_not_a_number(tmp_path):
    folder_of(tmp_path, replace(ANSWER, min_k_plus=math.inf))
    assert math.isnan(read_stored(tmp_path).assessed["base"].answers["forget_train"][0].min_k_plus)


@pytest.mark.parametrize("line", ["{}", "[1]", "{", '"text"', "null"])
def test_a_row_that_is_no_answer_is_named(tmp_path, line):
    folder_of(tmp_path)
    path = tmp_path / "predictions.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RunError, match=r"predictions\.jsonl, line 4: this is no row"):
        read_stored(tmp_path)


def test_a_model_without_predictions_is_named(tmp_path):
    folder_of(tmp_path)
    path = tmp_path / "plain.jsonl"
    path.write_text(path.read_text().replace("target", "stranger"))
    with pytest.raises(RunError, match="without predictions: stranger"):
        read_stored(tmp_path)
