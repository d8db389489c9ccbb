"""`duolearn bench` as a user calls it: the files it writes, and when it fails."""

import json
from pathlib import Path

import pytest

from duolearn_cli.benchmarks.speed.memory import peak
from duolearn_cli.cli.commands import bench
from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import RunError
from tests.benchmarks.speed.conftest import OVERRIDES

FEW = ["bench.repeats=1", "bench.evaluate_items=4"]


def perform(tmp_path, *overrides):
    overrides = [*OVERRIDES, *FEW, f"output_dir={tmp_path}", f"cache_dir={tmp_path / 'cache'}", *overrides]
    return bench.run(compose("bench", overrides), Invocation(overrides))


def test_the_files_of_a_run(tmp_path, capsys):
    folder = Path(perform(tmp_path, "bench.only=[method/npo,evaluation/full]"))
    result = json.loads((folder / "bench.json").read_text())
    assert result["schema"] == 1 and result["model"] == "tiny" and result["threads"] == 1 and result["device"] == "cpu"
    assert {"duolearn", "torch", "transformers", "peft"} <= set(result["versions"])
    assert set(result["variants"]) == {
        "plain/lora_text",
        "plain/lora_answer",
        "peer/npo_lora",
        "method/npo",
        "evaluation/forward",
        "evaluation/full",
    }
    assert all(len(one["seconds"]) == 1 for one in result["variants"].values())
    assert "bench.repeats=1" in result["overrides"]
    assert [goal["of"] for goal in result["goals"]] == ["evaluation/full"]
    shown = capsys.readouterr().out
    assert "| method/npo |" in shown and "| peer/npo_lora |" in shown
    assert "| method/npo |" in (folder / "bench.md").read_text()
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == "finished" and folder.name.endswith("-bench-surgery")
    check_comparison(tmp_path, result)


def check_comparison(tmp_path, result):
    """Compared with its own result the command passes; with unreachable ratios it fails, with one line for each."""
    same = tmp_path / "same.json"
    same.write_text(json.dumps(result))
    perform(tmp_path, "bench.only=[method/npo]", f"bench.compare={same}", "bench.tolerance=100")
    result["ratios"] = [one | {"ratio": 1e-6} for one in result["ratios"] if one["of"] == "method/npo"]
    same.write_text(json.dumps(result))
    with pytest.raises(RunError) as caught:
        perform(tmp_path, "bench.only=[method/npo]", f"bench.compare={same}")
    assert caught.value.status == 2
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 and all(line.startswith("method/npo: time is ") for line in lines)
    with pytest.raises(RunError, match="vocabulary 4096, this run of 5000"):
        perform(tmp_path, "bench.only=[method/npo]", f"bench.compare={same}", "bench.vocabulary=5000")


def test_through_the_command_line(duolearn, tmp_path):
    done = duolearn("bench", *OVERRIDES, *FEW, "bench.only=[method/gradient_ascent]")
    assert done.returncode == 0, done.stderr
    assert "| method/gradient_ascent |" in done.stdout and "\x1b" not in done.stdout
    (folder,) = (tmp_path / "outputs").glob("*/*-bench-surgery")
    assert str(folder.relative_to(tmp_path)) in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench.only=[method/npq]"], "did you mean 'method/npo'"),
        (["bench.compare=nowhere.json"], "bench.compare=nowhere.json: no result of `duolearn bench` (No such file"),
        (["bench.repeats=0"], "bench.repeats=0: allowed: 1 or more"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(duolearn, tmp_path, arguments, said):
    done = duolearn("bench", "+forget=surgery", *arguments)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_lists_the_variants(duolearn, tmp_path):
    done = duolearn("bench", "+forget=surgery", "--dry-run")
    assert done.returncode == 0, done.stderr
    for name in ("peer/npo_full", "method/duolearn", "private/both_seeded", "2 x plain/lora_text"):
        assert name in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_is_measured_in_a_fresh_process(workbench):
    memory = peak(workbench.study.config, "plain/lora_answer")
    assert memory["peak_bytes"] >= memory["before_bytes"] > 0
    with pytest.raises(RunError, match="the process of no/such failed"):
        peak(workbench.study.config, "no/such")
