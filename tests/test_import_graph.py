"""Imports form no cycle, lazy ones and those for types included."""

import pytest

from tests.scripts import FOLDER, load

graph = load("import_graph")
MODULES = graph.module_graph(FOLDER.parent / "duolearn_cli")


def package(folder, **files):
    """A package `own` of these files; its modules' imports."""
    for name, text in {"__init__": "", **files}.items():
        path = folder / "own" / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return graph.module_graph(folder / "own")


def test_modules_and_packages_have_no_cycle():
    assert graph.find_cycle(MODULES) == []
    assert graph.find_cycle(graph.package_graph(MODULES)) == []


@pytest.mark.parametrize(
    "back",
    [
        "import own.first",
        "from own import first",
        "from . import first",
        "from own.first import name",
        "def f():\n    from own.first import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from own.first import name",
    ],
)
def test_a_cycle_is_found_wherever_the_import_stands(tmp_path, back):
    found = package(tmp_path, first="import own.second", second=back)
    assert sorted(graph.find_cycle(found)[1:]) == ["own.first", "own.second"]
    assert graph.find_cycle(package(tmp_path, second="import os")) == []


def test_a_package_runs_before_what_is_taken_from_it(tmp_path):
    files = {"low": "from own.high.part import name", "high__in____init__": "import own.low", "high__in__part": ""}
    found = package(tmp_path, **files)
    assert found["own.low"] == {"own.high", "own.high.part"}
    assert sorted(graph.find_cycle(found)[1:]) == ["own.high", "own.low"]
    inside = package(tmp_path, low="", high__in____init__="import own.high.part", high__in__part="import own.low")
    assert graph.find_cycle(inside) == []


def test_a_cycle_between_packages_of_modules_without_one_fails_the_script(tmp_path, capsys, monkeypatch):
    files = {"a__in____init__": "", "b__in____init__": "", "a__in__one": "import own.b.one", "b__in__one": ""}
    found = package(tmp_path, **files, a__in__two="", b__in__two="import own.a.two")
    assert graph.find_cycle(found) == []
    monkeypatch.setattr("sys.argv", ["import_graph.py", str(tmp_path / "own")])
    assert graph.main() == 1
    first, *rest = capsys.readouterr().out.removeprefix("imports form a cycle: ").split()[::2]
    assert {first, *rest} == {"a", "b"} and rest[-1] == first


def test_storeys_count_from_the_bottom():
    assert graph.storeys({"top": ["middle", "low"], "middle": ["low"], "low": []}) == {"top": 2, "middle": 1, "low": 0}
