"""The plain references are fair: on the same texts they compute the same loss and gradient as our code."""

import pytest
import torch
from accelerate import Accelerator

from duolearn_cli.benchmarks.speed import plain
from duolearn_cli.benchmarks.speed.variants import methods
from duolearn_cli.config.components import component
from duolearn_cli.model.distributed import Processes
from duolearn_cli.pipeline.examples import examples
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.gradients import gradients

PROCESSES = Processes(Accelerator(cpu=True))


def labelled(workbench, labels):
    """The examples of a step, with reference predictions by the adapter of seed 0."""
    plain.scatter(workbench.lab.model.network, seed=0)
    request = workbench.study.request
    return [
        *examples(workbench.target(), request.forget, True, labels),
        *examples(workbench.target(), request.retain, False, labels),
    ]


@pytest.fixture
def moved(workbench):
    """Our examples and the peer's reference, made with one adapter, after which both models get another one."""
    step_examples = labelled(workbench, "answer")
    plain.scatter(workbench.plain.network, seed=0)
    reference = plain.reference_of(workbench.plain.network)
    for network in (workbench.lab.model.network, workbench.plain.network):
        plain.scatter(network, seed=1)
    yield step_examples, reference
    for network in (workbench.lab.model.network, workbench.plain.network):
        plain.scatter(network, seed=0)


def gradient_of(workbench, loss):
    named = [pair for pair in workbench.plain.network.named_parameters() if pair[1].requires_grad]
    loss.backward()
    return Coordinates(named).gradient()


@pytest.mark.parametrize(("beta", "weight"), [(0.1, 1.0), (1.0, 0.5)])
def test_the_peers_npo_is_ours(workbench, moved, beta, weight):
    step_examples, reference = moved
    npo = component(methods(workbench.study.config)["npo"])
    npo.beta, npo.retain_weight = beta, weight
    everything = Coordinates(workbench.lab.model.named_adapter)
    ours = gradients(workbench.lab.model, step_examples, npo, everything, PROCESSES)
    forget, retain = workbench.texts
    theirs = plain.npo_loss(workbench.plain, reference, forget, retain, beta, weight)
    assert theirs.item() == pytest.approx(float(ours.losses["forget_loss"] + ours.losses["preserve_loss"]), rel=1e-5)
    gradient = gradient_of(workbench, theirs)
    assert gradient.norm() > 0
    torch.testing.assert_close(ours.forget + ours.preserve, gradient, rtol=1e-3, atol=1e-5 * float(gradient.norm()))


def test_the_plain_loss_is_the_mean_over_all_labels(workbench):
    """GradDiff's retain loss is the same mean, and its forget loss is that of the forget side, negated."""
    graddiff = component(methods(workbench.study.config)["graddiff"])
    step_examples = labelled(workbench, "answer")
    losses = gradients(
        workbench.lab.model, step_examples, graddiff, Coordinates(workbench.lab.model.named_adapter), PROCESSES
    ).losses
    forget, retain = workbench.texts
    means = [plain.language_model_loss(workbench.plain, side, "answer")().item() for side in (forget, retain)]
    assert means == pytest.approx([-float(losses["forget_loss"]), float(losses["preserve_loss"])], rel=1e-5)
    counts = [sum(len(text.labels("answer")) for text in side) for side in (forget, retain)]
    both = plain.language_model_loss(workbench.plain, [*forget, *retain], "answer")().item()
    assert both == pytest.approx(sum(m * n for m, n in zip(means, counts, strict=True)) / sum(counts), rel=1e-5)


def test_padding_and_questions_are_not_labels(workbench):
    forget, _ = workbench.texts
    batch = plain.padded(forget, "answer", torch.device("cpu"))
    assert (batch["labels"] != plain.IGNORED).sum() == sum(len(text.labels("answer")) for text in forget)
    assert batch["attention_mask"].sum() == sum(len(text.ids) for text in forget)
    assert (batch["labels"][batch["attention_mask"] == 0] == plain.IGNORED).all()


def test_a_training_step_moves_the_trainable_parameters_only(workbench):
    full = plain.load_plain(workbench.study.config, adapter=False)
    reference = plain.reference_of(full.network)
    before = {name: parameter.detach().clone() for name, parameter in full.network.named_parameters()}
    forget, retain = workbench.texts
    plain.training_step(full, lambda: plain.npo_loss(full, reference, forget, retain, 0.1, 1.0))()
    assert all(not torch.equal(parameter, before[name]) for name, parameter in full.network.named_parameters())
    assert all(torch.equal(parameter, before[name]) for name, parameter in reference.named_parameters())
    plain.training_step(workbench.plain, plain.language_model_loss(workbench.plain, forget, "text"))()
    assert all("lora_" in name for name, p in workbench.plain.network.named_parameters() if p.requires_grad)
