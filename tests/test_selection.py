"""What coordinates are chosen by, against gradients of one item at a time."""

from __future__ import annotations

import torch
from accelerate import Accelerator

from duolearn_cli import selection, sparsity
from duolearn_cli.coordinates import flatten
from duolearn_cli.parallel import Processes
from duolearn_cli.update_config import UnlearnConfig
from tests.plain import plain_tokens
from tests.test_fisher import naive
from tests.test_unlearning import make_examples, method


def test_chosen_is_where_forget_items_agree_for_what_it_costs_retain_items(fresh, study):
    chosen = method("duolearn", "method.sparsity.unit=coordinate", "method.sparsity.fraction=0.01")
    forget, retain = make_examples(fresh, study, chosen.labels)
    processes, told = Processes(Accelerator(cpu=True)), []
    settings = UnlearnConfig(batch_size=len(retain))
    found = selection.choose(fresh, forget, retain, chosen, settings, 0, processes, told.append)
    assert sum(told) == len(forget) + len(retain)

    def single(example):
        loss = chosen.objective(plain_tokens(fresh, [example], chosen.labels)).forget
        return flatten(torch.autograd.grad(loss, fresh.adapter))

    def best(asked):
        return set(sparsity.choose(asked, cost, None, len(found), processes, chosen.sparsity.damping).tolist())

    own = torch.stack([single(example) for example in forget])
    cost = naive(fresh, retain, chosen, "preserve")
    expected = best((own / own.norm(dim=1, keepdim=True)).mean(0).square())
    # Rounding decides between those at the edge.
    assert len(expected - set(found.tolist())) <= 0.01 * len(found)
    for other in (own.square().mean(0), own.mean(0).square()):
        assert len(best(other) - set(found.tolist())) > 0.05 * len(found)
