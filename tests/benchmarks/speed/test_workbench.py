"""The timed steps are those of the unlearning loop, and each text of a step goes through the model once."""

from dataclasses import replace

import pytest
from omegaconf import OmegaConf
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from duolearn_cli.benchmarks.speed import plain
from duolearn_cli.benchmarks.speed.enlarged import enlarge
from duolearn_cli.benchmarks.speed.memory import measured
from duolearn_cli.benchmarks.speed.session import with_vocabulary
from duolearn_cli.benchmarks.speed.variants import variants
from duolearn_cli.benchmarks.speed.workbench import Workbench
from duolearn_cli.config.compose import compose
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import groups
from duolearn_cli.training.coordinates import flatten

EVERY = variants(compose("bench", ["+forget=surgery"]))
OF_OURS = [name for name, variant in EVERY.items() if variant.method]


def rows_seen(run):
    """The number of texts that enter any model while `run` runs."""
    counts = []

    def count(module, inputs, output):
        if isinstance(module, nn.Embedding):
            counts.append(len(inputs[0]))

    hook = register_module_forward_hook(count)
    try:
        run()
    finally:
        hook.remove()
    return sum(counts)


@pytest.mark.parametrize("name", [f"method/{name}" for name in sorted(groups()["method"])] + ["private/both"])
def test_a_step_takes_each_text_through_the_model_once(workbench, name):
    step = workbench.step(EVERY[name])
    texts = sum(map(len, workbench.texts))
    assert 0 < rows_seen(step.run) <= texts


def test_the_peer_takes_forget_texts_through_two_models(workbench):
    forget, retain = map(len, workbench.texts)
    assert rows_seen(workbench.step(EVERY["peer/npo_lora"]).run) == 2 * forget + retain
    assert rows_seen(workbench.step(EVERY["plain/lora_text"]).run) == forget + retain


@pytest.mark.parametrize("name", OF_OURS)
def test_every_step_of_ours_runs_and_moves_the_adapter(workbench, name):
    plain.scatter(workbench.lab.model.network)
    before = flatten(workbench.lab.model.adapter).clone()
    step = workbench.step(EVERY[name])
    step.run()
    assert not flatten(workbench.lab.model.adapter).equal(before)
    assert step.warm_up >= 2


def test_evaluation_goes_over_the_texts_of_the_plain_forward(workbench):
    plain_rows = rows_seen(workbench.step(EVERY["evaluation/forward"]).run)
    full = workbench.step(EVERY["evaluation/full"]).run
    assert 0 < rows_seen(full) <= plain_rows


def test_peak_memory_is_at_least_the_memory_before_the_steps(workbench):
    memory = measured(workbench, "plain/lora_answer")
    assert memory["peak_bytes"] >= memory["before_bytes"] > 0


def test_a_larger_vocabulary_serves_the_same_texts(workbench, tmp_path):
    config = OmegaConf.merge(workbench.study.config, {"bench": {"vocabulary": 5000}})
    study = with_vocabulary(replace(workbench.study, config=config), tmp_path / "model")
    larger = Workbench(study, tmp_path)
    assert larger.texts == workbench.texts
    head = larger.plain.network.get_base_model().get_output_embeddings().weight
    own = workbench.plain.network.get_base_model().get_output_embeddings().weight
    assert len(head) == 5000 and head[: len(own)].equal(own)
    assert head[len(own) :].std() == pytest.approx(float(own.std()), rel=0.1)
    assert workbench.study.config.model.embedded, "the study itself is left alone"


def test_a_smaller_vocabulary_is_refused(workbench, tmp_path):
    with pytest.raises(ConfigError, match=r"bench.vocabulary=10: tiny has 4096 tokens; allowed: 4096 or more"):
        enlarge(workbench.study.config, 10, tmp_path)
