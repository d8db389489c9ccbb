"""The losses of DuoLearn against loops over tokens, in float64."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.methods.duolearn import DuoLearn
from tests.methods.made_up import items, made_up


def classed(seed, easier=0.0):
    """Made-up tokens; the form of answers that is allowed for takes `easier` off the base's nlls."""
    tokens, logits, _, target = made_up(seed, scale=3.0)
    tokens = replace(tokens, formed_nll=tokens.base_nll - easier)
    return replace(tokens, step=tokens), logits, target


def log_p(logits, i):
    return torch.log_softmax(logits[i].detach(), 0)


def kl_of_others(ref, other, label):
    rest = [k for k in range(len(ref)) if k != label]
    p, q = (torch.softmax(one.detach()[rest], 0) for one in (ref, other))
    return float((p * (p.log() - q.log())).sum())


def pushed(method, tokens, logits, target, i):
    """What a token to forget adds to the loss, and its score."""
    label = int(tokens.labels[i])
    score = -float(log_p(logits, i)[label]) - float(tokens.formed_nll[i])
    loss = method.distill_weight * kl_of_others(target[i], logits[i], label)
    away = abs(score - method.ceiling)
    if method.ascent == "huber":
        loss += method.ascent_weight * (away**2 / 2 if away < 1 else away - 1 / 2)
    elif score < method.ceiling:
        loss += method.ascent_weight * 2 / method.beta * math.log1p(math.exp(-method.beta * score))
    return loss * (1 if score < method.tau else 1 / method.memorised_weight)


ASCENTS = ["bounded", "huber"]


@given(st.integers(0, 100), st.sampled_from([0.0, 1.5]), st.sampled_from(ASCENTS), st.sampled_from([0.0, -1.0]))
def test_both_losses_are_the_formulas(seed, easier, ascent, ceiling):
    method = DuoLearn(ascent=ascent, ceiling=ceiling)
    tokens, logits, target = classed(seed, easier)
    sums = {"forget": [0.0, 0.0], "kl": [0.0, 0.0], "nll": [0.0, 0.0]}
    for own, is_forget, weight in items():
        for i in own:
            if is_forget:
                found = {"forget": pushed(method, tokens, logits, target, i)}
            else:
                p, q = log_p(target, i), log_p(logits, i)
                found = {"kl": float((p.exp() * (p - q)).sum()), "nll": -float(q[tokens.labels[i]])}
            for name, value in found.items():
                sums[name][0] += weight * value
                sums[name][1] += weight
    mean = {name: total / count for name, (total, count) in sums.items()}
    objective = method.objective(tokens)
    assert objective.forget.item() == pytest.approx(mean["forget"], rel=1e-9)
    assert objective.preserve.item() == pytest.approx(mean["kl"] + mean["nll"], rel=1e-9)


def slopes(method, tokens, logits):
    """How fast the forget loss grows with each token's nll, leaving out what the KL of the others does."""
    (found,) = torch.autograd.grad(method.objective(tokens).forget, logits, retain_graph=True)
    # The label's own logit has no part in the KL of the others: there d nll = p - 1.
    at = torch.arange(len(tokens.labels))
    own = found[at, tokens.labels] / (torch.exp(-tokens.nll) - 1)
    return own[tokens.is_forget], (tokens.nll - tokens.formed_nll)[tokens.is_forget]


@pytest.mark.parametrize("ascent", ASCENTS)
def test_an_answer_falls_to_the_end_and_by_hubers_distance_is_led_back_from_below_it(ascent):
    seen = set()
    for seed in range(20):
        tokens, logits, _ = classed(seed, 1.5)
        for slope, score in zip(*slopes(DuoLearn(ascent=ascent), tokens, logits), strict=True):
            sign = int(torch.sign(slope)) if abs(slope) > 1e-12 else 0
            assert sign == (-1 if score < 0 else 1 if ascent == "huber" else 0)
            seen.add(sign)
    assert len(seen) == 2


def test_hubers_distance_needs_an_end():
    (problem,) = DuoLearn(ascent="huber", ceiling=math.inf).problems()
    assert problem.startswith("ceiling=inf: method.ascent=huber leads labels to it; allowed: a number")
    assert not list(DuoLearn(ceiling=math.inf).problems())
