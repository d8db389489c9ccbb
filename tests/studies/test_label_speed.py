"""Labelling keeps its pace: 100,000 questions in two minutes, measured on a tenth, with as much time again to spare."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "studies" / "label_speed.py"


@pytest.mark.slow
def test_ten_thousand_questions_are_labelled_in_time():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--items", "10000"], capture_output=True, text=True, check=True, timeout=300
    )
    total = re.search(r"^total +([\d.]+) s$", done.stdout, re.MULTILINE)
    assert total and float(total[1]) < 24, done.stdout
