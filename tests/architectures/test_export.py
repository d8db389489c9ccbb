"""What is exported of an architecture answers alike in plain transformers and plain PEFT, to 1e-4 nats an option."""

import sys

import pytest

from duolearn_cli.__main__ import main
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.pipeline.run_folder import Run
from tests.architectures.checks import _encoder, configured, items, open_model
from tests.architectures.table import WORKS, read
from tests.architectures.zoo import ARCHITECTURES, make_folder
from tests.plain_loading import plain_scores

NATS = 1e-4
# Tied embeddings, a mixture of experts, both, caps, a recurrent one, matrices in rows.
SAMPLE = ("llama, tied head", "mixtral", "qwen3_moe, tied head", "gemma2", "qwen3_next", "gpt2, untied head")
# Of the whole matrix, those that the product can merge and score.
MERGEABLE = [name for name, row in read().items() if row["merge"] == row["options in a row"] == WORKS]


def exported(name, scratch):
    """Jobs for plain loading of both forms, and what our own model scores."""
    folder = make_folder(ARCHITECTURES[name], scratch / "model")
    model = open_model(folder)
    run = Run.create(configured("graddiff", folder, scratch, "outputs"), [])
    model.save_adapter(run.folder / "adapter")
    run.update(status="finished")
    for form in ("merged", "adapter"):
        assert main(["export", f"run={run.folder}", f"format={form}", f"export_path={scratch / form}"]) == 0
    asked, encoder = items()[::8], _encoder(model)
    options = [encoder.encode(item, k) for item in asked for k in range(len(item.options))]
    texts = [{"ids": list(one.ids), "labels": list(one.labels("answer"))} for one in options]
    expected = [one for answer in score(model, encoder, asked, 512) for one in answer.scores]
    jobs = [
        {"folder": str(scratch / "merged"), "base": "", "texts": texts},
        {"folder": str(scratch / "adapter"), "base": str(folder), "texts": texts},
    ]
    return jobs, expected


@pytest.fixture
def argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["duolearn"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")


def test_a_sample_answers_alike(argv, tmp_path):
    made = [exported(name, tmp_path / str(place)) for place, name in enumerate(SAMPLE)]
    found = plain_scores([job for jobs, _ in made for job in jobs], tmp_path / "plain")
    for place, (name, (_, expected)) in enumerate(zip(SAMPLE, made, strict=True)):
        for form, scored in zip(("merged", "adapter"), found[2 * place : 2 * place + 2], strict=True):
            assert scored == pytest.approx(expected, abs=NATS), f"{name}, {form}"


@pytest.mark.slow
@pytest.mark.parametrize("name", MERGEABLE)
def test_the_whole_matrix_answers_alike(argv, tmp_path, name):
    jobs, expected = exported(name, tmp_path)
    for scored in plain_scores(jobs, tmp_path / "plain"):
        assert scored == pytest.approx(expected, abs=NATS)
