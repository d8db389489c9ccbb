"""The choice of coordinates, compared with gradients of one item at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from duolearn_cli.config.unlearning import UnlearnConfig
from duolearn_cli.data.order import sample
from duolearn_cli.errors import RunError
from duolearn_cli.model.distributed import Processes
from duolearn_cli.training import selection, sparsity
from duolearn_cli.training.coordinates import flatten
from duolearn_cli.training.task import UnlearningTask
from tests.plain import plain_tokens
from tests.training.test_fisher import naive
from tests.training.test_unlearn import make_examples, method

FEW = ["method.sparsity.unit=coordinate", "method.sparsity.fraction=0.01"]
PROCESSES = Processes(Accelerator(cpu=True))
SETTINGS = UnlearnConfig(batch_size=4)


def choose(model, forget, retain, chosen):
    told: list[int] = []
    found = selection.choose(model, UnlearningTask(forget, retain, chosen, SETTINGS, 0), PROCESSES, told.append)
    assert sum(told) == sum(min(chosen.sparsity.examples, len(side)) for side in (forget, retain))
    return set(found.tolist())


def best(asked, cost, chosen, count):
    return set(sparsity.choose(asked, cost, None, count, PROCESSES, chosen.sparsity.damping).tolist())


def single(model, example, chosen):
    loss = chosen.objective(plain_tokens(model, [example], chosen.labels)).forget
    return flatten(torch.autograd.grad(loss, model.adapter))


def test_chosen_is_where_forget_items_agree_for_what_it_costs_retain_items(fresh, study):
    chosen = method("duolearn", *FEW)
    forget, retain = make_examples(fresh, study, chosen.labels)
    forget[1] = replace(forget[1], weight=3.0)
    found = choose(fresh, forget, retain, chosen)
    own = torch.stack([single(fresh, example, chosen) for example in forget])
    # A mean over a batch weights tokens, so the batches matter: they hold four and two items.
    order = sample(retain, chosen.sparsity.examples, 0)
    cost = sum(len(part) * naive(fresh, part, chosen) for part in (order[:4], order[4:]))
    unit = own / own.norm(dim=1, keepdim=True)
    weight = torch.tensor([example.weight for example in forget])[:, None]
    expected = best((weight * unit).mean(0).square(), cost, chosen, len(found))
    # At the edge of the budget, rounding decides.
    assert len(expected - found) <= 0.01 * len(found)
    for other in (own.square().mean(0), own.mean(0).square(), unit.mean(0).square()):
        assert len(best(other, cost, chosen, len(found)) - found) > 0.03 * len(found)


def test_no_more_items_than_asked_for(fresh, study):
    chosen = method("duolearn", *FEW, "method.sparsity.examples=2")
    forget, retain = make_examples(fresh, study, chosen.labels)
    found = choose(fresh, forget, retain, chosen)
    fewer = [sample(side, 2, 0) for side in (forget, retain)]
    assert found == choose(fresh, *fewer, chosen) != choose(fresh, forget, retain, method("duolearn", *FEW))


def test_an_item_with_nothing_to_forget_asks_for_nothing(fresh, study):
    """Its likelihoods are at their goal already, so its gradient is rounding."""
    chosen = method("duolearn", *FEW)
    forget, retain = make_examples(fresh, study, chosen.labels)
    done = replace(forget[0], formed_nll=torch.full_like(forget[0].formed_nll, -1e3))
    assert choose(fresh, [done, *forget[1:]], retain, chosen) == choose(fresh, forget[1:], retain, chosen)
    with pytest.raises(RunError, match="the forget loss has no gradient"):
        choose(fresh, [done], retain, chosen)
