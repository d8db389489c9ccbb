"""The Python API runs the commands: same numbers, same folders, same messages, and Hydra stays as it was."""

import ast
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import duolearn_cli
from duolearn_cli import FinishedRun, configure, evaluate, learn, unlearn
from duolearn_cli.config.compose import compose
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.errors import ConfigError, DataError, RunError, UserError
from duolearn_cli.files import PACKAGE, conf_dir, write_json
from duolearn_cli.pipeline.run_folder import Run
from tests.conftest import SMALL

SCORED = ["evaluation.generate_items=0", "evaluation.max_items=8", "evaluation.report=false"]
QUICK = [*SMALL, *SCORED]
FORGET = "+forget=surgery"
ESTIMATE = {"value": 0.9, "low": 0.8, "high": 1.0}
README = (PACKAGE.parent / "README.md").read_text("utf-8")


@pytest.fixture
def here(cache, tmp_path, monkeypatch):
    """An empty working folder, and the cache of the `duolearn` fixture."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUOLEARN_CACHE", str(cache))
    return tmp_path


# What two equal runs may differ in: times, places, and the memory of a process that has run before.
VARYING = ("seconds", "run", "harness", "peak_memory_bytes")


def numbers(node):
    """All values that two equal runs share."""
    if isinstance(node, dict):
        return {key: numbers(value) for key, value in node.items() if key not in VARYING}
    return [numbers(value) for value in node] if isinstance(node, list) else node


def settings(config):
    return {key: value for key, value in OmegaConf.to_container(config).items() if key != "run_dir"}


def test_a_function_runs_the_command_of_its_name(duolearn, here):
    done = duolearn("unlearn", FORGET, "run_dir=command", *QUICK)
    assert done.returncode == 0, done.stderr
    command, run = FinishedRun.read(here / "command"), unlearn("forget=surgery", *QUICK)
    assert run.folder.parent.parent == Path("outputs") and run.report is None and run.adapter == run.folder / "adapter"
    assert numbers(run.metrics) == numbers(command.metrics) and settings(run.config) == settings(command.config)
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert (run.folder / "adapter" / file).read_bytes() == (here / "command" / "adapter" / file).read_bytes()
    scored = evaluate(f"run={run.folder}", "hydra.run.dir=again", *SCORED)
    assert scored.folder == Path("again") and scored.adapter is None
    assert numbers(scored.metrics["models"]["unlearned"]) == numbers(command.metrics["models"]["unlearned"])


@pytest.fixture
def jobs(here, monkeypatch):
    """Jobs that the API has begun, as command and configuration, in place of running them."""
    begun = []
    run = Run.create(compose("unlearn", [FORGET]), [])
    write_json(run.folder / "metrics.json", {"models": {"unlearned": {"scores": {"knowledge_preservation": ESTIMATE}}}})

    def begin(command, config, invocation):
        begun.append((command, config, list(invocation.overrides)))
        return str(run.folder)

    for command in ("unlearn", "evaluate"):
        monkeypatch.setattr(f"duolearn_cli.cli.commands.{command}.run", partial(begin, command))
    return begun


def test_a_typed_configuration_is_what_words_make(jobs):
    config = configure("unlearn", FORGET, "method=npo")
    config.unlearn.epochs = 5
    unlearn(config=config)
    unlearn(FORGET, "method=npo", "unlearn.epochs=5")
    assert jobs[0][:2] == jobs[1][:2] and jobs[0][1] is not config
    assert jobs[1][2] == [FORGET, "method=npo", "unlearn.epochs=5"]


def test_a_schema_that_is_filled_by_hand_is_taken_too(jobs):
    plain = OmegaConf.to_object(configure("unlearn", FORGET))
    assert isinstance(plain, RunConfig)
    unlearn(config=plain)
    assert jobs[0][1] == configure("unlearn", FORGET)


def test_the_readme_runs(jobs):
    (lines,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(lines, {})
    assert [(command, config.split.max_forget) for command, config, _ in jobs] == [("unlearn", 50)]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ([], ConfigError),
        ([FORGET, "seed=-1", "unlearn.epoch=3"], ConfigError),
        ([FORGET, "seed=1", "seed=2"], ConfigError),
        ([FORGET, "method=npo,graddiff"], ConfigError),
        ([FORGET, "-m"], ConfigError),
        ([FORGET, "dataset=local"], DataError),
        (["resume=nowhere"], ConfigError),
        ([FORGET, "adapter=."], RunError),
    ],
)
def test_mistakes_raise_what_the_command_says(duolearn, here, words, kind):
    with pytest.raises(kind) as caught:
        unlearn(*words)
    if "-m" not in words:
        assert duolearn("unlearn", *words).stderr == f"error: {caught.value}\n"
    assert not list(here.rglob("run.json"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: unlearn(FORGET, "--dry-run"), "a dry run leaves nothing to return"),
        (lambda: unlearn(FORGET, "hydra.verbose=true"), "Hydra runs no job of the Python API"),
        (lambda: unlearn("seed=1", config=configure("unlearn", FORGET)), "seed=1: a configuration is given too"),
        (lambda: evaluate(config=configure("unlearn", FORGET)), "a configuration of unlearn"),
        (lambda: learn(FORGET, "resume=."), "only `duolearn unlearn`"),
        (lambda: unlearn(config=changed("resume", ".")), r"give unlearn\('resume=FOLDER'\)"),
        (lambda: unlearn(config=changed("seed", -3)), "seed=-3: allowed: 0 to"),
        (lambda: FinishedRun.read("."), "is not a run folder"),
    ],
)
def test_what_the_api_alone_refuses(here, call, said):
    with pytest.raises(UserError, match=said):
        call()


def changed(name, value):
    config = configure("unlearn", FORGET)
    setattr(config, name, value)
    return config


def test_a_folder_that_holds_something_is_refused(here):
    (here / "full").mkdir()
    (here / "full" / "file").touch()
    for call in (lambda: unlearn(FORGET, "run_dir=full"), lambda: unlearn(config=changed("run_dir", "full"))):
        with pytest.raises(RunError, match="it is not empty"):
            call()


def test_a_run_without_metrics_is_refused(here):
    folder = Run.create(compose("unlearn", [FORGET]), []).folder
    with pytest.raises(RunError, match="this run of `unlearn` is created"):
        FinishedRun.read(folder)


def test_a_run_of_any_age_is_read(here):
    folder = Run.create(compose("unlearn", [FORGET]), []).folder
    (folder / "report.html").touch()
    write_json(folder / "metrics.json", {"schema": 1})
    run = FinishedRun.read(str(folder))
    assert (run.folder, run.report, run.adapter) == (folder, folder / "report.html", None)
    assert run.metrics == {"schema": 1} and run.config.forget.name == "surgery" and "schema" not in repr(run)


def test_groups_of_the_users_own(here):
    (here / "groups" / "forget").mkdir(parents=True)
    shutil.copy(conf_dir() / "forget" / "surgery.yaml", here / "groups" / "forget" / "mine.yaml")
    assert configure("unlearn", "+forget=mine", config_dir=here / "groups").forget.name == "surgery"


def test_a_running_hydra_stays(here):
    (here / "conf").mkdir()
    (here / "conf" / "app.yaml").write_text("x: 1\n")
    with hydra.initialize_config_dir(str(here / "conf"), version_base="1.3", job_name="theirs"):
        assert configure("unlearn", FORGET).seed == 0
        with pytest.raises(ConfigError):
            unlearn(FORGET, "seed=-1")
        assert hydra.compose("app") == {"x": 1}
        assert hydra.compose("app", return_hydra_config=True).hydra.job.name == "theirs"
    configure("unlearn", FORGET)
    assert not GlobalHydra.instance().is_initialized()


def test_importing_is_fast():
    slow = "{'torch', 'transformers', 'hydra', 'omegaconf', 'yaml', 'numpy'} & sys.modules.keys()"
    code = f"import sys, duolearn_cli; assert not {slow}; duolearn_cli.unlearn; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_offers_the_api_and_nothing_that_is_not_there():
    assert set(duolearn_cli.__all__) <= set(dir(duolearn_cli))
    assert all(getattr(duolearn_cli, name) for name in duolearn_cli.__all__)
    with pytest.raises(AttributeError, match="no attribute 'relearn'"):
        _ = duolearn_cli.relearn


def test_nothing_in_the_package_imports_the_api():
    """Else there would be a cycle: the API imports the commands, and they all the rest."""
    importing = [
        path
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "duolearn_cli.cli.api"
    ]
    assert importing == [PACKAGE / "__init__.py"]
