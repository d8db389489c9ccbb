"""Whether a method's losses are sums over items, without which no item's contribution can be bounded."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from duolearn_cli.concepts.token_classes import NEUTRAL, PRESERVE, UNLEARN
from duolearn_cli.errors import ConfigError
from duolearn_cli.methods.base import Method, Tokens, attention_of
from duolearn_cli.readout import Readout

VOCABULARY, WIDTH = 7, 4
# Labelled tokens of each made-up item, and whether it is to be forgotten.
ITEMS = ((5, True), (4, False), (6, False), (3, True))
TOLERANCE = 1e-3
MEND = "Take means with tokens.mean(values, weights, owner), or choose privacy=none."


def check_separable(method: Method) -> None:
    """Compare losses and gradients of made-up items together with those of each alone; no data is read.

    It finds mistakes. Code that means to deceive, a plugin's as well as any, can do so elsewhere.

    Raises:
        ConfigError: they differ, so that one item's part depends on what else is in the step, or came before.
    """
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(4, count, VOCABULARY, generator=generator) for count, _ in ITEMS]
    layers = attention_of(method).kept_layers
    kept = [torch.randn(2, max(1, layers), 2, WIDTH, generator=generator) for _ in ITEMS]
    everything = range(len(ITEMS))
    try:
        whole = _losses(method, _tokens(everything, draws, kept, layers))
        alone = [_losses(method, _tokens([i], draws, kept, layers)) for i in everything]
        again = _losses(method, _tokens(everything, draws, kept, layers))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"method={type(method).__name__} has no loss in a private step: {error}. {MEND}") from error
    for loss, (together, gradient) in whole.items():
        parts, rows = [one[loss][0] for one in alone], torch.cat([one[loss][1] for one in alone])
        scale = 1 + sum(map(abs, parts))
        if abs(together - sum(parts)) > TOLERANCE * scale:
            raise ConfigError(
                f"method={type(method).__name__}: its {loss} loss of several items is not the sum of theirs "
                f"({together:.6g} together, {sum(parts):.6g} alone), so no record's part can be bounded. {MEND}"
            )
        distance = max(float((gradient - rows).abs().max()), float((gradient - again[loss][1]).abs().max()))
        if distance > TOLERANCE * scale:
            raise ConfigError(
                f"method={type(method).__name__}: the gradient of its {loss} loss with respect to an item's logits "
                f"depends on other items, or on earlier steps (by {distance:.3g}), so no record's part can be "
                f"bounded. {MEND}"
            )


def _losses(method: Method, made: tuple[Tokens, torch.Tensor]) -> dict[str, tuple[float, torch.Tensor]]:
    """Each loss and its gradient with respect to the logits. Shape: [n, vocabulary]."""
    tokens, logits = made
    objective, found = method.objective(tokens), dict[str, tuple[float, torch.Tensor]]()
    for name in ("forget", "preserve"):
        loss = getattr(objective, name)
        gradient = None
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True, allow_unused=True)
        found[name] = loss.item(), torch.zeros_like(logits) if gradient is None else gradient
    return found


class _Logits:
    """An output layer that hands hidden states on: those that are made up are logits themselves."""

    vocabulary = VOCABULARY

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden

    def pull(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def _tokens(
    chosen: Sequence[int], draws: Sequence[torch.Tensor], kept: Sequence[torch.Tensor], layers: int
) -> tuple[Tokens, torch.Tensor]:
    """The tokens of some made-up items, as a private step has them, and their logits."""
    counts = torch.tensor([ITEMS[i][0] for i in chosen])
    sequence = torch.arange(len(chosen)).repeat_interleave(counts)
    logits, base, target, other = torch.cat([draws[i] for i in chosen], dim=1).unbind(0)
    labels, logits = other.argmax(-1), logits.clone().requires_grad_()
    references = {"base": lambda: base, "target": lambda: target}
    attention = torch.cat([kept[i] for i in chosen], dim=2)
    tokens = Tokens(
        labels=labels,
        base_nll=torch.nn.functional.cross_entropy(base, labels, reduction="none"),
        target_nll=torch.nn.functional.cross_entropy(target, labels, reduction="none"),
        kind=torch.tensor([(UNLEARN, PRESERVE, NEUTRAL)[k % 3] for i in chosen for k in range(ITEMS[i][0])]),
        level_weight=1 + other[:, 0].abs(),
        item_weight=torch.ones(len(labels)),
        is_forget=torch.tensor([ITEMS[i][1] for i in chosen]).repeat_interleave(counts),
        is_answer=torch.tensor([k >= ITEMS[i][0] - 2 for i in chosen for k in range(ITEMS[i][0])]),
        sequence=sequence,
        num_sequences=len(chosen),
        preserved=torch.arange(len(chosen)).repeat_interleave(2),
        readout=Readout(_Logits(), logits, labels, references),
        step=None,
        attention=attention[0] if layers else None,
        target_attention=attention[1] if layers else None,
    )
    return tokens, logits
