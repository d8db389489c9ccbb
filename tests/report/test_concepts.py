"""Views of a hierarchy: what is shown, how deep, and in whose colour."""

from io import StringIO

import pytest
from rich.console import Console

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.config.forget import ForgetTarget
from duolearn_cli.report.concepts import STATE_COLOURS, facts, marked, mentions_table, path_to_root, state, tree
from duolearn_cli.report.figures import FORGET


@pytest.fixture
def small():
    return Hierarchy(
        [
            Concept("medicine", 3, "medicine", subjects=("Medicine",)),
            Concept("surgery", 3, "surgery", subjects=("Surgery",)),
            Concept("gut", 3, "gut surgery", ("surgery",)),
            Concept("whipple", 4, "Whipple procedure", ("gut",)),
            Concept("shared", 4, "appendicitis", ("gut", "medicine")),
            Concept("scar", 4, "scar", ("surgery",)),
        ]
    )


@pytest.fixture
def target(small):
    return resolve_target(ForgetTarget("s", concepts=["surgery"], keep=["scar"]), small)


def printed(renderable):
    console = Console(file=StringIO(), width=100, color_system=None)
    console.print(renderable, markup=False)
    return console.file.getvalue()


def test_states(target):
    states = {node: state(node, target) for node in ("gut", "shared", "scar", "medicine")}
    assert states == {"gut": "forget", "shared": "boundary", "scar": "kept", "medicine": "other"}
    assert state("gut", None) == ""


def test_the_forest_counts_what_has_nothing_below(small):
    lines = printed(tree(small, None, None, 2)).splitlines()
    assert [line.rstrip() for line in lines] == [
        "6 concepts",
        "├── medicine  level 3  1 below",
        "│   └── 1 more without children",
        "└── surgery  level 3  4 below",
        "    ├── gut surgery  gut  level 3  2 below",
        "    └── 1 more without children",
    ]


def test_a_node_shows_everything_to_its_depth(small, target):
    text = printed(tree(small, target, "gut", 2))
    assert text.splitlines()[0].rstrip() == "gut surgery  gut  level 3  2 below  [forget]"
    assert "appendicitis  shared  level 4  [boundary]" in text and "Whipple" in text
    assert len(printed(tree(small, target, "gut", 1)).splitlines()) == 1
    assert len(printed(tree(small, None, "surgery", 9)).splitlines()) == 5


def test_mentions_are_bracketed_and_coloured(small, target):
    text = "A scar after gut surgery in medicine"
    mentions = Matcher(small).find(text)
    shown = marked(text, mentions, target)
    assert shown.plain == "A [scar] after [gut surgery] in [medicine]"
    colours = [str(span.style).removeprefix("bold ") for span in shown.spans]
    assert colours == [STATE_COLOURS["kept"], FORGET, STATE_COLOURS["other"]]
    table = printed(mentions_table(text, mentions, small, target))
    assert "surgery > gut" in table and "forget" in table
    assert "target" not in printed(mentions_table(text, mentions, small, None))


def test_markup_in_a_text_stays_text(small):
    text = "[red]scar[/red] [link=x]"
    assert marked(text, Matcher(small).find(text), None).plain == "[red][scar][/red] [link=x]"


def test_paths_and_facts(small):
    assert path_to_root(small, "shared") == ["shared", "gut", "surgery"]
    assert list(facts(list(small.concepts.values()))) == [
        "2 roots",
        "1 concepts with several parents",
        "2 subjects mapped: Medicine, Surgery",
    ]
