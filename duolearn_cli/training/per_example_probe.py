"""Checks before learning, on made-up texts: the adapter can be learned, and its per-example gradients are right.

Both depend on how a model computes, which its configuration does not say. A wrong per-example gradient would give no
error: clipping would then bound nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from duolearn_cli.errors import ModelError
from duolearn_cli.model import adapter_reach
from duolearn_cli.model.encoding import Batch, Encoded, collate
from duolearn_cli.model.language_model import LanguageModel
from duolearn_cli.training.fisher import SquaredGradients
from duolearn_cli.training.per_example import GradientRows, PerExampleGradients

# The lengths differ from each other and from the number of texts, so that swapped dimensions cannot go unnoticed.
TEXTS = ((1, 2, 3, 4, 5, 6), (5, 3, 1, 2), (2, 4, 5, 1, 3))
# Allowed difference relative to a gradient's norm, in 32 and in 16 bits: sums in another order round differently.
TOLERANCE, COARSE_TOLERANCE = 1e-3, 0.1
OTHERWISE = (
    "or privacy=none, method.geometry.metric=euclidean, method.geometry.fisher_price=0 and method.sparsity.unit=none"
)


def check_adapter(model: LanguageModel) -> None:
    """Check that every module of the adapter takes part in the forward.

    Raises:
        ModelError: a module has no gradient; see `adapter_reach.check_reached`.
    """
    with _small_values(model):
        losses, _ = _losses(model)
        gradients = torch.autograd.grad(losses.sum(), model.adapter, allow_unused=True)
    reached = [parameter for parameter, own in zip(model.adapter, gradients, strict=True) if isinstance(own, Tensor)]
    adapter_reach.check_reached(model.network, reached)


def check_per_example(model: LanguageModel) -> None:
    """Compare per-example gradients and their squares with one backward per example, for each adapter matrix.

    Raises:
        ModelError: they differ for some modules, or the adapter has modules without per-example gradients.
    """
    recorder, squares = GradientRows(model.network, model.adapter), SquaredGradients(model.network, model.adapter)
    with _small_values(model):
        losses, batch = _losses(model, recorder, squares)
        expected = torch.stack([_flat(loss, model.adapter) for loss in losses])
        # Each recorder runs a backward of its own, because a run uses one of them without the other.
        with recorder.rows(batch, range(len(TEXTS))) as (rows, _):
            recorder.backward([losses.sum()])
        with squares.receiving(batch, range(len(TEXTS))):
            squares.backward([losses.sum()])
    sizes = [parameter.numel() for parameter in model.adapter]
    tolerance = TOLERANCE if model.precision == "fp32" and model.dtype != "torch.bfloat16" else COARSE_TOLERANCE
    names = [name.partition(".lora_")[0] for name, _ in model.named_adapter]
    wrong: list[str] = []
    # Squaring doubles relative errors.
    sums = squares.take()[None], expected.square().sum(0, keepdim=True), 2 * tolerance
    for computed, true, share in ((rows, expected, tolerance), sums):
        # A matrix whose gradients are tiny next to the others' may consist of rounding alone.
        floor = 1e-6 * true.norm()
        pairs = zip(names, computed.split(sizes, 1), true.split(sizes, 1), strict=True)
        # Not `>`: NaN, which stands for values without an example, must count as wrong.
        wrong += [name for name, own, part in pairs if not (own - part).norm() <= share * part.norm() + floor]
    if wrong:
        raise ModelError(
            f"per-example gradients cannot be computed in {adapter_reach.names(wrong)} of {model.architecture}. "
            f"{adapter_reach.fix(model.network, wrong).removesuffix('.')}; {OTHERWISE}."
        )


def _losses(model: LanguageModel, *recorders: PerExampleGradients) -> tuple[Tensor, Batch]:
    """Return a made-up loss for each text [texts], a random projection of its hidden states, and the batch."""
    texts = [Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids)) for ids in TEXTS]
    batch = collate(texts, "text").to(model.device)
    with model.without_frozen_cache(), ExitStack() as stack:
        for recorder in recorders:
            stack.enter_context(recorder.recording())
        hidden = model.hidden(batch)
    # Drawn on the host, because the same seed gives other numbers on other devices.
    weights = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0)).to(hidden.device)
    values = (hidden.float() * weights).sum(-1)
    return values.new_zeros(len(TEXTS)).index_add(0, batch.sequence, values), batch


def _flat(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


@contextmanager
def _small_values(model: LanguageModel) -> Iterator[None]:
    """Give the B matrices small random values for the duration: while they are zero, A has no gradient."""
    own = [parameter for name, parameter in model.named_adapter if ".lora_B." in name]
    before, generator = [parameter.detach().clone() for parameter in own], torch.Generator().manual_seed(0)
    try:
        for parameter in own:
            parameter.data.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
        yield
    finally:
        for parameter, values in zip(own, before, strict=True):
            parameter.data.copy_(values)
