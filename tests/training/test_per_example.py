"""Per-example gradients, compared with one backward per example and with Opacus."""

from __future__ import annotations

import warnings

import pytest
import torch

from duolearn_cli.model import losses
from duolearn_cli.model.encoding import collate
from duolearn_cli.training.coordinates import flatten
from duolearn_cli.training.per_example import GradientRows
from tests.mixtures import MIXTURES, mixture
from tests.model.test_attention import FAMILIES, build, random_texts

SHAPES = {"one": [5], "equal": [6, 6, 6], "padded": [3, 14, 2, 9], "short": [2, 2]}


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: "-".join(family[:2]))
def model(request):
    return build(*request.param)


def mean_nll(model, batch, count):
    nll = losses.nll(model.head(model.hidden(batch)).double(), batch.label)
    return losses.sum_of_means(nll, torch.ones_like(nll), batch.sequence, count)


def rows_of(model, texts, pack_to=None):
    watch = GradientRows(model.network, model.adapter)
    batch = collate(texts, "text", pack_to=pack_to)
    with watch.recording():
        loss = mean_nll(model, batch, len(texts))
    with watch.rows(batch, range(len(texts))) as (rows, _):
        loss.backward()
        found = rows.clone()
    total = flatten([parameter.grad for parameter in model.adapter])
    model.network.zero_grad()
    return found, total


def naive(model, texts):
    grads = [torch.autograd.grad(mean_nll(model, collate([one], "text"), 1), model.adapter) for one in texts]
    return torch.stack([flatten(each) for each in grads])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pack_to", [None, 20])
def test_rows_equal_single_backwards(model, shape, pack_to):
    """The tolerance is that of float32: norms and eager softmax compute in it in any model."""
    texts = random_texts(SHAPES[shape])
    found, total = rows_of(model, texts, pack_to)
    expected = naive(model, texts)
    assert found.dtype == torch.float64
    assert (found - expected).norm() <= 1e-6 * expected.norm()
    # Their sum is the gradient that autograd accumulates itself.
    assert (found.sum(0) - total).norm() <= 1e-9 * total.norm()


def test_the_backward_of_its_own_gives_the_same_and_leaves_no_gradient(model):
    texts = random_texts([4, 8, 6])
    expected, _ = rows_of(model, texts)
    watch, batch = GradientRows(model.network, model.adapter), collate(texts, "text")
    with watch.recording():
        loss = mean_nll(model, batch, 3)
    with watch.rows(batch, range(3)) as (rows, _):
        watch.backward([loss])
    torch.testing.assert_close(rows, expected)
    assert all(parameter.grad is None for parameter in model.adapter)


def test_backwards_add_up_and_a_part_can_be_followed(model):
    texts = random_texts([4, 8, 6])
    watch, batch = GradientRows(model.network, model.adapter), collate(texts, "text")
    with watch.recording():
        loss = mean_nll(model, batch, 3)
    with watch.rows(batch, [2, 0], [1]) as (rows, pooled):
        loss.backward(retain_graph=True)
        once = rows.clone()
        (2 * loss).backward()
        thrice, rest = rows.clone(), pooled.clone()
    model.network.zero_grad()
    torch.testing.assert_close(thrice, 3 * once)
    expected = naive(model, texts)
    assert (once - expected[[2, 0]]).norm() <= 1e-6 * expected.norm()
    assert (rest - 3 * expected[1]).norm() <= 1e-6 * expected.norm()


def test_opacus_agrees():
    opacus = pytest.importorskip("opacus", reason="Opacus is a development tool")
    model = build("Llama", "sdpa", {})
    texts = random_texts([3, 9, 5])
    found, _ = rows_of(model, texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.network.train()  # Opacus looks at nothing else; there is no dropout
        wrapped = opacus.GradSampleModule(model.network, loss_reduction="sum", strict=False)
        batch = collate(texts, "text")
        mean_nll(model, batch, 3).backward()
    expected = torch.cat([parameter.grad_sample.flatten(1) for parameter in model.adapter], dim=1)
    assert (found - expected).norm() <= 1e-6 * expected.norm()
    wrapped.remove_hooks()


@pytest.mark.parametrize("kind", MIXTURES)
@pytest.mark.parametrize("pack_to", [None, 20], ids=["padded", "packed"])
def test_rows_of_fused_experts_and_routers_equal_single_backwards(kind, pack_to):
    """PEFT adapts them through their parameters, so the adapter has no layers of its own there."""
    model = mixture(kind)
    if pack_to and kind == "qwen3_next":
        pytest.skip("linear attention takes no masks")
    texts = random_texts([3, 11, 2, 7])
    found, total = rows_of(model, texts, pack_to)
    expected = naive(model, texts)
    sizes = [parameter.numel() for parameter in model.adapter]
    for name, own, true in zip(dict(model.named_adapter), found.split(sizes, 1), expected.split(sizes, 1), strict=True):
        assert (own - true).norm() <= 1e-4 * true.norm() + 1e-6 * expected.norm(), name
    assert (found.sum(0) - total).norm() <= 1e-4 * total.norm()


def test_a_part_of_the_examples_is_followed_through_experts_too():
    model, texts = mixture("mixtral"), random_texts([4, 8, 6])
    watch, batch = GradientRows(model.network, model.adapter), collate(texts, "text")
    with watch.recording():
        loss = mean_nll(model, batch, 3)
    with watch.rows(batch, [2, 0], [1]) as (rows, pooled):
        watch.backward([loss])
        found, rest = rows.clone(), pooled.clone()
    expected = naive(model, texts)
    assert (found - expected[[2, 0]]).norm() <= 1e-4 * expected.norm()
    assert (rest - expected[1]).norm() <= 1e-4 * expected.norm()
    assert watch.received == set(range(len(model.adapter)))
    assert all(parameter.grad is None for parameter in model.adapter)
