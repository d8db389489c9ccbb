"""The command for lm-evaluation-harness, and the reader of its result file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duolearn_cli.errors import RunError
from duolearn_cli.evaluation.lm_eval import command, read_results
from tests.conftest import SMALL

RESULTS = {
    "results": {
        "arc_easy": {
            "alias": "arc_easy",
            "acc,none": 0.25,
            "acc_stderr,none": 0.01,
            "acc_norm,none": 0.3,
            "acc_norm_stderr,none": "N/A",
        }
    }
}


def test_the_command_names_model_adapter_and_tasks():
    words = command("folder of mine", {"gguf_file": "m.gguf", "revision": None}, Path("out/adapter"))
    assert words.startswith(
        "lm_eval --model hf --model_args 'pretrained=folder of mine,gguf_file=m.gguf,peft=out/adapter'"
    )
    assert "peft" not in command("x", {}, None) and "medqa_4options" in words


def test_results_are_read(tmp_path):
    path = tmp_path / "results_1.json"
    path.write_text(json.dumps(RESULTS))
    rows = read_results(path)
    assert rows == [
        {"task": "arc_easy", "metric": "acc", "value": 0.25, "stderr": 0.01},
        {"task": "arc_easy", "metric": "acc_norm", "value": 0.3, "stderr": None},
    ]


@pytest.mark.parametrize("content", ["{", "[]", "{}", json.dumps({"results": {"a": {"alias": "a"}}}), '{"results": 3}'])
def test_another_file_is_refused_with_the_fix(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(RunError, match=r"evaluation\.lm_eval=.*results"):
        read_results(path)


def test_the_report_shows_them_and_a_wrong_file_is_known_before_the_model(duolearn, tmp_path):
    done = duolearn("evaluate", "+forget=surgery", "evaluation.lm_eval=missing.json")
    assert done.returncode == 2 and "evaluation.lm_eval=missing.json" in done.stderr + done.stdout
    assert not (tmp_path / "outputs").exists()
    (tmp_path / "r.json").write_text(json.dumps(RESULTS))
    done = duolearn("evaluate", "+forget=surgery", *SMALL, "evaluation.lm_eval=r.json")
    assert done.returncode == 0, done.stderr
    assert "lm_eval --model hf --model_args pretrained=" in done.stdout
    (run,) = (tmp_path / "outputs").glob("*/*")
    report = (run / "report.md").read_text()
    assert "| arc_easy | acc_norm | 0.3 | — |" in report and "lm_eval --model hf" in report
