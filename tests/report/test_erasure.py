"""The one-page erasure record: complete, escaped, and only of a run that erased something."""

import json

import pytest

from duolearn_cli.errors import RunError
from duolearn_cli.report.erasure import Verification, erasure_record, write_erasure_record

VERIFIED = Verification("2026-01-02T03:04:05+00:00", True, ["Files (9)"], ["gold model: not checked"], "ab" * 32)
RECORD = {
    "command": "unlearn",
    "forget": "surgery",
    "dataset": "minimed",
    "model": "tiny",
    "base_weights": "12" * 32,
    "models": {},
    "files": {"adapter/adapter_model.safetensors": {"sha256": "34" * 32}},
    "times": {"ended": "2026-01-01T00:00:00+00:00"},
    "user": "records <office>",
    "code": {"version": "0.1.0"},
    "digest": "56" * 32,
}


def estimate(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40, "higher_is_better": None}


METRICS = {
    "forget_subjects": ["Surgery"],
    "method": "DuoLearn",
    "flags": ["Too little is forgotten."],
    "data": {"request": {"forget": 8, "retain": 12}},
    "models": {
        "target": {"scores": {"forget_accuracy": estimate(0.9)}},
        "unlearned": {"scores": {"forget_accuracy": estimate(0.25), "knowledge_preservation": estimate(0.98)}},
    },
}


def test_the_page_says_what_was_erased_measured_and_checked(tmp_path):
    content = erasure_record(RECORD, METRICS, VERIFIED)
    page, other = write_erasure_record(tmp_path / "erasure.html", content)
    text = page.read_text()
    for said in (
        "surgery",
        "90.0",
        "25.0",
        "98.0",
        "34" * 32,
        "12" * 32,
        "56" * 32,
        "ab" * 32,
        "Too little",
        "gold model",
    ):
        assert said in text
    assert "records &lt;office&gt;" in text and "<office>" not in text
    assert json.loads(other.read_text()) == json.loads(json.dumps(content))
    assert "://" not in text and "<script" not in text


def test_earlier_requests_and_purges_are_on_the_page_and_escaped(tmp_path):
    entry = {
        "number": 1,
        "date": "2026-01-01T00:00:00+00:00",
        "hash": "9a" * 32,
        "target": {"name": "<b>gout</b>"},
        "items": ["x"] * 7,
        "patients": {"count": 3},
        "metrics": {"forget_accuracy": estimate(0.5)},
    }
    told = {"date": "2026-02-02", "files": 4, "bytes": 99, "kinds": ["<i>answers</i>"], "list": "7c" * 32, "gone": []}
    content = erasure_record(RECORD | {"purges": [told]}, METRICS, VERIFIED, [entry, {**entry, "number": 2}])
    text = write_erasure_record(tmp_path / "erasure.html", content)[0].read_text()
    for said in (
        "1. &lt;b&gt;gout&lt;/b&gt;",
        "7 items; 50.0",
        "4 files (&lt;i&gt;answers&lt;/i&gt;), 99 bytes",
        "7c" * 32,
    ):
        assert said in text, said
    assert "<b>gout" not in text and "Files (9)" in text and "Nothing by" not in text
    assert content["requests"][1] == {
        "number": 2,
        "target": "<b>gout</b>",
        "date": entry["date"],
        "hash": entry["hash"],
        "items": 7,
        "patients": 3,
        "percent": content["requests"][0]["percent"],
    }


def test_measures_that_a_run_lacks_are_left_out():
    found = erasure_record(RECORD, METRICS, VERIFIED)["results"]
    assert [(row["model"], row["measure"]) for row in found] == [
        ("target", "forget_accuracy"),
        ("unlearned", "forget_accuracy"),
        ("unlearned", "knowledge_preservation"),
    ]


def test_a_run_that_erased_nothing_has_no_page():
    models = {"target": METRICS["models"]["target"]}
    with pytest.raises(RunError, match="nothing was unlearned"):
        erasure_record(RECORD | {"command": "learn"}, METRICS | {"models": models}, VERIFIED)
