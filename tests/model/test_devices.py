"""Another device computes what the processor computes. No other test sees a GPU, so those that need one say so."""

import os

import pytest
import torch

from duolearn_cli.config.model import AdapterConfig
from duolearn_cli.config.schema import ModelConfig, RuntimeConfig
from duolearn_cli.model.loading import load_model
from duolearn_cli.model.weights import find_weights
from duolearn_cli.training.forward import predict
from tests.training.test_unlearn import make_examples, method

CONFIG = ModelConfig(name="tiny", embedded=True, adapter=AdapterConfig(rank=4, alpha=8))
# On a processor the test holds itself: the same computation gives the same numbers.
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def step(model, study, name):
    """A step's losses and the adapter's gradient, on the host, with the references that they come from."""
    chosen = method(name)
    forget, retain = make_examples(model, study, chosen.labels, attention=chosen.attention)
    objective = chosen.objective(predict(model, forget + retain, chosen.labels, chosen.attention).tokens)
    found = torch.stack([objective.forget, objective.preserve]).detach().cpu()
    return found, torch.cat([example.reference.base_nll for example in forget + retain]).cpu()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["duolearn", "npo", "rmu"])
def test_losses_and_references_are_those_of_the_processor(fresh, study, device, name):
    """In float32, to what the order of sums changes."""
    runtime = RuntimeConfig(device=device, precision="fp32")
    other = load_model(find_weights(CONFIG, None), CONFIG, runtime, seed=0)
    assert other.device.type == device
    for mine, theirs in zip(other.adapter, fresh.adapter, strict=True):
        mine.data.copy_(theirs)
    for here, there in zip(step(fresh, study, name), step(other, study, name), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


def test_a_test_without_the_mark_sees_no_gpu(request):
    assert "not gpu" not in request.config.getoption("markexpr") or os.environ["CUDA_VISIBLE_DEVICES"] == ""
