"""A second request: no model trains on what the starting model has already forgotten."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from duolearn_cli.cli.commands import beginning
from duolearn_cli.cli.commands.beginning import as_override, check_beginning, check_words, note_of, recorded_by
from duolearn_cli.cli.commands.limits import limits_note
from duolearn_cli.config.compose import compose
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.data.earlier import without_forgotten, words_of
from duolearn_cli.data.items import Item
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.files import write_json
from duolearn_cli.pipeline.evaluate import account_of, adapter_of
from duolearn_cli.pipeline.planning.plan import rows
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.run_folder import Run
from tests.conftest import SMALL


@pytest.fixture
def hierarchy(study, monkeypatch):
    """The embedded hierarchy, read once."""
    monkeypatch.setattr(beginning, "load_hierarchy", lambda config: study.hierarchy)
    return study.hierarchy


@pytest.fixture
def left(tmp_path, hierarchy):
    """Make a run folder with an adapter, as a command leaves it; return the adapter's folder."""

    def make(command, *overrides):
        config = compose(command, [*overrides, f"output_dir={tmp_path}/out"])
        folder = Run.create(config, overrides).folder / "adapter"
        folder.mkdir()
        (folder / "adapter_model.safetensors").touch()
        return folder

    return make


def asked(adapter, *overrides, command="unlearn"):
    return compose(command, ["+forget=anxiety", *SMALL, f"adapter={adapter}", *overrides])


def labels(items):
    return {item.subject for item in items}


def test_nothing_forgotten_is_retained_learned_or_in_golds_data(left):
    adapter = left("unlearn", "+forget=surgery")
    study = prepare(asked(adapter, "split.max_retain=450", "forgotten=[surgery]"))
    trained = [*study.training_items("target"), *study.training_items("gold"), *study.request.retain]
    assert "Surgery" not in labels(study.items) | labels(trained) | labels(study.splits.retain_unseen)
    assert "Anatomy" in labels(trained)
    count = sum(item.subject == "Surgery" for item in study.loaded.items)
    assert study.forgotten.counts == {"surgery": count} and count > 500
    assert study.summary()["forgotten"]["surgery"] == count
    assert labels(study.earlier) == {"Surgery"} and study.summary()["earlier"] == len(study.earlier)
    assert study.scored()["earlier"] == study.earlier and "earlier" not in study.splits.by_name()
    told = dict(rows(study))
    assert told["earlier requests"].startswith(f"surgery {count} items") and "none" in told["learn steps"]


def test_scored_of_it_is_what_its_run_forgot():
    """The same seed and limits choose the same facts, except those that a run drops as near duplicates."""
    small = [*SMALL, "split.near_duplicates=ignore"]
    before = prepare(compose("unlearn", ["+forget=surgery", *small]))
    after = prepare(compose("unlearn", ["+forget=anxiety", *small, "adapter=.", "forgotten=[surgery]"]))
    facts = {item.fact_id for item in after.earlier}
    assert facts == {item.fact_id for item in before.splits.forget_train}
    assert {item.id for item in after.earlier} == {
        item.id for items in (before.splits.forget_train, before.splits.forget_heldout) for item in items
    }
    assert before.earlier == () and "earlier" not in before.scored() and "earlier" not in before.summary()


def test_near_duplicates_of_forgotten_items_are_left_out_too(left, tmp_path):
    words = ["alpha beta gamma delta epsilon zeta eta theta iota kappa", "one two three four five six seven eight nine"]
    rows = [("Surgery", 0), ("Anatomy", 0), ("Anatomy", 1), ("Psychiatry", 1), ("Physiology", 2), ("Physiology", 3)]
    lines = ["id,q,a,b,key,field"]
    for i, (subject, kind) in enumerate(rows):
        text = (
            words[kind] if kind < 2 and subject != "Psychiatry" else f"a question of its own number {i} about x{i} y{i}"
        )
        lines += [f"{i},{text} {'what' if i != 1 else 'which'},first option {kind},second option {kind},A,{subject}"]
    lines += [f"p{i},another question number {i} of {i} others z{i},u{i},v{i},A,Psychiatry" for i in range(4)]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    own = ["dataset=local", f"dataset.path={tmp_path}/own.csv", "dataset.fields.question=q"]
    own += ["dataset.fields.options=[a,b]", "dataset.fields.answer=key", "dataset.fields.subject=field"]
    own += ["dataset.fields.answer_kind=letter", "dataset.fields.id=id"]
    target = ["+forget=custom", "forget.concepts=[anxiety]", "forget.subjects=[Psychiatry]", "split.similarity=0.5"]
    given = ["adapter=.", "forgotten=[SURGERY]"]
    study = prepare(compose("unlearn", [*target, *own, *given]))
    remaining = {item.id for items in study.splits.by_name().values() for item in items}
    assert not {"0", "1"} & remaining and {"2", "4"} <= remaining
    assert study.forgotten.as_dict() == {"SURGERY": 1, "near_duplicates": 1}


@pytest.mark.parametrize(
    ("command", "overrides", "given", "message"),
    [
        ("unlearn", ["+forget=surgery"], [], r"forgotten surgery; .*Give forgotten=\[surgery\]\."),
        ("unlearn", ["+forget=surgery"], ["forgotten=[]"], r"allowed: forgotten=\[surgery\]\."),
        ("unlearn", ["+forget=surgery"], ["forgotten=[surgry]"], r"allowed: forgotten=\[surgery\]\."),
        ("unlearn", ["+forget=surgery"], ["forgotten=[trauma]"], r"allowed: forgotten=\[trauma,surgery\]\."),
        ("retrain", ["+forget=surgery"], [], r"Give forgotten=\[surgery\]\."),
        ("learn", ["+forget=surgery"], [], r"forgotten nothing; confirm that with forgotten=\[\]"),
        (
            "unlearn",
            ["+forget=custom", "forget.concepts=[cardiology]", "forget.subjects=[Heart Medicine]"],
            [],
            r"""Give "forgotten=\[cardiology,'Heart Medicine'\]"\.""",
        ),
    ],
)
def test_what_an_adapters_run_tells_must_be_said(left, command, overrides, given, message):
    adapter = left(command, *overrides)
    with pytest.raises(RunError, match=message) as caught:
        check_beginning(asked(adapter, *given), None)
    # The value that is proposed is taken.
    proposed = str(caught.value).rpartition("forgotten=")[2].strip('."')
    check_beginning(asked(adapter, f"forgotten={proposed}"), None)


def test_the_same_in_other_words_or_more_is_taken(left):
    adapter = left("unlearn", "+forget=surgery")
    for words in ("[Surgery]", "[surgery,trauma]"):
        assert check_beginning(asked(adapter, f"forgotten={words}"), None) == ["surgery"]


def test_an_adapter_of_nobodys_needs_an_answer(tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(RunError, match=r"what has this model forgotten\?.*forgotten=\[\] if it has forgotten nothing"):
        check_beginning(asked(tmp_path), None)
    assert check_beginning(asked(tmp_path, "forgotten=[]"), None) == []
    with pytest.raises(ConfigError, match=r"forgotten=\[surgery\]: .* give adapter=FOLDER too"):
        compose("unlearn", ["+forget=anxiety", "forgotten=[surgery]"])


def test_a_third_request_is_told_both(left, study):
    first = left("unlearn", "+forget=surgery")
    second = left("unlearn", "+forget=anxiety", f"adapter={first}", "forgotten=[surgery]")
    assert recorded_by(second, study.hierarchy) == ["surgery", "anxiety"]
    # A run of before this was asked: what its own beginning tells.
    old = left("unlearn", "+forget=anxiety", f"adapter={first}")
    assert recorded_by(old, study.hierarchy) == ["surgery", "anxiety"]


def test_words_that_stand_for_nothing_are_refused(left, study):
    adapter = left("unlearn", "+forget=surgery")
    items = [Item("a", "q", ("b", "c"), 0, "Anatomy")]
    _, forgotten = without_forgotten(items, ["surgery", "anatomy", "surgry"], (), study.hierarchy, None)
    assert forgotten.unknown == ("surgry",) and forgotten.counts == {"surgery": 0, "anatomy": 1, "surgry": 0}
    assert without_forgotten(items, [" Ánatomy"], (), study.hierarchy, None)[1].counts == {" Ánatomy": 1}
    config = asked(adapter, "forgotten=[surgery,surgry]")
    unknown = SimpleNamespace(config=config, hierarchy=study.hierarchy, items=items, forgotten=forgotten)
    with pytest.raises(ConfigError, match=r"'surgry' is not a forget preset .*did you mean 'surgery'"):
        check_words(unknown, [])
    unknown.forgotten = SimpleNamespace(unknown=("cardiolgy",))
    with pytest.raises(ConfigError, match=r"did you mean 'cardiology'"):
        check_words(unknown, [])
    unknown.forgotten = forgotten
    check_words(unknown, ["surgry"])  # a label of other data, which the model's run has told


def test_presets_of_the_users_own_become_their_concepts(left, tmp_path):
    (tmp_path / "groups" / "forget").mkdir(parents=True)
    (tmp_path / "groups" / "forget" / "hernia.yaml").write_text(
        "# @package _global_\n# Hernias\nforget: {name: hernia, concepts: [hernia_surgery], subjects: [Surgery]}\n"
    )
    adapter = left("learn", "+forget=surgery")
    config = asked(adapter, "forgotten=[hernia]")
    check_beginning(config, str(tmp_path / "groups"))
    assert config.forgotten == ["hernia_surgery", "Surgery"]


def test_words_cover_what_a_target_forgets(study):
    assert words_of(ForgetTarget("surgery", ["surgery"]), study.hierarchy) == ["surgery"]
    assert words_of(ForgetTarget("surgery", ["cardiology"]), study.hierarchy) == ["cardiology"]
    wider = words_of(ForgetTarget("x", ["surgery"], ["anxiety"], boundary="forget"), study.hierarchy)
    assert wider[:2] == ["surgery", "anxiety"] and len(wider) > 100
    assert as_override(["a b"]) == "\"forgotten=['a b']\"" and as_override([]) == "forgotten=[]"


def test_a_model_that_is_scored_is_told_what_else_it_forgot(left, hierarchy):
    config = asked(left("unlearn", "+forget=surgery"), command="evaluate")
    scored = SimpleNamespace(config=config, hierarchy=hierarchy)
    assert "has forgotten surgery too: forgotten=[surgery] leaves that out" in note_of(scored, ["surgery"])
    assert note_of(scored, ["anxiety"]) == ""


def laboratory(folder, command, **settings):
    config = OmegaConf.create({"command": command, "run": None, "adapter": None} | settings)
    return SimpleNamespace(study=SimpleNamespace(config=config), run=SimpleNamespace(folder=folder))


def test_the_adapter_that_a_run_is_about_is_not_the_one_it_began_with(tmp_path):
    own, given = tmp_path / "adapter", str(tmp_path / "given")
    for command in ("unlearn", "audit"):
        assert adapter_of(laboratory(tmp_path, command, adapter=given)) == own
    assert adapter_of(laboratory(tmp_path, "evaluate", adapter=given)) == Path(given)
    assert adapter_of(laboratory(tmp_path, "evaluate", adapter=given, run="other")) == Path("other/adapter")
    # The account is that of the same model: a given one's is not the run's.
    Path(given).mkdir()
    write_json(Path(given) / "privacy.json", {"schema": 99})
    assert account_of(laboratory(tmp_path, "unlearn", adapter=given)) is None


def scoring(*overrides):
    return SimpleNamespace(config=compose("evaluate", overrides))


def test_limits_are_kept_and_told_where_they_differ(left, tmp_path):
    adapter = left("unlearn", "+forget=surgery", "split.max_forget=50")
    assert Run(adapter.parent).info["limits"] == {"model": "tiny", "split.max_forget": 50, "split.max_retain": 450}
    scored = scoring("+forget=surgery", f"adapter={adapter}")
    assert limits_note(scored, []).endswith("For the same items and prompts give split.max_forget=50.")
    assert limits_note(scored, ["split.max_forget=150"]) == ""
    # A merged model: nothing but its shape says what it was made of.
    from duolearn_cli.model.weights import TINY

    merged = tmp_path / "merged"
    merged.mkdir()
    (merged / "config.json").write_text((TINY / "config.json").read_text())
    given = ["+forget=surgery", "model=local", f"model.path={merged}"]
    note = limits_note(scoring(*given), given)
    assert note.startswith("model=tiny, which has this model's shape, had other limits: split.max_forget=150")
    mended = [*given, "split.max_forget=150", "split.max_retain=450"]
    assert limits_note(scoring(*mended), mended) == ""
