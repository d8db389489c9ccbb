"""A saved run is not trusted: its configuration is checked like any other."""

import pytest
from omegaconf import OmegaConf

from duolearn_cli.cli.commands.common import refuse_changes, reopen, with_changes
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import RunError
from duolearn_cli.files import write_text
from duolearn_cli.pipeline.run_folder import Run

CHANGEABLE = (("run", "evaluation"), "that run")


@pytest.fixture
def folder(tmp_path):
    """A run folder as `duolearn unlearn` leaves it."""
    return Run.create(compose("unlearn", ["+forget=surgery", f"output_dir={tmp_path}/out"]), []).folder


def change(folder, **values):
    """Set dotted keys of the saved configuration."""
    config = OmegaConf.load(folder / "config.yaml")
    for key, value in values.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    OmegaConf.save(config, folder / "config.yaml")


def test_a_sound_run_is_opened(folder):
    run, config = reopen(folder, ["resume=x", "dry_run=true"])
    assert run.folder == folder and config == Run.open(folder)[1]


def test_settings_of_an_earlier_version_are_found_where_they_are_now(folder):
    now = Run.open(folder)[1]
    saved = OmegaConf.load(folder / "config.yaml")
    for node in ("inspect", "hierarchy_view"):
        del saved[node]
    saved = OmegaConf.merge(
        saved, {"item": None, "scores": False, "action": "show", "node": None, "text": None, "depth": 3}
    )
    OmegaConf.save(saved, folder / "config.yaml")
    _, config = reopen(folder)
    assert config.hierarchy_view.depth == 3
    config.hierarchy_view.depth = now.hierarchy_view.depth
    assert config == now


@pytest.mark.parametrize("text", ["seed: [", "typo: 1", "seed: many", "- a\n- b", "just words", "model: 3", "\x00"])
@pytest.mark.parametrize("open_run", [Run.open, reopen])
def test_a_broken_configuration_is_named(folder, text, open_run):
    (folder / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=r"config\.yaml") as caught:
        open_run(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_a_broken_run_json_is_named(folder):
    for text in ("{", "[]", "\xff"):
        (folder / "run.json").write_text(text, encoding="latin-1")
        with pytest.raises(RunError, match=r"run\.json"):
            Run.open(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed=-1: allowed: 0 to 9223372036854775807"),
        ({"forget__name": "../../evil"}, "a name is part of a path"),
        ({"method__bta": 1}, "method.bta"),
        ({"method": 3}, "method is not set"),
        ({"dataset___target_": "os.system"}, "os.system"),
        ({"output_dir": "${nope}"}, "output_dir holds an interpolation"),
    ],
)
def test_a_saved_configuration_is_checked(folder, changes, message):
    change(folder, **changes)
    with pytest.raises(RunError, match=message) as caught:
        reopen(folder)
    assert str(folder / "config.yaml") in str(caught.value)


def test_code_named_in_the_file_runs_only_if_asked_for_again(folder, tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemError('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    change(folder, plugins=["planted"], method___target_="planted.Method")
    for overrides in ([], ["plugins=[other]"], ["resume=x"]):
        with pytest.raises(RunError, match=r"add plugins=\[planted\]"):
            reopen(folder, overrides)
    with pytest.raises(RunError, match="it ran"):
        reopen(folder, ["+plugins=[planted]"])


def test_the_models_own_code_runs_only_if_asked_for_again(folder):
    change(folder, model__trust_remote_code=True)
    for overrides in ([], ["model.trust_remote_code=false"]):
        with pytest.raises(RunError, match=r"add model\.trust_remote_code=true"):
            reopen(folder, overrides)
    assert reopen(folder, ["model.trust_remote_code=true"])[1].model.trust_remote_code


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(RunError, match="taken: this is no regular file"):
        write_text(tmp_path / "taken", "text")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "file", "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"


def test_what_a_finished_run_may_be_given_is_told():
    refuse_changes(["run=x", "evaluation.max_items=3", "plugins=[mine]", "model.trust_remote_code=true"], *CHANGEABLE)
    with pytest.raises(RunError) as caught:
        refuse_changes(["run=x", "seed=1", "evaluations=3", "++run=y"], *CHANGEABLE)
    assert str(caught.value) == (
        "that run keeps its own configuration; leave out: seed=1 evaluations=3 ++run=y. "
        "What may change: run, evaluation."
    )


def test_a_limit_that_only_refuses_may_be_given_anew():
    saved = compose("unlearn", ["+forget=surgery"])
    given = compose("unlearn", ["+forget=surgery", "prompt.max_cut=0.5"])
    found = with_changes(saved, "evaluate", given, ("evaluation",), ["prompt.max_cut=0.5"])
    assert (found.command, found.prompt.max_cut) == ("evaluate", 0.5)
    assert with_changes(saved, "evaluate", given, ("evaluation",), []).prompt.max_cut == saved.prompt.max_cut
