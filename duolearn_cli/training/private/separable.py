"""The check that a method's losses are sums over items. Otherwise no item's contribution can be bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.errors import ConfigError
from duolearn_cli.methods.base import Method
from duolearn_cli.methods.tokens import Tokens
from duolearn_cli.model.host_to_device import Rows
from duolearn_cli.model.readout import Readout

VOCABULARY, WIDTH = 7, 4
# Each made-up item: its number of labelled tokens, and whether it is a forget item.
ITEMS = ((5, True), (4, False), (6, False), (3, True))
TOLERANCE = 1e-3
FIX = "Take means with tokens.mean(values, weights, owner), or choose privacy=none."


def check_separable(method: Method) -> None:
    """Compare the losses and gradients of several made-up items together with those of each item alone.

    The check reads no data. It finds mistakes; it does not stop code that is written to deceive.

    Raises:
        ConfigError: they differ, so one item's gradient depends on the other items of the step, or on earlier steps.
    """
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(4, count, VOCABULARY, generator=generator) for count, _ in ITEMS]
    wanted = method.attention
    attended = [torch.randn(2, max(1, wanted.kept_layers), 2, WIDTH, generator=generator) for _ in ITEMS]
    inner = [torch.randn(2, count, WIDTH, generator=generator) for count, _ in ITEMS]

    def losses(chosen: Sequence[int]) -> dict[str, tuple[float, torch.Tensor]]:
        tokens, leaves = _tokens(chosen, draws)
        if wanted.kept_layers:
            own, target = torch.cat([attended[i] for i in chosen], dim=2)
            tokens = replace(tokens, attention=own, target_attention=target)
        if wanted.depth:
            own, target = torch.cat([inner[i] for i in chosen], dim=1)
            leaves.append(own.clone().requires_grad_())
            tokens = replace(tokens, activations=Rows([leaves[-1]]), target_activations=target)
        return _losses(method, tokens, leaves)

    everything = range(len(ITEMS))
    # The second pass over everything shows state that a method keeps between steps.
    try:
        whole, alone, again = losses(everything), [losses([i]) for i in everything], losses(everything)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"method={type(method).__name__} has no loss in a private step: {error}. {FIX}") from error
    for loss, (together, gradient) in whole.items():
        parts, rows = [one[loss][0] for one in alone], torch.cat([one[loss][1] for one in alone])
        scale = 1 + sum(map(abs, parts))
        if abs(together - sum(parts)) > TOLERANCE * scale:
            raise ConfigError(
                f"method={type(method).__name__}: its {loss} loss of several items is not the sum of their losses "
                f"({together:.6g} together, {sum(parts):.6g} alone), so no record's contribution can be bounded. {FIX}"
            )
        distance = max(float((gradient - rows).abs().max()), float((gradient - again[loss][1]).abs().max()))
        if distance > TOLERANCE * scale:
            raise ConfigError(
                f"method={type(method).__name__}: the gradient of its {loss} loss with respect to an item's logits or "
                f"activations depends on other items, or on earlier steps (by {distance:.3g}), so no record's "
                f"contribution can be bounded. {FIX}"
            )


def _losses(method: Method, tokens: Tokens, leaves: Sequence[torch.Tensor]) -> dict[str, tuple[float, torch.Tensor]]:
    """Return each loss with its gradients with respect to all `leaves`, side by side [n, sum of widths]."""
    objective, losses = method.objective(tokens), dict[str, tuple[float, torch.Tensor]]()
    for name in ("forget", "preserve"):
        loss = getattr(objective, name)
        gradients = [torch.zeros_like(leaf) for leaf in leaves]
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
        losses[name] = loss.item(), torch.cat(list(gradients), dim=1)
    return losses


class _Logits:
    """An output layer that returns its input: the made-up hidden states are logits already."""

    vocabulary = VOCABULARY

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden

    def pull(self, gradient: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        return gradient


def _tokens(chosen: Sequence[int], draws: Sequence[torch.Tensor]) -> tuple[Tokens, list[torch.Tensor]]:
    """Return the tokens of the chosen made-up items as in a private step, and the leaves that gradients end at."""
    counts = torch.tensor([ITEMS[i][0] for i in chosen])
    sequence = torch.arange(len(chosen)).repeat_interleave(counts)
    logits, base, target, other = torch.cat([draws[i] for i in chosen], dim=1).unbind(0)
    labels, logits = other.argmax(-1), logits.clone().requires_grad_()
    references = {"base": lambda: base, "target": lambda: target}
    tokens = Tokens(
        labels=labels,
        base_nll=torch.nn.functional.cross_entropy(base, labels, reduction="none"),
        formed_nll=torch.nn.functional.cross_entropy(base, labels, reduction="none"),
        target_nll=torch.nn.functional.cross_entropy(target, labels, reduction="none"),
        kind=torch.tensor([(UNLEARN, PRESERVE, NEUTRAL)[k % 3] for i in chosen for k in range(ITEMS[i][0])]),
        level_weight=1 + other[:, 0].abs(),
        item_weight=torch.ones(len(labels)),
        is_forget=torch.tensor([ITEMS[i][1] for i in chosen]).repeat_interleave(counts),
        is_answer=torch.tensor([k >= ITEMS[i][0] - 2 for i in chosen for k in range(ITEMS[i][0])]),
        sequence=sequence,
        num_sequences=len(chosen),
        preserved=torch.arange(len(chosen)).repeat_interleave(2),
        readout=Readout(_Logits(), Rows([logits]), labels, references),
        step=None,
    )
    return tokens, [logits]
