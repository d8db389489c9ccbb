"""The package keeps the limits of its files and functions; the counts are what the script says they are."""

import pytest

from tests.scripts import load

figures = load("house_figures")
MODULES = figures.sources()
# Limits that hold; the others are printed by the script alone.
HELD = ("top files", "file p90", "function median", "function p90")
CODE = '''"""A module.

# no comment
"""

import os  # a comment


def one(a, b=1, *c, d, **e):
    """A docstring
    of two lines.
    """
    found = a  # type: ignore

    # why
    def inner():
        return found

    found += inner()
    return [found for found in b]


class Two:
    def only_docs(self, x):
        """Nothing to run."""

    async def short(self): return 1  # noqa
'''


def source(path="module.py", text=CODE):
    return figures.Source(path, text, figures.ast.parse(text))


def test_limits_hold():
    assert figures.main(HELD, figures.figures(MODULES)) == 0


def test_lines_of_functions_are_counted_without_docstring_and_signature():
    lines = {function.name: figures.body_lines(function) for function in source().functions()}
    assert lines == {"one": 8, "inner": 1, "only_docs": 0, "short": 1}


def test_parameters_are_counted_without_self():
    counts = {function.name: figures.parameters(function) for function in source().functions()}
    assert counts == {"one": 5, "inner": 0, "only_docs": 1, "short": 0}
    wide = f"def wide({', '.join('abcdefgh')}): pass\n"
    assert list(figures.many_parameters([source("data/x.py", wide)])) == ["data/x.py:1 wide 8"]
    assert not list(figures.many_parameters([source("cli/x.py", wide), source("data/y.py", wide.replace(", h", ""))]))


def test_comments_are_those_for_readers():
    assert figures.comment_lines(CODE) == 2


def test_each_value_of_found_is_counted():
    assert figures.times_found(source()) == 3


def test_percentiles_are_values_that_few_exceed():
    assert figures.percentile(list(range(1, 102)), 90) == 91
    assert figures.percentile([3, 3], 90) == 3


@pytest.mark.parametrize(
    ("names", "status", "said"),
    [
        ([], 1, "parameters             1  none with more than 7  EXCEEDED\n    data/x.py:1 wide 8\n"),
        (["top files", "function p90"], 0, "top files              0  at most 5  ok"),
        (["comments"], 1, "comments               0  3 to 6 %  EXCEEDED"),
        (["nothing"], 2, ""),
    ],
)
def test_an_exceeded_limit_ends_with_status_1(names, status, said, capsys):
    modules = [source("data/x.py", f"def wide({', '.join('abcdefgh')}): pass\n"), source("data/y.py", "def f(): pass")]
    assert figures.main(names, figures.figures(modules)) == status
    assert said in capsys.readouterr().out
