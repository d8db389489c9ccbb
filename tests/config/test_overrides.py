"""Command lines: nothing that is typed is dropped without a word."""

import json

import pytest

from duolearn_cli.cli import launch
from duolearn_cli.config.explain import explain
from duolearn_cli.config.overrides import choices, parsed_overrides, problems, with_own_names
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.pipeline.run_folder import Run, check_run_folder


def said(*overrides, multirun=False):
    return "\n".join(problems(parsed_overrides(overrides), multirun))


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["seed=1", "seed=2"], ["seed is given twice: seed=1 and seed=2", "-m seed=1,2"]),
        (["seed=1,2", "seed=3,4"], ["seed=1,2 and seed=3,4", "-m seed=1,2,3,4"]),
        (["seed=1", "++seed=2"], ["seed=1 and ++seed=2", "-m seed=1,2"]),
        (["seed=1", "seed=1"], ["seed=1 and seed=1; leave one of them out."]),
        (["seed=1,2", "+seed=3"], ["seed=1,2 and +seed=3", "-m seed=1,2,3"]),
        (["+forget=surgery", "+forget=anxiety"], ["forget is given twice", "-m +forget=surgery,anxiety"]),
        (["seed=range(1,3)", "seed=4"], ["seed=range(1,3) and seed=4; leave one of them out."]),
        (["split={seed: 1}", "split.seed=2"], ["split.seed is given twice"]),
        (["split={seed: 1},{seed: 2}", "split.seed=2"], ["split.seed is given twice"]),
        (["forget.concepts=[a]", "forget.concepts=[b]"], ["leave one of them out."]),
        (["~benchmark.search.npo", "~benchmark.search.npo"], ["given twice"]),
        (["hydra.sweep.dir=a", "hydra.sweep.dir=b"], ["hydra.sweep.dir is given twice"]),
    ],
)
def test_a_key_given_twice_is_refused_with_both_values(overrides, parts):
    found = said(*overrides, multirun=True)
    assert all(part in found for part in parts), found


@pytest.mark.parametrize("overrides", [["seed=1", "~seed"], ["~seed", "seed=1"], ["~seed", "~seed=1"], ["~seed"]])
def test_what_cannot_be_taken_out_gets_one_message_each(overrides):
    found = said(*overrides).splitlines()
    assert len(found) == sum(text.startswith("~") for text in overrides)
    assert all("nothing can be taken out" in line for line in found)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1,1", "seed=1,1: 1 is listed twice, which is the same job again; give seed=1."),
        ("seed=choice(1,2,1)", "1 is listed twice, which is the same job again; give -m seed=1,2."),
        ("seed=int(1.5,1.7)", "1 is listed twice"),
        ("+forget=surgery,anxiety,surgery", "surgery is listed twice, which is the same job again; give -m +forget=s"),
        ("split={seed: 1},{seed: 1}", "{seed:1} is listed twice"),
    ],
)
def test_a_value_that_a_sweep_lists_twice_is_refused(override, message):
    assert message in said(override, multirun=True)
    assert said("seed=1,2,11", "method=glob(n*)", multirun=True) == ""


@pytest.mark.parametrize("name", ["run_dir", "hydra.run.dir", "resume", "adapter"])
def test_a_folder_without_a_name_is_refused(name):
    for value in ("", "' '"):
        with pytest.raises(ConfigError, match=r"the folder has no name; give .*=FOLDER, or leave it out"):
            launch.check_jobs("unlearn", ["+forget=surgery", *with_own_names([f"{name}={value}"])], False, None)
    launch.check_jobs("unlearn", ["+forget=surgery", *with_own_names([f"{name}=null"])], False, None)


def test_what_is_given_once_is_taken():
    assert (
        said("seed=1", "split.seed=1", "split={max_forget: 3}", "+forget=surgery", "model=tiny", "model.path=x") == ""
    )
    # Hydra's way to replace: take out, then put in.
    assert said("~benchmark.search.npo", "+benchmark.search.npo={method.beta: [1]}") == ""


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("hydra.output_subdir=.hydra", "config.yaml and run.json"),
        ("hydra.job.chdir=true", "paths count from the folder"),
        ("hydra.mode=MULTIRUN", "-m"),
        ("hydra.searchpath=[file:///x]", "--config-dir FOLDER"),
        ("hydra/help=default", "text of its own"),
        ("hydra.runtime.cwd=x", "no effect here; what has: hydra.run.dir"),
        ("~hydra.run.dir", "hydra.run.dir=FOLDER"),
        ("hydra.sweep.dir=x", "only a sweep has this; add -m"),
        ("hydra/launcher=joblib", "only a sweep has this; add -m"),
        ("~labels", "nothing can be taken out"),
    ],
)
def test_settings_of_hydras_without_effect_are_refused(override, part):
    assert said(override).startswith(f"{override}: ") and part in said(override)


def test_settings_of_hydras_with_effect_are_taken():
    swept = ("hydra.sweep.dir=x", "hydra.sweep.subdir=y", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    always = (
        "hydra.verbose=true",
        "hydra/job_logging=stdout",
        "+hydra.job.env_set.X=1",
        "~hydra.callbacks.sweep_table",
    )
    assert said(*swept, *always, "hydra.sweeper.max_batch_size=2", multirun=True) == said(*always) == ""
    assert "a folder each; give hydra.sweep.dir=FOLDER" in said(*with_own_names(["hydra.run.dir=x"]), multirun=True)


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("method=glob(n*)", ["method=npo"]),
        ("method=glob([n*,g*],exclude=gr*)", ["method=npo"]),
        ("+forget=glob(*x*)", ["+forget=anxiety"]),
        ("seed=choice(1,2,1)", ["seed=1", "seed=2"]),
        ("seed=range(1,7,step=3)", ["seed=1", "seed=4"]),
        ("seed=sort(3,1)", ["seed=1", "seed=3"]),
        ("seed=sort(range(1,3),reverse=true)", ["seed=2", "seed=1"]),
        ("seed=tag(a,choice(1,2))", ["seed=1", "seed=2"]),
        ("seed=int(1.5,2.5)", ["seed=1", "seed=2"]),
    ],
)
def test_every_way_to_list_values_is_understood(sweep, values):
    assert choices(parsed_overrides([sweep]), None) == [values]


def test_shuffled_values_are_all_there():
    ((first, second),) = choices(parsed_overrides(["seed=shuffle(1,2)"]), None)
    assert {first, second} == {"seed=1", "seed=2"}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("method=glob(zz*)", "this sweep has no value; method has: duolearn, "),
        ("seed=glob(*)", "glob chooses among the options of a group; allowed: ablation, dataset"),
        ("seed=choice(", "choice"),
    ],
)
def test_a_sweep_without_values_is_refused(sweep, message):
    with pytest.raises(ConfigError) as caught:
        choices(parsed_overrides([sweep]), None)
    assert message in str(caught.value)


def test_an_interval_needs_a_sweeper_that_draws():
    assert "give learn.learning_rate=0.1,1 or" in said("learn.learning_rate=interval(0.1,1)", multirun=True)
    assert said("learn.learning_rate=interval(0.1,1)", "hydra/sweeper=optuna", multirun=True) == ""


def test_a_word_without_a_value_is_explained():
    error = ValueError("Error parsing override 'surgery' missing EQUAL at '<EOF>'")
    assert explain(error, "surgery", []) == "surgery: a setting is KEY=VALUE; did you mean +forget=surgery?"
    assert explain(error, "npo", []).endswith("did you mean method=npo?")


def test_a_run_folder_of_the_users_own_is_new_or_empty(tmp_path):
    check_run_folder(tmp_path / "new")
    check_run_folder(tmp_path)
    (tmp_path / "file").write_text("x")
    for place, said_so in ((tmp_path / "file", "that is a file"), (tmp_path, "it is not empty")):
        with pytest.raises(RunError, match=said_so):
            check_run_folder(place)
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "command": "unlearn"}))
    with pytest.raises(RunError, match=f"duolearn unlearn resume={tmp_path}"):
        check_run_folder(tmp_path)


def test_hydra_run_dir_is_exactly_the_run_folder_of_one_run(tmp_path):
    from duolearn_cli.config.compose import compose

    overrides = ["+forget=surgery", *with_own_names([f"hydra.run.dir={tmp_path}/mine"])]
    launch.check_jobs("unlearn", overrides, False, None)
    config = compose("unlearn", overrides)
    assert Run.create(config, overrides).folder == tmp_path / "mine"
    with pytest.raises(RunError, match="it is not empty"):
        Run.create(config, overrides)
    with pytest.raises(ConfigError, match="makes no run folder"):
        compose("hierarchy", [f"run_dir={tmp_path}/other"])


def test_a_sweep_goes_into_a_new_folder_only(tmp_path):
    (tmp_path / "run").mkdir()
    overrides = ["+forget=surgery", "seed=1,2", f"hydra.sweep.dir={tmp_path}"]
    with pytest.raises(ConfigError, match="there is something already"):
        launch.check_jobs("unlearn", overrides, True, None)
    (tmp_path / "run").rmdir()
    launch.check_jobs("unlearn", overrides, True, None)
