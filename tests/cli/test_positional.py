"""Positional words: any text reaches the configuration as it was typed."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from duolearn_cli.cli.positional import action_overrides, in_full, item_overrides, quoted, taken_text
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError, UserError

# What means something to a shell-free command line, Hydra's grammar or OmegaConf's interpolation.
PIECES = st.sampled_from([*"='\",{}[]()$\\#+~-@:/% \n\ta1", "${", "${x}", "\\\\", "é", "null"])
TEXTS = st.one_of(
    st.lists(PIECES, max_size=12).map("".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)


@settings(max_examples=25)
@given(TEXTS.filter(str.strip))
@example("\\")
@example("\\'")
@example("\\${seed}")
@example("'${seed}\\\\'")
@example("-5 degrees")
@example("help")
@example("--dry")
def test_any_text_survives(text):
    args, taken = taken_text(["hierarchy", "find", text])
    if args[2:]:  # a flag such as -m is one
        assert text.startswith("-") and taken == []
        return
    config = compose("hierarchy", [*action_overrides(["find"]), *taken])
    assert config.hierarchy_view.text == text and config.hierarchy_view.action == "find"


@given(TEXTS.filter(lambda text: text != "???"))  # OmegaConf's own sign of a missing value cannot be escaped
def test_a_quoted_value_is_read_back(text):
    parsed = OverridesParser.create().parse_override(quoted("node", text))
    assert OmegaConf.create({"node": parsed.value()}).node == text


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ([], ["action=show"]),
        (["depth=3"], ["action=show", "depth=3"]),
        (["++depth=3", "hierarchy=obo"], ["action=show", "depth=3", "hierarchy=obo"]),
        (["show", "General Surgery", "+forget=surgery"], ["action=show", "node='General Surgery'", "+forget=surgery"]),
        (["hierarchy=mesh", "check"], ["action=check", "hierarchy=mesh"]),
        (["action=check", "depth=3"], ["action=check", "depth=3"]),
        (["hierarchy_view.action=check"], ["action=check"]),
        (["import", "--dry-run"], ["action=import", "--dry-run"]),
        (["show", "HP:0000118", "~hierarchy"], ["action=show", "node='HP:0000118'", "~hierarchy"]),
    ],
)
def test_words_become_overrides(words, overrides):
    assert [word.replace("hierarchy_view.", "").replace("++", "") for word in action_overrides(words)] == overrides


def test_an_inspected_item_and_short_names_become_overrides():
    assert item_overrides(["a b", "scores=true", "seed=1"]) == ["inspect.item='a b'", "inspect.scores=true", "seed=1"]
    assert item_overrides(["item=x", "inspect.scores=true"]) == ["inspect.item=x", "inspect.scores=true"]


@pytest.mark.parametrize("word", ["depth=1", "+action=find", "++text='a=b'", "~node", "node="])
def test_a_short_name_is_that_of_its_command_alone(word):
    assert in_full("hierarchy", word).lstrip("+~").startswith("hierarchy_view.")
    assert in_full("hierarchy", word).replace("hierarchy_view.", "") == word
    assert in_full("inspect", word) == word
    with pytest.raises(ConfigError, match=r"this setting is called hierarchy_view\.|node"):
        compose("unlearn", ["+forget=surgery", word])


@pytest.mark.parametrize("word", ["depths=1", "hierarchy.depth=1", "hierarchy_view.depth=1", "model=depth"])
def test_other_names_stay(word):
    assert in_full("hierarchy", word) == word


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shw"], "did you mean 'show'"),
        (["show", "a", "b"], "'b' is one word too many; several words need quotes"),
        (["check", "a"], "'a' is one word too many"),
        (["find", "text"], "right after find"),
    ],
)
def test_words_too_many(words, said):
    with pytest.raises(UserError, match=said):
        action_overrides(words)


def test_only_the_word_after_find_is_the_text():
    assert taken_text(["unlearn", "find", "x"]) == (["unlearn", "find", "x"], [])
    mixed = ["hierarchy", "hierarchy=mental_health4", "find", "panic attack", "+forget=anxiety"]
    assert taken_text(mixed) == ([*mixed[:3], mixed[4]], ["hierarchy_view.text='panic attack'"])
    assert taken_text(["hierarchy", "show", "find", "x"]) == (["hierarchy", "show", "find", "x"], [])
    assert taken_text(["-cd", "g", "hierarchy", "find", "a=b", "c=d"]) == (
        ["-cd", "g", "hierarchy", "find", "c=d"],
        ["hierarchy_view.text='a=b'"],
    )
    assert taken_text(["hierarchy", "find"]) == (["hierarchy", "find"], [])
    assert taken_text(["hierarchy", "find", "--config-dir=x", "y"])[1] == []
