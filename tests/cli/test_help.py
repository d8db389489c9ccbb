"""``duolearn help``, ``duolearn list`` and ``duolearn COMMAND --help``: every setting and option explains itself."""

import shlex

import pytest

from duolearn_cli.__main__ import COMMANDS, main
from duolearn_cli.cli import launch
from duolearn_cli.cli.help import EXAMPLES
from duolearn_cli.cli.settings_help import matching
from duolearn_cli.config.catalogue import catalogue, settings_of
from duolearn_cli.config.presets import composed
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.files import groups
from tests.conftest import own_method


@pytest.fixture
def said(capsys, monkeypatch):
    """What a command line prints, in a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words):
        assert main(list(words)) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["unlearn.optimizer"],
            ["unlearn.optimizer = AdamW", "    a text; allowed: AdamW, Adam, NAdam, RMSprop, Adagrad, SGD"],
        ),
        (["split.similarity"], ["split.similarity = 0.8", "    a number; allowed: 0.3 to 1"]),
        (["unlearn.rate"], ["unlearn.learning_rate = 0.005  (set by model=tiny)", "    peak learning rate"]),
        (
            ["unlearn.learning_rate", "model=smollm2_135m"],
            ["unlearn.learning_rate = 0.0005  (set by model=smollm2_135m)"],
        ),
        (["unlearn.epochs", "unlearn.epochs=3"], ["unlearn.epochs = 3  (set by unlearn.epochs=3)"]),
        (["forget.name"], ["forget.name = must be set"]),
        (["method.beta"], ["method.beta = 1  (with method=duolearn)"]),
        (["method.beta", "method=npo"], ["method.beta = 0.1  (with method=npo)"]),
        (["method=npo"], ["method.retain = nll  (with method=npo)", "    a text; allowed: nll, kl"]),
        (["dataset.fields.answer"], ["dataset.fields.answer = null  (with dataset=local)"]),
        (["doctor"], ["The command: duolearn doctor --help shows how it is used."]),
        (["truth_ratio.side"], ["measures.truth_ratio.side = forget  (with measure=truth_ratio)"]),
    ],
)
def test_help_on_a_key_shows_value_source_type_range_and_sentence(said, words, lines):
    shown = said("help", *words).splitlines()
    assert all(line in shown for line in lines), "\n".join(shown)


def test_help_on_several_groups_shows_each_of_their_settings(said):
    shown = said("help", "split", "privacy")
    for row in settings_of(RunConfig):
        is_asked = row.key.startswith(("split.", "privacy."))
        assert (f"\n{row.key} = " in f"\n{shown}") == is_asked, row.key
    assert "privacy=none is chosen; others: custom, eps1, eps4, eps8." in shown


def test_a_last_name_alone_names_all_settings_that_end_so():
    assert {row.key for row in matching("learning_rate", catalogue())} == {
        "learn.learning_rate",
        "unlearn.learning_rate",
    }
    assert [row.key for row in matching("unlearn.rate", catalogue())] == ["unlearn.learning_rate"]
    assert matching("nonsense", catalogue()) == []


@pytest.mark.parametrize(
    ("word", "meant"), [("unlern", "'unlearn'"), ("unlearn.epoch_s", "'unlearn.epochs'"), ("optimiser", "optimizer")]
)
def test_an_unknown_key_gets_the_nearest_one(capsys, word, meant):
    assert main(["help", word]) == 2
    found = capsys.readouterr().err
    assert found.startswith(f"error: help {word}: there is no such setting") and meant in found


def test_the_value_of_help_is_that_of_a_run(said):
    found = composed("audit", (), None)
    assert found.values["privacy.epsilon"] == 1 and found.sources["privacy.epsilon"] == "privacy=eps1"
    assert found.sources["command"] == "audit" and "split.similarity" not in found.sources
    assert "privacy.epsilon=1 " in said("audit", "--help")


def test_short_help_shows_what_is_common_and_help_all_every_setting(said):
    short, every = said("unlearn", "--help"), said("unlearn", "--help-all")
    assert "  unlearn.epochs=8 " in short and "unlearn.packing" not in short
    active = [row.key for row in catalogue() if not row.choice or row.choice == "method=duolearn"]
    assert [key for key in active if f"\n{key} = " not in every] == [] and len(active) > 190


def test_every_command_has_settings_that_are_common_to_it_and_no_other_name_is_used():
    used = {command for row in catalogue() for command in row.common}
    assert used == {*COMMANDS}


@pytest.mark.parametrize("group", groups())
def test_a_list_has_one_line_for_each_option(said, monkeypatch, group):
    monkeypatch.setenv("COLUMNS", "400")
    shown = said("list", group)
    for option, text in groups()[group].items():
        assert text and any(line.split()[:1] == [option] for line in shown.splitlines()), option


def test_the_plural_lists_the_same_and_without_a_kind_the_kinds_are_listed(said):
    assert said("list", "methods") == said("list", "method") and said("list", "hierarchies") == said(
        "list", "hierarchy"
    )
    kinds = [line.split()[0] for line in said("list").splitlines()[2:] if line[2] != " "]
    for kind in ("methods", "models", "datasets", "forget", "hierarchies", "measures", "privacy"):
        assert kind in kinds and said("list", kind)
    measures = said("list", "measures")
    assert "forgetting_rate" in measures and "truth_ratio" in measures


def test_options_of_the_users_own_are_listed_with_their_classes_sentence(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, trust = own_method(tmp_path)
    (path,) = (
        (tmp_path / "groups").rglob("mine.yaml") if (tmp_path / "groups").is_dir() else tmp_path.rglob("mine.yaml")
    )
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("#")))
    assert "plugins=[" in said("list", "methods", *folder)
    assert "plugins=[" not in said("list", "methods", *folder, trust)
    assert "method=mine is chosen" in said("help", "method=mine", *folder, trust)


def test_lines_of_help_fit_the_terminal(said, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for words in (["help", "privacy"], ["list", "methods"]):
        assert max(map(len, said(*words).splitlines())) <= 60


# The first example of each command at every test run, all others with the slow tests.
EVERY = [
    pytest.param(line, id=line[:60], marks=[pytest.mark.slow] if place else [])
    for lines in EXAMPLES.values()
    for place, line in enumerate(lines)
]
DRY = [
    line for lines in EXAMPLES.values() for line in lines if "DATE" not in line and ("--dry" in line or "--cfg" in line)
]


@pytest.mark.parametrize("line", EVERY)
def test_examples_are_accepted_but_for_files_that_the_reader_has(line, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUOLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(launch, "_hydra_main", lambda *arguments: None)
    status = main(shlex.split(line)[1:])
    problems = capsys.readouterr().err.splitlines()
    placeholders = ("DATE", "my_adapter", ".jsonl", ".csv", ".pem", "FOLDER", ".xml")
    assert status == (2 if problems else 0)
    assert all(any(name in problem for name in placeholders) for problem in problems), problems


@pytest.mark.slow
@pytest.mark.parametrize("line", DRY)
def test_dry_examples_run(duolearn, line):
    done = duolearn(*shlex.split(line)[1:])
    assert done.returncode == 0 and done.stdout, done.stderr
