"""The wheel holds everything that an installed `duolearn` needs, so that it works from any folder."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_an_installed_wheel_works_from_any_folder(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", tmp_path, ROOT], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"duolearn_cli/conf/{path.relative_to(ROOT / 'conf').as_posix()}" in names
    for path in (ROOT / "docs").rglob("*.md"):
        assert f"duolearn_cli/docs/{path.relative_to(ROOT / 'docs').as_posix()}" in names
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "duolearn_cli", "unlearn", "+forget=surgery", "--dry-run"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "unlearn steps" in done.stdout
    shown = subprocess.run(
        [sys.executable, "-m", "duolearn_cli", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    (place,) = re.findall(r"^documentation \(docs/\)\n  (.*)$", shown.stdout, re.M)
    assert place == str(tmp_path / "site" / "duolearn_cli" / "docs" / "index.md") and Path(place).is_file()
