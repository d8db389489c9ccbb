"""Squared per-example gradients, compared with one backward per example."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator

from duolearn_cli.config.compose import component, compose
from duolearn_cli.errors import ModelError
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import collate
from duolearn_cli.training.coordinates import Coordinates, flatten
from duolearn_cli.training.fisher import SquaredGradients
from duolearn_cli.training.gradients import Batching, gradients
from tests.plain import plain_tokens
from tests.small_models import used_twice
from tests.training.test_unlearn import make_examples


def collected(model, examples, chosen, **settings):
    processes = Processes(Accelerator(cpu=True))
    coordinates = Coordinates(model.named_adapter)
    return gradients(model, examples, chosen, coordinates, processes, Batching(**settings), squares=True)


def naive(model, examples, chosen):
    """Return the mean over retain items of squared gradients, from one backward each through the loss of the step."""
    step = plain_tokens(model, examples, chosen.labels)
    own = [example for example in examples if not example.is_forget]
    total = 0
    for example in own:
        tokens = plain_tokens(model, [example], chosen.labels, step=step)
        loss = chosen.objective(tokens).preserve
        total = total + (len(own) * flatten(torch.autograd.grad(loss, model.adapter))).square()
    return total / len(own)


@pytest.mark.parametrize("name", ["duolearn", "npo"])
@pytest.mark.parametrize("settings", [{}, {"micro_batch": 2}, {"pack_to": 100}], ids=["padded", "micro", "packed"])
def test_equals_one_backward_an_example(fresh, study, name, settings):
    chosen = component(compose("unlearn", ["+forget=surgery", f"method={name}"]).method)
    forget, retain = make_examples(fresh, study, chosen.labels)
    examples = [*forget[:3], *retain[:4]]
    found = collected(fresh, examples, chosen, **settings).squares
    expected = naive(fresh, examples, chosen)
    assert expected.max() > 0
    assert (found - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("settings", [{}, {"micro_batch": 2}, {"pack_to": 100}], ids=["padded", "micro", "packed"])
def test_a_gradient_of_a_module_that_is_used_twice_is_squared_as_a_whole(fresh, study, settings, monkeypatch):
    """The square of the sum over uses is needed, not the sum of squares. Each side has a forward of its own."""
    used_twice(fresh, monkeypatch)
    test_equals_one_backward_an_example(fresh, study, "npo", settings)


def test_a_use_that_the_loss_does_not_depend_on_is_not_waited_for(fresh, study, monkeypatch):
    layer = fresh.decoder.layers[-1].mlp
    once = layer.forward

    def forward(states):
        _ = once(states)
        return once(states)

    monkeypatch.setattr(layer, "forward", forward)
    test_equals_one_backward_an_example(fresh, study, "npo", {})


def test_they_are_those_of_whole_answers_and_not_of_mean_losses(fresh, study):
    """With a mean over tokens, as in graddiff, they are (m n_i / N)^2 g_i^2: see docs/geometry.md."""
    chosen = component(compose("unlearn", ["+forget=surgery", "method=graddiff", "method.retain=nll"]).method)
    forget, retain = make_examples(fresh, study, chosen.labels)
    # Answers of different lengths.
    lengths = {len(collate([example.text], chosen.labels).label): example for example in retain}
    own = list(lengths.values())[:4]
    assert len(own) > 1
    found = collected(fresh, [*forget[:1], *own], chosen).squares
    alone = torch.stack([collected(fresh, [forget[0], one], chosen).squares for one in own])
    counts = torch.tensor([float(len(collate([one.text], chosen.labels).label)) for one in own])
    parts = (counts / counts.mean()).square()[:, None]
    assert torch.allclose(found, (parts * alone).mean(0), rtol=1e-3, atol=1e-3 * float(found.max()))
    assert (found - alone.mean(0)).norm() > 0.05 * found.norm()


def test_nothing_is_collected_where_nothing_was_asked(fresh, study):
    chosen = component(compose("unlearn", ["+forget=surgery", "method=npo"]).method)
    forget, retain = make_examples(fresh, study, chosen.labels)
    watch = SquaredGradients(fresh.network, fresh.adapter)
    with watch.recording():
        tokens = plain_tokens(fresh, forget[:2] + retain[:2], chosen.labels)
    batch = collate([example.text for example in forget[:2] + retain[:2]], chosen.labels)
    with watch.receiving(batch, []):
        chosen.objective(tokens).preserve.backward(retain_graph=True)
    chosen.objective(tokens).preserve.backward()
    assert watch.take().abs().max() == 0
    fresh.network.zero_grad()


def test_other_trainable_parameters_are_refused():
    network = torch.nn.Sequential(torch.nn.Embedding(3, 2), torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match="only for adapters on linear layers and fused experts"):
        SquaredGradients(network, list(network.parameters()))
    linear = torch.nn.Linear(2, 2, bias=False)
    SquaredGradients(linear, list(linear.parameters()))
