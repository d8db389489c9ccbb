"""What is exported of a real model, SmolLM2-135M, answers in plain transformers and PEFT as the run did.

``DUOLEARN_SMOLLM2=FOLDER`` names the folder of SmolLM2-135M-Instruct.Q4_1.gguf (80 MB). ``DUOLEARN_PLAIN_PYTHON=FILE``
names another Python, with torch, transformers, peft and gguf and without duolearn, that loads the exported model.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from transformers import AutoTokenizer

from duolearn_cli.config.schema import RunConfig
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.run_folder import Run
from duolearn_cli.pipeline.stored import read_rows
from tests.plain_loading import plain_scores

FOLDER, GGUF = os.environ.get("DUOLEARN_SMOLLM2"), "SmolLM2-135M-Instruct.Q4_1.gguf"
PLAIN = os.environ.get("DUOLEARN_PLAIN_PYTHON", sys.executable)
NATS = 1e-4
SHORT = (
    *("dataset=everyday", "+forget=custom", "forget.name=geography", "forget.concepts=[geography]"),
    *("split.max_forget=3", "split.max_retain=6", "learn.epochs=2", "unlearn.epochs=2"),
    *("evaluation.max_items=3", "evaluation.generate_items=0", "evaluation.report=false"),
    # Products in bf16, the default where the processor has them, round answers by a tenth of a nat and more.
    *("runtime.precision=fp32", "runtime.threads=2"),
)


@pytest.fixture(scope="module")
def base():
    if not FOLDER or not (Path(FOLDER) / GGUF).is_file():
        pytest.skip(f"DUOLEARN_SMOLLM2 names no folder with {GGUF}")
    return Path(FOLDER)


def asked(folder, tokenizer):
    """The texts of every option that the unlearned model was asked, by the exported tokenizer, and the run's scores."""
    _, config = Run.open(folder)
    study = prepare(cast(RunConfig, config))
    encoder = Encoder(tokenizer, study.config.prompt)
    items = {item.id: item for side in study.scored().values() for item in side}
    rows = [row for row in read_rows(folder / "predictions.jsonl") if row["model"] == "unlearned"]
    encoded = [encoder.encode(items[row["id"]], option) for row in rows for option in range(len(row["scores"]))]
    texts = [{"ids": list(one.ids), "labels": list(one.labels("answer"))} for one in encoded]
    return texts, [score for row in rows for score in row["scores"]]


@pytest.mark.slow
def test_a_plain_python_gives_the_answers_of_the_run(base, duolearn, tmp_path):
    model = ("model=smollm2_135m", f"model.path={base}")
    done = duolearn("unlearn", *model, *SHORT, "run_dir=run", DUOLEARN_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    for form in ("adapter", "merged"):
        done = duolearn("export", "run=run", f"format={form}", f"export_path={form}", f"model.path={base}")
        assert done.returncode == 0, done.stderr
    texts, expected = asked(tmp_path / "run", AutoTokenizer.from_pretrained(tmp_path / "merged"))
    jobs = [
        {"folder": str(tmp_path / "merged"), "base": "", "texts": texts},
        # The card says where to get the base, which lies here as a GGUF.
        {"folder": str(tmp_path / "adapter"), "base": str(base), "texts": texts, "arguments": {"gguf_file": GGUF}},
    ]
    merged, adapter = plain_scores(jobs, tmp_path / "plain", PLAIN)
    assert len(expected) >= 32
    assert merged == pytest.approx(expected, abs=NATS)
    assert adapter == pytest.approx(expected, abs=NATS)


@pytest.mark.slow
@pytest.mark.skipif(sys.executable == PLAIN, reason="DUOLEARN_PLAIN_PYTHON names no other Python")
def test_the_plain_python_has_no_duolearn():
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([PLAIN, "-c", "import duolearn_cli"], env=own, cwd="/", capture_output=True, text=True)
    assert done.returncode == 1 and "No module named 'duolearn_cli'" in done.stderr
