"""What a step asks of the device: it runs on one that holds no data, so that nothing can have been read off it."""

import copy
import sys

import pytest
import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import masking_utils

from duolearn_cli.methods.base import attention_of, geometry_of
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
    """Nothing of the host takes part in what the device does, but for single numbers and what `send` brings there.

    A real device refuses some of that, and silently waits for the rest; one without data accepts much of it.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        found = function(*args, **kwargs)
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        made = [one for one in tree_leaves(found) if isinstance(one, torch.Tensor)]
        hosts = [one for one in given if one.device.type == "cpu" and one.dim()]
        if hosts and any(one.device.type == "meta" for one in [*given, *made]):
            assert is_sending(), f"{function} brings {[tuple(one.shape) for one in hosts]} of the host to the device"
        return found


def is_sending():
    frame = sys._getframe()
    while frame is not None and frame.f_code is not send.__code__:
        frame = frame.f_back
    return frame is not None


@pytest.fixture
def nowhere(fresh, monkeypatch):
    """The model on a device that holds shapes alone: reading a value, or how many a mask has, is an error there."""
    # The one look that transformers takes itself, at whether anything is padded.
    monkeypatch.setattr(masking_utils, "_ignore_causal_mask_sdpa", lambda *args, **others: False)
    fresh.check_attention(masks=True, kept_layers=0)  # looked at once, when a run begins
    model = copy.deepcopy(fresh)
    model.network.to("meta")
    model.device = torch.device("meta")
    return model


def step(model, chosen, found, micro_batch=None, pack_to=None):
    processes = Processes(Accelerator(cpu=True))
    update = Update(Coordinates(model.named_adapter), SETTINGS, geometry_of(chosen), processes)
    squares = update.constraint.settings.needs_fisher
    with OnlySent():
        given = gradients(model, found, chosen, update.coordinates, processes, Batching(micro_batch, pack_to), squares)
        return given, update.apply(1, 1e-3, given)


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
    found = [one for side in make_examples(fresh, study, chosen.labels, attention=attention_of(chosen)) for one in side]
    given, move = step(nowhere, chosen, found, **settings)
    for value in (given.forget, given.preserve, move.step):
        assert value.device.type == "meta" and len(value) == fresh.num_adapter_parameters


def test_several_constraints_do_wait(fresh, nowhere, study):
    """Their multipliers come from a solver on the host: the check above would see that."""
    chosen = method("duolearn", "method.geometry.basis_size=2")
    found = [one for side in make_examples(fresh, study, chosen.labels) for one in side]
    processes = Processes(Accelerator(cpu=True))
    update = Update(Coordinates(nowhere.named_adapter), SETTINGS, geometry_of(chosen), processes)
    given = gradients(nowhere, found, chosen, update.coordinates, processes)
    update.apply(1, 1e-3, given)
    with pytest.raises(NotImplementedError):
        update.apply(2, 1e-3, given)


def test_rows_are_those_of_the_joined_matrix_and_reach_the_parts_they_are_in():
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
    """Of a cut model every process goes back through its forward, whatever it has a part in."""
    parts = [torch.randn(size, 3, requires_grad=True) for size in (2, 4)]
    none = torch.zeros(6, dtype=torch.bool)
    reached = torch.autograd.grad(Rows(parts, linked=True)[none].sum(), parts, allow_unused=True)
    assert [gradient.abs().sum().item() for gradient in reached] == [0, 0]


def test_what_is_no_mask_is_refused():
    """Indices would be taken for a mask of as many rows, and a mask on the device would be waited for."""
    for wrong in (torch.tensor([0, 1]), torch.ones(2, dtype=torch.bool, device="meta")):
        with pytest.raises(TypeError, match=r"a mask of torch\..* booleans on the host"):
            Rows([torch.ones(2, 3)])[wrong]
        with pytest.raises(TypeError, match=r"a mask of torch\..* booleans on the host"):
            Readout(Identity(), Rows([torch.ones(2, 7)]), torch.tensor([0, 1]), {}).read(nll_at(wrong))


def test_the_check_sees_what_comes_past_it():
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
