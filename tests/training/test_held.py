"""Held gradients: against one backward of the plain loss, through their file, and in the constraint."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator

from duolearn_cli.concepts.token_classes import UNLEARN
from duolearn_cli.config.unlearning import GeometryConfig, UnlearnConfig
from duolearn_cli.errors import RunError
from duolearn_cli.model.adapter_files import CONFIG_FILE
from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.encoding import collate
from duolearn_cli.model.losses import nll
from duolearn_cli.training.constraint import Constraint
from duolearn_cli.training.coordinates import Coordinates, flatten
from duolearn_cli.training.gradients import Batching, Gradients
from duolearn_cli.training.held import FILE, held_gradient, read_held, write_held
from duolearn_cli.training.update import Update
from tests.training.test_unlearn import make_examples

PROCESSES = Processes(Accelerator(cpu=True))


def plain_gradient(model, examples, targeted):
    """Of minus the mean nll of answer tokens, one backward over all of them."""
    losses = []
    for example in examples:
        batch = collate([example.text], "answer")
        logits = model.network(input_ids=batch.ids).logits[0][batch.position]
        kinds = torch.tensor(example.kind)
        values = nll(logits, batch.label)
        losses.append(values[kinds == UNLEARN] if targeted else values)
    loss = -torch.cat(losses).mean()
    everything = Coordinates(model.named_adapter)
    gradient = flatten(torch.autograd.grad(loss, everything.parameters))
    return gradient / gradient.norm()


@pytest.mark.parametrize("batching", [Batching(), Batching(2)], ids=["whole", "micro-batches"])
def test_it_is_the_gradient_of_the_mean_over_targeted_answer_tokens(fresh, study, batching):
    forget, _ = make_examples(fresh, study, "answer")
    assert any(UNLEARN in example.kind for example in forget)
    held = held_gradient(fresh, forget, "answer", PROCESSES, batching)
    assert float(held.norm()) == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(held, plain_gradient(fresh, forget, targeted=True), atol=2e-5, rtol=1e-3)


def test_it_does_not_depend_on_what_else_is_labelled(fresh, study):
    both = [
        held_gradient(fresh, make_examples(fresh, study, k)[0], k, PROCESSES, Batching()) for k in ("answer", "text")
    ]
    torch.testing.assert_close(*both, atol=2e-5, rtol=1e-3)


def test_without_a_targeted_token_all_tokens_of_answers_count(fresh, study):
    from dataclasses import replace

    forget, _ = make_examples(fresh, study, "answer")
    plain = [replace(example, kind=[0] * len(example.kind)) for example in forget]
    assert not any(UNLEARN in example.kind for example in plain)
    held = held_gradient(fresh, plain, "answer", PROCESSES, Batching())
    torch.testing.assert_close(held, plain_gradient(fresh, forget, targeted=False), atol=2e-5, rtol=1e-3)


def test_a_step_along_it_brings_the_answers_back(fresh, study):
    """The sign: moving against the gradient lowers the loss, which forgets; moving along it recalls."""
    forget, _ = make_examples(fresh, study, "answer")
    everything = Coordinates(fresh.named_adapter)
    held = held_gradient(fresh, forget, "answer", PROCESSES, Batching())

    def mean_nll(shift):
        with torch.no_grad():
            everything.values.add_(shift * held)
            everything.write()
            total = [
                nll(fresh.network(input_ids=b.ids).logits[0][b.position], b.label)
                for b in (collate([example.text], "answer") for example in forget)
            ]
            everything.values.sub_(shift * held)
            everything.write()
        return float(torch.cat(total).mean())

    assert mean_nll(1e-2) < mean_nll(0.0) < mean_nll(-1e-2)


def test_files_give_back_each_request(fresh, tmp_path):
    size = len(Coordinates(fresh.named_adapter).values)
    vectors = {"1": torch.randn(size), "2": torch.randn(size)}
    (tmp_path / CONFIG_FILE).write_text("{}")  # an adapter is saved before its held gradients
    write_held(tmp_path, fresh.named_adapter, vectors)
    again = read_held(tmp_path, fresh.named_adapter)
    assert list(again) == ["1", "2"] and all(torch.equal(again[name], value) for name, value in vectors.items())
    assert read_held(tmp_path / "nowhere", fresh.named_adapter) == {}
    (tmp_path / FILE).write_bytes(b"torn")
    with pytest.raises(RunError, match=r"held\.safetensors cannot be read"):
        read_held(tmp_path, fresh.named_adapter)


@pytest.mark.parametrize("basis", [0, 2])
@pytest.mark.parametrize("space", ["step", "gradient", "none"])
def test_no_step_rises_along_what_is_held(fresh, space, basis):
    held = torch.nn.functional.normalize(torch.randn(2, len(Coordinates(fresh.named_adapter).values)), dim=1)
    settings = GeometryConfig(space=space, basis_size=basis, basis_every=1)
    update = Update(Coordinates(fresh.named_adapter), UnlearnConfig(optimizer="SGD"), settings, PROCESSES, held)
    for step in range(1, 5):
        # Forgetting asks for the way back along both.
        gradient = -held.sum(0) + 0.1 * torch.randn(held.shape[1])
        move = update.apply(step, 1e-2, Gradients(gradient, 0.1 * torch.randn(held.shape[1])))
        assert (held @ move.step <= 1e-6).all() and (held @ move.wanted > 0).all()


def test_a_resumed_constraint_holds_the_same(fresh):
    n = 50
    held, settings = torch.randn(1, n), GeometryConfig(space="step", basis_size=3, basis_every=1)
    first = Constraint(settings, [n], PROCESSES, held)
    for step in range(1, 5):
        first.remember(step, torch.randn(n))
    again = Constraint(settings, [n], PROCESSES, held)
    again.restore(first.state())
    step, preserve = torch.randn(n), torch.randn(n)
    for one, other in zip(first.allow(step, preserve), again.allow(step, preserve), strict=True):
        torch.testing.assert_close(one, other)
