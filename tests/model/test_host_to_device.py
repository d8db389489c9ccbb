"""A step never waits for the device: it runs on a device without data, from which nothing can be read."""

import copy
import sys

import pytest
import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import masking_utils

from duolearn_cli.model.distributed import Processes
from duolearn_cli.model.host_to_device import Rows, places, send
from duolearn_cli.model.readings import nll_at
from duolearn_cli.model.readout import Readout
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.gradients import Batching, gradients
from duolearn_cli.training.update import Update
from tests.methods.made_up import Identity
from tests.training.test_unlearn import METHODS, SETTINGS, make_examples, method

BIASED = ["method.unlearn_key_bias=1", "method.attention_weight=0.5"]
FISHER = ["method.geometry.metric=optimizer", "method.geometry.fisher_price=0.1"]


class OnlySent(TorchDispatchMode):
    """Fail if a host tensor enters an operation of the device, except single numbers and tensors that `send` brings.

    A real device refuses some such operations and silently waits for the rest. A device without data accepts many.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        inputs = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        outputs = [one for one in tree_leaves(result) if isinstance(one, torch.Tensor)]
        hosts = [one for one in inputs if one.device.type == "cpu" and one.dim()]
        if hosts and any(one.device.type == "meta" for one in [*inputs, *outputs]):
            assert is_sending(), f"{function} brings {[tuple(one.shape) for one in hosts]} of the host to the device"
        return result


def is_sending():
    frame = sys._getframe()
    while frame is not None and frame.f_code is not send.__code__:
        frame = frame.f_back
    return frame is not None


@pytest.fixture
def nowhere(fresh, monkeypatch):
    """The model on a device that only has shapes: reading a value, or the number of a mask's entries, is an error."""
    # transformers itself reads one value: whether anything is padded.
    monkeypatch.setattr(masking_utils, "_ignore_causal_mask_sdpa", lambda *args, **others: False)
    fresh.check_attention(masks=True, kept_layers=0)  # probes that run once, when a run begins
    model = copy.deepcopy(fresh)
    model.network.to("meta")
    model.device = torch.device("meta")
    return model


def step(model, chosen, examples, micro_batch=None, pack_to=None):
    processes = Processes(Accelerator(cpu=True))
    update = Update(Coordinates(model.named_adapter), SETTINGS, chosen.geometry, processes)
    squares = update.constraint.settings.needs_fisher
    with OnlySent():
        batching = Batching(micro_batch, pack_to)
        own = gradients(model, examples, chosen, update.coordinates, processes, batching, squares)
        return own, update.apply(1, 1e-3, own)


@pytest.mark.parametrize(
    ("name", "overrides", "settings"),
    [
        *((name, [], {}) for name in METHODS),
        ("duolearn", [], {"micro_batch": 4}),
        ("duolearn", [], {"pack_to": 200}),
        ("duolearn", BIASED, {}),
        ("duolearn", FISHER, {}),
        ("npo", ["method.retain=kl"], {}),
    ],
)
def test_no_step_waits_for_the_device(fresh, nowhere, study, name, overrides, settings):
    chosen = method(name, *overrides)
    sides = make_examples(fresh, study, chosen.labels, attention=chosen.attention)
    own, move = step(nowhere, chosen, [one for side in sides for one in side], **settings)
    for value in (own.forget, own.preserve, move.step):
        assert value.device.type == "meta" and len(value) == fresh.num_adapter_parameters


def test_several_constraints_do_wait(fresh, nowhere, study):
    """Their multipliers come from a solver on the host, which the check above would notice."""
    chosen = method("duolearn", "method.geometry.basis_size=2")
    examples = [one for side in make_examples(fresh, study, chosen.labels) for one in side]
    processes = Processes(Accelerator(cpu=True))
    update = Update(Coordinates(nowhere.named_adapter), SETTINGS, chosen.geometry, processes)
    own = gradients(nowhere, examples, chosen, update.coordinates, processes)
    update.apply(1, 1e-3, own)
    with pytest.raises(NotImplementedError):
        update.apply(2, 1e-3, own)


def test_selected_rows_equal_those_of_the_joined_matrix_and_their_gradient_reaches_their_parts():
    parts = [torch.randn(size, 3, requires_grad=True) for size in (2, 0, 4)]
    mask = torch.tensor([False, False, True, False, True, True])
    rows = Rows(parts)
    assert torch.equal(rows[mask], torch.cat(parts)[mask]) and torch.equal(rows.joined(), torch.cat(parts))
    reached = torch.autograd.grad(rows[mask].sum(), parts, allow_unused=True)
    assert [gradient is not None for gradient in reached] == [False, False, True]
    assert torch.equal(reached[2].sum(1), 3.0 * mask[2:])
    assert rows.requires_grad and not rows[~mask & mask].requires_grad
    assert rows[~mask & mask].shape == (0, 3)


def test_linked_rows_reach_every_part():
    """In a sharded model every process runs its backward, whichever losses its texts have a part in."""
    parts = [torch.randn(size, 3, requires_grad=True) for size in (2, 4)]
    none = torch.zeros(6, dtype=torch.bool)
    reached = torch.autograd.grad(Rows(parts, linked=True)[none].sum(), parts, allow_unused=True)
    assert [gradient.abs().sum().item() for gradient in reached] == [0, 0]


def test_only_boolean_masks_on_the_host_are_accepted():
    """Indices would be taken for a mask of as many rows, and a mask on the device would make the host wait."""
    for wrong in (torch.tensor([0, 1]), torch.ones(2, dtype=torch.bool, device="meta")):
        with pytest.raises(TypeError, match=r"a mask of torch\..* booleans on the host"):
            Rows([torch.ones(2, 3)])[wrong]
        with pytest.raises(TypeError, match=r"a mask of torch\..* booleans on the host"):
            Readout(Identity(), Rows([torch.ones(2, 7)]), torch.tensor([0, 1]), {}).read(nll_at(wrong))


def test_the_check_notices_tensors_that_send_did_not_bring():
    device = torch.ones(3, device="meta")
    with OnlySent(), pytest.raises(AssertionError, match="of the host"):
        device[torch.tensor([0, 2])]
    with OnlySent(), pytest.raises(AssertionError, match="of the host"):
        torch.ones(3).to("meta")
    with OnlySent():
        device[places(torch.tensor([True, False, True]), device.device)] * torch.tensor(2.0)


def test_places_and_values_arrive():
    mask = torch.tensor([True, False, True])
    assert places(mask, torch.device("cpu")).tolist() == [0, 2]
    assert send(mask, torch.device("meta")).device.type == "meta"
    assert places(~mask & mask, torch.device("cpu")).tolist() == []
