"""The base model of mininotes: it knows how notes are written, knows no patient, and learns to."""

import statistics

import pytest

from duolearn_cli.config.compose import compose
from duolearn_cli.config.schema import ModelConfig, RuntimeConfig
from duolearn_cli.data.readers.mininotes import MiniNotes
from duolearn_cli.data.readers.mininotes_world import attributes, patients
from duolearn_cli.evaluation.perplexity import perplexity
from duolearn_cli.evaluation.scoring import score
from duolearn_cli.model.encoding import Encoder
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.weights import find_weights
from tests.scripts import load

study = load("notes_base_study")


@pytest.fixture(scope="module")
def base():
    config = ModelConfig(name="mininotes", embedded=True)
    return load_model(find_weights(config, None), config, RuntimeConfig(device="cpu", precision="fp32"), seed=0)


@pytest.fixture(scope="module")
def prompt():
    return compose("unlearn", ["+forget=surgery", "dataset=mininotes"]).prompt


def test_the_data_set_selects_its_base():
    assert compose("unlearn", ["+forget=surgery", "dataset=mininotes"]).model.name == "mininotes"
    assert compose("unlearn", ["+forget=surgery", "dataset=mininotes", "model=tiny"]).model.name == "tiny"


def test_the_base_knows_no_patient(base, prompt):
    probes = [item for item in MiniNotes(patients=20).load().items if item.heldout and not item.continues]
    answers = score(base, Encoder(base.tokenizer, prompt), probes, 4096)
    chance = statistics.fmean(1 / len(item.options) for item in probes)
    # Two standard errors of 300 guesses are 4 points.
    assert abs(statistics.fmean(answer.prediction == answer.answer for answer in answers) - chance) < 0.06


def test_the_base_knows_how_notes_are_written(base):
    texts = [document.text for document in MiniNotes(patients=20).load().documents]
    losses = perplexity(base, base.tokenizer, texts, 4096, 512)
    assert sum(one.nll for one in losses) / sum(one.num_tokens for one in losses) < 0.9


def test_names_and_values_are_few_tokens(base):
    def length(text):
        return len(base.tokenizer(f" {text}").input_ids)

    assert statistics.fmean(length(person.name) for person in patients(360, 1)) < 4.2
    assert max(length(value) for attribute in attributes() for value in attribute.values) <= 3


def test_gold_learns_no_fact_of_the_subject_that_is_left_out():
    world = MiniNotes(patients=5).load()
    left = study.without(world, "Surgery")
    surgery = [attribute for attribute in attributes() if attribute.subject == "Surgery"]
    assert len(left.items) == len(world.items) * (len(attributes()) - len(surgery)) // len(attributes())
    values = [value for attribute in surgery for value in attribute.values]
    assert not [value for document in left.documents for value in values if value in document.text]
    assert sum(value in document.text for document in world.documents for value in values) > 20


@pytest.mark.slow
def test_the_target_knows_what_it_learned(prompt):
    config = compose("learn", ["+forget=surgery", "dataset=mininotes"])
    model = load_model(find_weights(config.model, None), config.model, RuntimeConfig(device="cpu"), seed=0)
    encoder, world = Encoder(model.tokenizer, prompt), MiniNotes().load()
    study.learn(model, encoder, world, config.learn)
    assert study.accuracies(model, encoder, world.items)["probes"] > 0.95
