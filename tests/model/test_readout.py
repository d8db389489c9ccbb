"""Numbers read from the output layer in chunks, compared with autograd through all logits, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.model import losses, readout
from duolearn_cli.model.host_to_device import Rows
from duolearn_cli.model.readings import Reading, kl_at, nll_at
from duolearn_cli.model.readout import Readout

VOCABULARY, WIDTH = 11, 5


class Linear:
    """An output layer that counts the rows that go through it."""

    vocabulary = VOCABULARY

    def __init__(self, generator):
        self.weight = torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=torch.float64)
        self.rows = 0

    def head(self, hidden):
        self.rows += len(hidden)
        return hidden @ self.weight.T

    def pull(self, gradient, logits):
        return gradient @ self.weight


def made_up(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    head = Linear(generator)
    hidden, base, target = torch.randn(3, count, WIDTH, generator=generator, dtype=torch.float64)
    labels = torch.randint(VOCABULARY, (count,), generator=generator)
    first, second = torch.rand(2, count, generator=generator) < 0.5
    return head, hidden.requires_grad_(), labels, {"base": lambda: base, "target": lambda: target}, first, second


def entropy(logits, labels, reference):
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


def plain(head, hidden, labels, references, first, second):
    logits = hidden @ head.weight.T
    others = {name: values() @ head.weight.T for name, values in references.items()}
    return [
        losses.nll(logits, labels)[first],
        losses.kl(others["base"], logits)[second],
        losses.kl(others["target"], logits)[first],
        entropy(logits, labels, None)[second],
    ]


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 5))
def test_equals_autograd_through_all_logits(count, chunk, seed):
    head, hidden, labels, references, first, second = made_up(count, seed)
    readings = nll_at(first), kl_at(second, "base"), kl_at(first, "target"), Reading(entropy, second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readout, "LOGITS_PER_CHUNK", chunk * VOCABULARY)
        read = Readout(head, Rows([hidden]), labels, references)
        values = read.read(*readings)
    expected = plain(head, hidden, labels, references, first, second)
    for one, other in zip(values, expected, strict=True):
        torch.testing.assert_close(one, other)
        # A reading without tokens has no graph, so that it needs no backward.
        assert one.requires_grad == (len(one) > 0)
        if not len(one):
            continue
        weights = torch.linspace(-1, 2, len(one), dtype=torch.float64)
        gradients = [
            torch.autograd.grad((weights * each.square()).sum(), hidden, retain_graph=True)[0] for each in (one, other)
        ]
        torch.testing.assert_close(*gradients)
    torch.testing.assert_close(read.nll, losses.nll(hidden @ head.weight.T, labels).detach())
    assert not read.nll.requires_grad


def test_without_gradients_only_values_are_computed():
    head, hidden, labels, references, first, _ = made_up(20)
    with torch.no_grad():
        (nll,) = Readout(head, Rows([hidden]), labels, references).read(nll_at(first))
    assert not nll.requires_grad
    head.pull = None
    (nll,) = Readout(head, Rows([hidden.detach()]), labels, references).read(nll_at(first))
    assert not nll.requires_grad


def test_the_nll_of_all_tokens_costs_nothing_after_a_reading():
    head, hidden, labels, references, first, second = made_up(20)
    read = Readout(head, Rows([hidden]), labels, references)
    read.read(nll_at(first), kl_at(second, "base"))
    assert head.rows == 20 + int(second.sum())
    assert len(read.nll) == 20 and head.rows == 20 + int(second.sum())
    alone = Readout(head, Rows([hidden]), labels, references)
    torch.testing.assert_close(alone.nll, read.nll)
