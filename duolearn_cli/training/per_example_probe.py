"""Whether an adapter can be learned, and followed example by example: tried on made-up texts, before learning."""

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
from duolearn_cli.training.per_example import GradientRows, SingleGradients

# Of different lengths, none of which is their number: what is laid out otherwise shows.
TEXTS = ((1, 2, 3, 4, 5, 6), (5, 3, 1, 2), (2, 4, 5, 1, 3))
# How far, relative to a gradient's length, rounding may move it: sums in another order, in 32 and in 16 bits.
TOLERANCE, COARSE_TOLERANCE = 1e-3, 0.1
OTHERWISE = (
    "or privacy=none, method.geometry.metric=euclidean, method.geometry.fisher_price=0 and method.sparsity.unit=none"
)


def check_adapter(model: LanguageModel) -> None:
    """Refuse an adapter of which some modules take no part in the forward: see `reach.check_reached`."""
    with _small_values(model):
        losses, _ = _losses(model)
        found = torch.autograd.grad(losses.sum(), model.adapter, allow_unused=True)
    reached = [parameter for parameter, one in zip(model.adapter, found, strict=True) if isinstance(one, Tensor)]
    adapter_reach.check_reached(model.network, reached)


def check_singles(model: LanguageModel) -> None:
    """Compare gradients of single examples, and their squares, with one backward for each, by matrix of the adapter.

    Raises:
        ModelError: they differ for some modules, or the adapter has modules whose examples cannot be followed.
    """
    watch, squares = GradientRows(model.network, model.adapter), SquaredGradients(model.network, model.adapter)
    with _small_values(model):
        losses, batch = _losses(model, watch, squares)
        expected = torch.stack([_flat(loss, model.adapter) for loss in losses])
        # Either one finds its own way back: both are used without the other.
        with watch.rows(batch, range(len(TEXTS))) as (rows, _):
            watch.backward([losses.sum()])
        with squares.following(batch, range(len(TEXTS))):
            squares.backward([losses.sum()])
    sizes = [parameter.numel() for parameter in model.adapter]
    tolerance = TOLERANCE if model.precision == "fp32" and model.dtype != "torch.bfloat16" else COARSE_TOLERANCE
    names = [name.partition(".lora_")[0] for name, _ in model.named_adapter]
    wrong: list[str] = []
    # Squaring doubles what rounding may have moved.
    sums = squares.take()[None], expected.square().sum(0, keepdim=True), 2 * tolerance
    for found, true, share in ((rows, expected, tolerance), sums):
        # What is next to nothing beside the rest may be all rounding.
        floor = 1e-6 * true.norm()
        pairs = zip(names, found.split(sizes, 1), true.split(sizes, 1), strict=True)
        wrong += [name for name, own, part in pairs if not (own - part).norm() <= share * part.norm() + floor]
    if wrong:
        raise ModelError(
            f"gradients of single examples cannot be told apart in {adapter_reach.names(wrong)} of "
            f"{model.architecture}. "
            f"{adapter_reach.fix(model.network, wrong).removesuffix('.')}; {OTHERWISE}."
        )


def _losses(model: LanguageModel, *watches: SingleGradients) -> tuple[Tensor, Batch]:
    """Random projections of each text's last hidden states, summed. Shape: [texts]."""
    texts = [Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids)) for ids in TEXTS]
    batch = collate(texts, "text").to(model.device)
    with model.without_frozen_cache(), ExitStack() as stack:
        for watch in watches:
            stack.enter_context(watch.watching())
        hidden = model.hidden(batch)
    weights = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0)).to(hidden.device)
    values = (hidden.float() * weights).sum(-1)
    return values.new_zeros(len(TEXTS)).index_add(0, batch.sequence, values), batch


def _flat(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([one.reshape(-1) for one in found])


@contextmanager
def _small_values(model: LanguageModel) -> Iterator[None]:
    """Other values for the B matrices, as long as this lasts: while they are zero, A has no gradient."""
    own = [parameter for name, parameter in model.named_adapter if ".lora_B." in name]
    before, generator = [parameter.detach().clone() for parameter in own], torch.Generator().manual_seed(0)
    try:
        for parameter in own:
            parameter.data.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
        yield
    finally:
        for parameter, values in zip(own, before, strict=True):
            parameter.data.copy_(values)
