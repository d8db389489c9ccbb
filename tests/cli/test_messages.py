"""What a wrong command line is answered: one line of ours that names the word and the fix, never Hydra's own text."""

import pytest

from duolearn_cli.__main__ import main
from duolearn_cli.cli import launch

TARGET = ["unlearn", "+forget=surgery"]
# What Hydra, argparse and Python say, which means nothing to a user of this command.
RAW = ("usage:", "hydra.cc", "Hydra", "Traceback", "LexerNoViable", "missing EQUAL", "defaults list", "argument --")


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    """The message about a command line that is refused before anything runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "_hydra_main", lambda *arguments: pytest.fail("it would have run"))

    def run(*words):
        assert main(list(words)) == 2
        shown = capsys.readouterr()
        assert not [path for path in tmp_path.iterdir() if path.name != "mine.csv"]
        (line,) = shown.err.splitlines()
        assert line.startswith("error: ") and not [text for text in RAW if text in line], line
        return line.removeprefix("error: ")

    return run


@pytest.mark.parametrize(
    ("words", "first", "meant"),
    [
        (["version"], "'version' is no command", "'duolearn --version'"),
        (["ls"], "'ls' is no command", "'duolearn list'"),
        (["train"], "'train' is no command", "'duolearn learn'"),
        (["config"], "'config' is no command", "'duolearn unlearn --cfg job'"),
        (["models"], "'models' is no command", "'duolearn list models'"),
        (["Unlearn"], "'Unlearn' is no command", "'duolearn unlearn'"),
        (["surgery"], "'surgery' is no command", "'duolearn unlearn +forget=surgery'"),
        (["npo"], "'npo' is no command", "'duolearn unlearn +forget=surgery method=npo'"),
        (["unlern"], "'unlern' is no command", "'unlearn'"),
        (["--dry-run"], "'--dry-run' is no command", "a command comes first"),
    ],
    ids=" ".join,
)
def test_an_unknown_command_gets_a_suggestion_that_makes_sense(refused, words, first, meant):
    line = refused(*words)
    assert line.startswith(first) and meant in line and "allowed: learn, " in line


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        (["--dryrun"], "--dryrun: there is no such flag; allowed: -m, --dry-run"),
        (["--dryrun"], "(did you mean '--dry-run'?)"),
        (["--multi"], "(did you mean '--multirun'?)"),
        (["-x"], "-x: there is no such flag"),
        (["--dry-run=true"], "--dry-run takes no value"),
        (["--cfg", "foo"], "--cfg foo: allowed: job, hydra, all."),
        (["--cfg=jo"], "(did you mean 'job'?)"),
        (["--cfg"], "--cfg needs a value: job, hydra, all."),
        (["--hydra-help"], "duolearn --help"),
        (["--info"], "--cfg job"),
        (["--config-name=x"], "--config-dir FOLDER"),
        (["-cp", "x"], "--config-dir FOLDER"),
        (["--experimental-rerun", "x"], "resume=FOLDER"),
        (["--resolve"], "--resolve needs --cfg job"),
    ],
    ids=str,
)
def test_an_unknown_flag_is_refused_in_our_words(refused, flag, meant):
    assert meant in refused(*TARGET, *flag)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("surgery", "surgery: a setting is KEY=VALUE; did you mean +forget=surgery?"),
        ("surgry", "did you mean +forget=surgery?"),
        ("seed", "did you mean seed=VALUE?"),
        ("dryrun", "did you mean --dry-run?"),
        ("+forget", "choose an option: +forget=NAME; allowed: anxiety, custom"),
        ("method", "choose an option: method=NAME; allowed: duolearn"),
        ("a.b", "duolearn help KEY"),
        ("=3", "=3: a setting is KEY=VALUE"),
        ("seed =3", "without spaces"),
        ("split.seed=[", "split.seed=[: the value [ cannot be read"),
        ("seed=3)", "quotes"),
        ("foo.bar=1", "foo.bar: there is no such setting; allowed: command, "),
        ("+foo.bar=1", "foo: there is no such setting"),
        ("method.bar=1", "method.bar: there is no such setting; allowed: distill_weight"),
        ("sed=1", "(did you mean 'seed'?)"),
        ("epochs=3", "did you mean benchmark.epochs or learn.epochs or unlearn.epochs?"),
        ("model=tny", "model=tny: there is no such model; allowed: llama3_1_8b, local"),
        ("method=", "method=: there is no such method"),
        ("+model=tiny", "set without a plus: model=tiny"),
        ("model@x=tiny", "GROUP=OPTION"),
        ("hydra=3", "hydra takes no value here"),
        ("seed=one", "seed=one: expected a whole number."),
        ("seed=1,2", "add -m"),
        ("split.similarity=2", "split.similarity=2.0: allowed: 0.3 to 1."),
        ("unlearn.optimizer=Adm", "(did you mean 'Adam'?)"),
    ],
)
def test_a_wrong_word_is_explained_in_our_words(refused, word, meant):
    line = refused("unlearn", "+forget=anxiety", word)
    assert meant in line


def test_a_group_that_is_added_is_explained_whether_or_not_it_has_a_plus(refused):
    assert "allowed: anxiety, custom" in refused("unlearn", "forget=surgryy")
    assert "ablation=nope: there is no such ablation" in refused(*TARGET, "ablation=nope")


@pytest.mark.parametrize("words", [["list", "foo"], ["list", "methods", "foo"]])
def test_what_cannot_be_listed_is_refused(refused, words):
    assert refused(*words).startswith("list foo: this cannot be listed; allowed: ablations, datasets")


def test_a_missing_file_is_told_before_its_columns(duolearn, tmp_path):
    missing = duolearn("unlearn", "+forget=surgery", "dataset=local", "dataset.path=nowhere.csv", "--dry-run")
    assert missing.returncode == 2 and missing.stderr == "error: nowhere.csv: no such file.\n"
    (tmp_path / "mine.csv").write_text("question\nWhat?\n")
    unmapped = duolearn("unlearn", "+forget=surgery", "dataset=local", "dataset.path=mine.csv", "--dry-run")
    assert unmapped.stderr.startswith("error: dataset.fields.question is not set.")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("duolearn l", ["learn", "list"]),
        ("duolearn unlearn --d", ["--dry-run"]),
        ("duolearn unlearn +forget=surgery --cfg ", ["job", "hydra", "all"]),
        ("duolearn unlearn unlearn.stop=", ["unlearn.stop=none", "unlearn.stop=gold", "unlearn.stop=base"]),
        ("duolearn unlearn dry_run=t", ["dry_run=true"]),
        ("duolearn unlearn method.geometry.scope=l", ["method.geometry.scope=layer"]),
        ("duolearn help unlearn.w", ["unlearn.warmup", "unlearn.weight_decay"]),
        ("duolearn list m", ["measures", "methods", "models"]),
        ("duolearn audit r", ["robustness"]),
    ],
)
def test_completion_knows_flags_and_the_values_of_settings(capsys, monkeypatch, line, found):
    monkeypatch.setenv("COMP_LINE", line)
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out.split() == found


def test_help_is_the_same_by_every_name(capsys):
    shown = []
    for word in ("-h", "--help", "help"):
        assert main(["unlearn", word]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] and shown[0] == shown[1] == shown[2]
