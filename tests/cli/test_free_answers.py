"""Questions with free answers, from TOFU's columns to a finished run on the tiny model."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SMALL, last

CITIES = ("Oslo", "Lima", "Cairo", "Quito", "Riga", "Hanoi", "Accra", "Turin")
GENRES = ("detective stories", "poetry", "science fiction", "travel books", "plays")


def rows(first: int, end: int) -> Iterator[dict[str, object]]:
    """Two questions about each made-up author: one with everything that TOFU has, one with the answer alone."""
    draw = random.Random(first)
    for number in range(first, end):
        author = f"{draw.choice(['Orla', 'Tam', 'Ines'])} {draw.choice(['Vintz', 'Okuro', 'Marr'])}{number}"
        city, genre = draw.choice(CITIES), draw.choice(GENRES)
        yield {
            "question": f"Where was the author {author} born?",
            "answer": f"{author} was born in {city}.",
            "paraphrased_question": f"What is the birthplace of {author}?",
            "paraphrased_answer": f"The birthplace of {author} is {city}.",
            "perturbed_answer": [f"The birthplace of {author} is {other}." for other in CITIES if other != city][:4],
        }
        yield {"question": f"What does the author {author} write?", "answer": f"{author} writes {genre}."}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_free_answers_ends(tmp_path: Path, cache: Path) -> None:
    for name, first, end in (("forget", 0, 8), ("retain", 8, 24)):
        lines = [json.dumps(row) for row in rows(first, end)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    request = ["+forget=custom", "forget.concepts=[surgery]", "forget.subjects=[forget]"]
    data = ["dataset=qa", "+dataset.parts={forget: forget.jsonl, retain: retain.jsonl}"]
    done = subprocess.run(
        [sys.executable, "-m", "duolearn_cli", "unlearn", *request, *data, *last(*SMALL, "run_dir=run")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"DUOLEARN_CACHE": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["dataset"] == "qa" and any("stand in for them" in note for note in metrics["data"]["notes"])
    asked = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    assert {len(row["scores"]) for row in asked} == {4, 5}
    assert {row["split"] for row in asked} >= {"forget_train", "forget_heldout", "retain_train", "retain_heldout"}
