"""The methods of conf/method as a catalogue: names, settings, search spaces, and the page about those of the papers."""

import itertools
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from duolearn_cli.config.components import component_class
from duolearn_cli.config.compose import compose
from duolearn_cli.files import groups

ROOT = Path(__file__).parents[2]
METHODS = sorted(groups()["method"])
PAGE = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
# The table's rows by method. A method without a row, such as one of your own, is none of the page's business.
ROWS = {name: line.split("|") for name, line in re.findall(r"^(?=\| `(\w+)` )(.*)$", PAGE, re.M)}


def node_of(name):
    return OmegaConf.load(ROOT / "conf" / "method" / f"{name}.yaml")


@pytest.mark.parametrize("name", METHODS)
def test_the_name_of_the_file_is_that_of_the_class(name):
    target = node_of(name)["_target_"]
    assert target.split(".")[-2] == name
    assert target.split(".")[-1].lower() == name.replace("_", "")


@pytest.mark.parametrize("name", METHODS)
def test_every_value_of_the_search_space_composes_and_the_default_is_among_them(name):
    search = component_class(node_of(name), ()).search
    assert len(list(itertools.product(*search.values()))) <= 27
    default = compose("unlearn", ["+forget=surgery", f"method={name}"])
    for key, values in search.items():
        assert key.startswith(("method.", "unlearn.")) and len(set(values)) == len(values) >= 2
        if key.startswith("method."):
            assert OmegaConf.select(default, key) in values, key
        for value in values:
            config = compose("unlearn", ["+forget=surgery", f"method={name}", f"{key}={value}"])
            assert OmegaConf.select(config, key) == value


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_page_has_the_defaults_and_the_search_space(name):
    row, node = ROWS[name], node_of(name)
    said = dict(re.findall(r"`(\w+)=([^`]+)`", row[4]))
    settings = {key: value for key, value in node.items() if key not in ("_target_", "geometry", "sparsity")}
    if name != "duolearn":  # its settings have pages of their own
        assert said == {key: "null" if value is None else str(value) for key, value in settings.items()}
    search = component_class(node, ()).search
    assert "unlearn.learning_rate" in search, "methods that are compared are tuned alike"
    expected = {key.removeprefix("method."): ", ".join(map(str, values)) for key, values in search.items()}
    assert dict(re.findall(r"`([\w.]+)` ([^;|]+?)(?=;|$)", row[5].strip())) == expected


def test_the_page_has_a_row_for_each_paper():
    assert len(ROWS) >= 12 and set(ROWS) <= set(METHODS)
