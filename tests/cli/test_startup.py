"""The imports and the first output at start-up. Imports are counted, not seconds: the machine may be busy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from duolearn_cli.__main__ import COMMANDS
from duolearn_cli.config.compose import compose
from duolearn_cli.files import ASSETS
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.requests import write_requests
from duolearn_cli.pipeline.run_folder import Run
from tests.conftest import SMALL, last

MODELS = ("torch", "transformers", "peft", "accelerate")
# Runs the command lines of its arguments, each ended by a semicolon, in this process; tells what was imported.
PROBE = """
import sys
from duolearn_cli.__main__ import main
line = []
for word in sys.argv[1:]:
    if word != ";":
        line.append(word)
        continue
    status = main(line)
    assert status == 0, (line, status)
    line = []
print("imported:", *sys.modules)
"""
# Runs a command line in a process that cannot import the library that is its first argument.
WITHOUT = """
import sys
from duolearn_cli.__main__ import main

missing = sys.argv[1]

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == missing:
            raise ImportError(f"there is no {name}")

sys.meta_path.insert(0, Missing())
sys.exit(main(sys.argv[2:]))
"""


def imported(folder, cache, *lines):
    """The modules that a fresh process has imported after it ran each command line."""
    done = python(folder, cache, PROBE, *(word for line in lines for word in (*line, ";")))
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("imported: ")[2].split())


def without(library, folder, cache, *line):
    """What a command line does in a fresh process that cannot import a library."""
    return python(folder, cache, WITHOUT, library, *line)


def python(folder, cache, code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"DUOLEARN_CACHE": str(cache)},
    )


@pytest.fixture
def finished(tmp_path):
    """The folder of a finished run, as far as a dry run looks."""
    config = compose("unlearn", last("+forget=surgery", f"output_dir={tmp_path}/out", *SMALL, "split.max_retain=60"))
    run = Run.create(config, [])
    run.update(status="finished")
    (run.folder / "adapter").mkdir()
    (run.folder / "adapter" / "adapter_model.safetensors").touch()
    write_requests(prepare(config), run.folder / "adapter", {"models": {"unlearned": {"scores": {}}}})
    return run.folder


def test_help_imports_nothing_that_takes_time(tmp_path, cache):
    found = imported(tmp_path, cache, ["--help"], ["list"], ["list", "forget"], ["--version"])
    slow = {*MODELS, "hydra", "yaml", "numpy", "rich", "duolearn_cli.config.compose"}
    assert not slow & found


def test_help_on_settings_needs_the_schema_but_no_model(tmp_path, cache):
    lines = [["help", "unlearn", "method.beta"], ["list", "measures", "methods"], ["unlearn", "--help-all"]]
    found = imported(tmp_path, cache, *lines, *([command, "--help"] for command in COMMANDS))
    assert "duolearn_cli.config.schema" in found
    assert not {*MODELS, "numpy", "rich"} & found


@pytest.mark.parametrize(
    "lines",
    [
        [
            ["unlearn", "+forget=surgery", "--dry-run"],
            ["unlearn", "+forget=surgery", "method=npo", "model=qwen2_5_0_5b", "model.path=FOLDER", "--dry-run"],
            ["unlearn", "+forget=surgery", "-m", "method=duolearn,graddiff", *SMALL, "--dry-run"],
            ["learn", "+forget=anxiety", *SMALL, "--dry-run"],
            ["retrain", "+forget=surgery", *SMALL, "--dry-run"],
            ["evaluate", "+forget=surgery", *SMALL, "--dry-run"],
        ],
        [
            ["unlearn", "+forget=surgery", "privacy=eps8", *SMALL, "--dry-run"],
            ["audit", "privacy", "+forget=surgery", "privacy=eps8", *SMALL, "--dry-run"],
            ["evaluate", "run=RUN", "--dry-run"],
            ["audit", "robustness", "run=RUN", "--dry-run"],
            ["export", "run=RUN", "--dry-run"],
            ["purge", "run=RUN", "--dry-run"],
            ["cache"],
            ["unlearn", "resume=RUN", "--dry-run"],
            ["unlearn", "+forget=anxiety", "after=RUN", "--dry-run"],
            ["withdraw", "run=RUN", "request=surgery", "--dry-run"],
        ],
    ],
    ids=["plain", "private, and of a run"],
)
def test_a_dry_run_never_imports_what_only_models_need(tmp_path, cache, finished, lines):
    shutil.copytree(ASSETS / "tiny", tmp_path / "model")
    named = {f"{key}=RUN": f"{key}={finished}" for key in ("run", "resume", "after")}
    named["model.path=FOLDER"] = "model.path=model"
    found = imported(tmp_path, cache, *([named.get(word, word) for word in line] for line in lines))
    assert "duolearn_cli.pipeline.prepare" in found
    assert not found.intersection(MODELS)


def test_a_dry_run_checks_no_less_for_it(duolearn, tmp_path):
    for override, said in {
        "method.geometry.metric=fishy": "method.geometry.metric=fishy",
        "method.unlearn_weight=-1": "method.unlearn_weight",
        "forget.concepts=[surgry]": "did you mean 'surgery'",
        "model.path=nowhere": "nowhere",
    }.items():
        extra = ["model=local"] if "model." in override else []
        done = duolearn("unlearn", "+forget=surgery", *extra, override, "--dry-run")
        assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("numpy", "Read the data (minimed) and the hierarchy (medical4)"),
        ("torch", "Start PyTorch"),
    ],
)
def test_progress_is_told_before_what_takes_time_is_imported(tmp_path, cache, missing, line):
    done = without(missing, tmp_path, cache, "unlearn", "+forget=surgery", *SMALL)
    assert done.returncode != 0 and f"there is no {missing}" in done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("Read the data") and said[-1] == line


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_a_wrong_setting_is_told_before_models_are_imported(tmp_path, cache, missing):
    done = without(missing, tmp_path, cache, "unlearn", "+forget=surgery", "method.bta=1")
    assert done.returncode == 2 and "did you mean 'beta'" in done.stderr, done.stderr


def test_finished_runs_are_listed_reported_and_compared_without_a_model(tmp_path, cache):
    older = Path(__file__).parents[1] / "fixtures" / "before_the_packages" / "finished"
    for name in ("one", "two"):
        shutil.copytree(older, tmp_path / name)
    lines = [["runs", "."], ["report", "run=one"], ["compare", "one", "two"]]
    found = imported(tmp_path, cache, *lines)
    assert "matplotlib" in found and not {*MODELS} & found
