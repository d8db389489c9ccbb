"""The studies in scripts/ say what is wrong with their settings, and leave nothing."""

import runpy
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.mark.parametrize(
    "script, before",
    [("answer_form_study", []), ("coordinate_study", []), ("geometry_study", ["run", "found", "0/1", "1"])],
)
def test_a_wrong_setting_is_told_without_a_traceback(script, before, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [script, *before, "+forget=surgary"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
    assert str(ended.value).startswith("error: forget=surgary: ") and "did you mean 'surgery'?" in str(ended.value)
    assert not list(tmp_path.iterdir())
