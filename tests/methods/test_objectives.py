"""Every baseline's losses against loops over tokens that write the paper's formula out, in float64."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from duolearn_cli.config.components import component
from duolearn_cli.files import conf_dir, groups
from duolearn_cli.methods.finetune_retain import FinetuneRetain
from duolearn_cli.methods.graddiff import GradDiff
from duolearn_cli.methods.gradient_ascent import GradientAscent
from duolearn_cli.methods.gru import GRU
from duolearn_cli.methods.npo import NPO
from duolearn_cli.methods.rmu import RMU
from duolearn_cli.methods.satimp import SatImp
from duolearn_cli.methods.simnpo import SimNPO
from duolearn_cli.methods.task_vector import TaskVector
from duolearn_cli.methods.undial import UNDIAL
from duolearn_cli.methods.wga import WGA
from tests.methods.made_up import items, made_up

seeds = st.integers(0, 200)
scales = st.sampled_from([0.1, 1.0, 10.0, 60.0])


def log_p(logits, tokens, i):
    return float(torch.log_softmax(logits[i].detach(), 0)[tokens.labels[i]])


def token_mean(tokens, of_forget, value):
    """Mean over tokens, each with its item's weight."""
    found = [(value(i), weight) for own, is_forget, weight in items() if is_forget == of_forget for i in own]
    return sum(v * w for v, w in found) / sum(w for _, w in found)


def item_mean(of_forget, value):
    found = [(value(own), weight) for own, is_forget, weight in items() if is_forget == of_forget]
    return sum(v * w for v, w in found) / sum(w for _, w in found)


def log_sigmoid(x):
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def check(method, made, forget, preserve):
    objective = method.objective(made[0])
    assert objective.forget.item() == pytest.approx(forget, rel=1e-9, abs=1e-9)
    assert objective.preserve.item() == pytest.approx(preserve, rel=1e-9, abs=1e-9)


def gradient(method, made, loss="forget"):
    (found,) = torch.autograd.grad(getattr(method.objective(made[0]), loss), made[1], retain_graph=True)
    return found


def retained(made, kind):
    tokens, logits, _, target = made
    if kind == "nll":
        return token_mean(tokens, False, lambda i: -log_p(logits, tokens, i))
    q, p = target.log_softmax(-1), logits.detach().log_softmax(-1)
    return token_mean(tokens, False, lambda i: sum(float(q[i, j].exp() * (q[i, j] - p[i, j])) for j in range(7)))


@given(seeds, scales, st.sampled_from(["nll", "kl"]))
def test_ascent_and_difference(seed, scale, retain):
    made = made_up(seed, scale=scale)
    tokens, logits = made[:2]
    ascent = token_mean(tokens, True, lambda i: log_p(logits, tokens, i))
    kept = retained(made, retain)
    check(GradientAscent(), made, ascent, 0.0)
    check(GradDiff(retain, 3.0), made, ascent, 3 * kept)
    check(TaskVector(), made, -ascent, 0.0)
    check(FinetuneRetain(), made, 0.0, retained(made, "nll"))


@given(seeds, scales, st.floats(0.05, 5), st.sampled_from(["nll", "kl"]))
def test_npo(seed, scale, beta, retain):
    made = made_up(seed, scale=scale)
    tokens, logits, _, target = made

    def value(own):
        ratio = sum(log_p(logits, tokens, i) - log_p(target, tokens, i) for i in own)
        return -(2 / beta) * log_sigmoid(-beta * ratio)

    check(NPO(retain, 2.0, beta), made, item_mean(True, value), 2 * retained(made, retain))


@given(seeds, scales, st.floats(0.05, 5), st.floats(0, 4))
def test_simnpo(seed, scale, beta, gamma):
    made = made_up(seed, scale=scale)
    tokens, logits = made[:2]

    def value(own):
        return -(2 / beta) * log_sigmoid(-beta / len(own) * sum(log_p(logits, tokens, i) for i in own) - gamma)

    check(SimNPO(beta=beta, gamma=gamma), made, item_mean(True, value), retained(made, "nll"))


def test_simnpo_without_a_margin_is_npo_against_a_certain_reference_for_answers_of_one_token():
    """A reference that gives the answer probability one has log-probability zero."""
    made = made_up(3)
    one = made[0].sequence == 0
    certain = torch.where(torch.nn.functional.one_hot(made[0].labels, 7).bool(), 80.0, 0.0).double()
    reference = made_up(3, target=certain)
    simnpo, npo = gradient(SimNPO(beta=0.7, gamma=0.0), made), gradient(NPO(beta=0.7), reference)
    torch.testing.assert_close(simnpo[one], npo[one])
    assert not torch.allclose(simnpo, npo)


def weighted(made, weight):
    tokens, logits = made[:2]

    def value(i):
        log = log_p(logits, tokens, i)
        return weight(math.exp(log), -math.expm1(log)) * log

    return token_mean(tokens, True, value)


@given(seeds, scales, st.floats(0, 6))
def test_wga(seed, scale, beta):
    made = made_up(seed, scale=scale)
    check(WGA(beta=beta), made, weighted(made, lambda p, rest: p**beta), retained(made, "nll"))


@given(seeds, scales, st.floats(0, 6), st.floats(0, 6))
def test_satimp(seed, scale, first, second):
    made = made_up(seed, scale=scale)
    expected = weighted(made, lambda p, rest: p**first * rest**second)
    check(SatImp(saturation=first, importance=second), made, expected, retained(made, "nll"))


def test_weights_have_no_gradient_and_their_limits_are_the_simpler_methods():
    made = made_up(5)
    tokens, logits = made[:2]
    ascent = gradient(GradDiff(), made)
    for plain in (WGA(beta=0.0), SatImp(saturation=0.0, importance=0.0)):
        assert torch.equal(gradient(plain, made), ascent)
    torch.testing.assert_close(gradient(SatImp(saturation=2.0, importance=0.0), made), gradient(WGA(beta=2.0), made))
    torch.testing.assert_close(gradient(WGA(beta=1e-9), made), ascent)
    # The gradient is that of ascent, times the weight of each token.
    p = torch.tensor([math.exp(log_p(logits, tokens, i)) for i in range(len(logits))]).double()
    torch.testing.assert_close(gradient(SatImp(), made), (p**5 * (1 - p))[:, None] * ascent)


@given(seeds, scales, st.floats(0, 30))
def test_undial(seed, scale, gamma):
    made = made_up(seed, scale=scale)
    tokens, logits, _, target = made
    lowered = target.clone()
    for i, label in enumerate(tokens.labels):
        lowered[i, label] = target[i, label] - gamma
    q, log = lowered.softmax(-1), logits.detach().log_softmax(-1)
    cross = token_mean(tokens, True, lambda i: -sum(float(q[i, j] * log[i, j]) for j in range(7)))
    entropy = token_mean(tokens, True, lambda i: float(torch.special.entr(q[i]).sum()))
    check(UNDIAL(gamma=gamma, retain_weight=1.0), made, cross - entropy, retained(made, "nll"))


def test_undial_is_the_gradient_of_the_cross_entropy_and_without_lowering_it_is_distillation():
    made = made_up(7)
    tokens, logits, _, target = made
    q, p, where = target.softmax(-1), logits.detach().softmax(-1), tokens.is_forget
    weight = (tokens.item_weight / tokens.item_weight[where].sum())[:, None]
    # Of a cross entropy with q the gradient at the logits is p - q.
    torch.testing.assert_close(gradient(UNDIAL(gamma=0.0), made)[where], (weight * (p - q))[where])
    here = made_up(7, logits=target)
    assert UNDIAL(gamma=0.0).objective(here[0]).forget.item() == pytest.approx(0, abs=1e-12)
    # From the target on, it lowers the label alone.
    change = gradient(UNDIAL(gamma=3.0), here)[where]
    labels = tokens.labels[where]
    assert (change.gather(1, labels[:, None]) > 0).all()
    others = torch.ones_like(change).scatter(1, labels[:, None], 0).bool()
    assert (change[others] < 0).all()


def test_rmu_against_loops_and_its_direction_has_a_stream_of_its_own():
    made = made_up(2)
    tokens, _, activations, _ = made
    method = RMU(coefficient=3.0, retain_weight=5.0, direction_seed=4)
    state = torch.get_rng_state()
    u = method.direction(activations.shape[-1])
    assert torch.equal(torch.get_rng_state(), state)
    assert u.norm().item() == pytest.approx(1) and (u >= 0).all()
    assert torch.equal(u, method.direction(activations.shape[-1]))
    assert not torch.allclose(u, RMU(direction_seed=5).direction(activations.shape[-1]))

    def distance(i, aim):
        return sum(float(activations[i, j].detach() - aim[j]) ** 2 for j in range(5))

    steered = token_mean(tokens, True, lambda i: distance(i, (3 * u).double()))
    away = token_mean(tokens, False, lambda i: distance(i, tokens.target_activations[i]))
    check(method, made, steered, 5 * away)
    objective = method.objective(tokens)
    for loss, others in ((objective.forget, ~tokens.is_forget), (objective.preserve, tokens.is_forget)):
        (found,) = torch.autograd.grad(loss, activations, retain_graph=True)
        assert (found[others] == 0).all() and (found[~others] != 0).any()


@pytest.mark.parametrize(
    ("method", "same"),
    [
        (GRU(), GradDiff()),
        (GRU(forget="wga", beta=2.0, retain="kl"), WGA("kl", beta=2.0)),
        (GRU(forget="wga"), WGA()),
        (GRU(forget="npo"), NPO()),
    ],
)
def test_gru_has_the_losses_of_the_method_that_it_rectifies(method, same):
    made = made_up(1)
    one, other = method.objective(made[0]), same.objective(made[0])
    assert one.forget.item() == other.forget.item() and one.preserve.item() == other.preserve.item()


METHODS = sorted(groups()["method"])


def default(name):
    """The method of conf/method with the settings of its file."""
    return component(OmegaConf.load(conf_dir() / "method" / f"{name}.yaml"))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("scale", [1e-3, 30.0, 300.0])
def test_losses_and_gradients_are_finite_where_probabilities_are_near_zero_and_one(name, scale):
    made = made_up(11, scale=scale)
    objective = default(name).objective(made[0])
    for loss in (objective.forget, objective.preserve):
        assert torch.isfinite(loss)
        if loss.requires_grad:
            for found in torch.autograd.grad(
                loss, made[1:3], retain_graph=True, materialize_grads=True, allow_unused=True
            ):
                assert torch.isfinite(found).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_private_step_sums_what_single_items_give(name):
    """Weights within an item do not matter then; every item counts as one."""
    whole = default(name).objective(made_up(6, private=True)[0])
    tokens = made_up(6, private=True)[0]
    parts = []
    for own, is_forget, _ in items():
        select = torch.zeros(len(tokens.labels), dtype=torch.bool)
        select[list(own)] = True
        alone = made_up(6, private=True)[0]
        object.__setattr__(alone, "item_weight", alone.item_weight * select)
        found = default(name).objective(alone)
        parts.append(found.forget if is_forget else found.preserve)
    assert (whole.forget + whole.preserve).item() == pytest.approx(sum(parts).item(), rel=1e-9)
