"""Every architecture does what docs/architectures.md says of it: it works, or is refused with that message."""

import pytest

from duolearn_cli.model.adapter_names import Place
from duolearn_cli.training.per_example_probe import check_per_example
from tests.architectures.checks import CHECKS, compare_private_step, open_model, outcomes
from tests.architectures.table import PAGE, WORKS, page, read
from tests.architectures.zoo import ARCHITECTURES, make_folder

# One of each family, and the checks that take no run of their own; the whole matrix is for `make test-all`.
SAMPLE = ("gemma2", "qwen2_moe", "qwen3_next", "gpt2, untied head")
QUICK = ("single gradients", "private step", "16-bit rounding", "merge", "packing", "options in a row")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample(name, tmp_path):
    found = outcomes(make_folder(ARCHITECTURES[name], tmp_path / "model"), tmp_path, QUICK)
    assert found == {check: read()[name][check] for check in QUICK}


def test_a_private_step_with_the_modules_that_a_refusal_leaves(tmp_path):
    """Those of Gemma 3n: some lie outside of its layers, and one is used twice by each."""
    name = "gemma3n_text"
    folder = make_folder(ARCHITECTURES[name], tmp_path / "model")
    targets = read()[name]["private step"].partition("model.adapter.targets=")[2].removesuffix(".")
    model = open_model(folder, targets)
    layers = {(place := Place.of(name)).module: place.layer for name, _ in model.named_adapter}
    assert layers["modality_router"] == 1 and layers["per_layer_model_projection"] == -1
    check_per_example(model)
    compare_private_step(model, folder, tmp_path)


def test_a_sample_of_the_main_job(tmp_path):
    folder = make_folder(ARCHITECTURES["mixtral"], tmp_path / "model")
    assert outcomes(folder, tmp_path, ["learn, duolearn"]) == {"learn, duolearn": WORKS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_whole_matrix(name, tmp_path):
    assert outcomes(make_folder(ARCHITECTURES[name], tmp_path / "model"), tmp_path) == read()[name]


def test_the_page_shows_the_outcomes_of_all():
    found = read()
    assert list(found) == list(ARCHITECTURES) and all(list(row) == list(CHECKS) for row in found.values())
    assert PAGE.read_text(encoding="utf-8") == page(found)


def test_most_architectures_do_the_main_job():
    main = ("learn, duolearn", "npo", "resume", "merge", "options in a row")
    assert sum(all(row[check] == WORKS for check in main) for row in read().values()) >= 45
