"""The reference of settings: whatever a run reads is in it."""

import subprocess
import sys

import pytest

from duolearn_cli.cli.reference import reference
from duolearn_cli.config.catalogue import catalogue, components
from duolearn_cli.files import groups
from tests.scripts import FOLDER


@pytest.fixture(scope="module")
def page():
    return reference()


def test_every_setting_of_the_schema_and_of_every_component_is_in_the_reference(page):
    lines = page.splitlines()
    missing = [row.key for row in catalogue() if not any(line.startswith(f"| `{row.key}` | ") for line in lines)]
    assert missing == [] and len(catalogue()) > 200


def test_each_component_has_a_table_of_its_own(page):
    assert {"method=npo", "dataset=local", "measure=truth_ratio"} <= {one.choice for one in components()}
    for one in components():
        section = page.partition(f"### `{one.choice}`: settings\n")[2].partition("\n### ")[0]
        own = [row.key for row in catalogue() if row.choice == one.choice]
        assert all(f"| `{key}` |" in section for key in own), one.choice


def test_a_row_says_type_default_preset_range_and_sentence(page):
    (rate,) = [line for line in page.splitlines() if line.startswith("| `unlearn.learning_rate` |")]
    assert rate == "| `unlearn.learning_rate` | a number | `0.005` (`model=tiny`) | 0 to 1000 | peak learning rate |"
    (name,) = [line for line in page.splitlines() if line.startswith("| `model.name` |")]
    assert "`tiny` (`model=tiny`)" in name
    assert "| `forget.name` | a text | must be set |" in page


def test_every_preset_is_in_the_reference(page):
    assert all(f"| `{group}={option}` |" in page for group, options in groups().items() for option in options)


def test_tables_have_as_many_cells_in_every_row(page):
    for table in page.split("\n\n"):
        counts = {line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(counts) <= 1, table


def test_the_script_prints_the_page_without_torch(page):
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__');"
        "assert not {'torch', 'numpy', 'transformers'} & sys.modules.keys()"
    )
    script = FOLDER / "settings_reference.py"
    done = subprocess.run([sys.executable, "-c", code, str(script)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, page), done.stderr
