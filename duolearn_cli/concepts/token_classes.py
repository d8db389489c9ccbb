"""Token classes: which labelled tokens to unlearn, which to preserve (method.md section 3, our definition)."""

from __future__ import annotations

from collections.abc import Sequence

from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Mention

NEUTRAL, UNLEARN, PRESERVE = 0, 1, 2


def classify(
    offsets: Sequence[tuple[int, int]],
    is_answer: Sequence[bool],
    is_forget: bool,
    mentions: Sequence[Mention],
    target: Target,
) -> tuple[list[int], list[str | None]]:
    """Return the class of each token and the concept it belongs to, if any.

    Args:
        offsets: characters ``[start, end)`` of each token; empty for special tokens.
        is_answer: the token belongs to the item's answer.
        is_forget: the item is a forget item.
        mentions: concept mentions in the same text, left to right, without overlap.

    A target concept's tokens are U and another concept's are P. The answer's tokens are U in a forget item and P in a
    retain item, whatever they mention. The rest is N, as is the end-of-text token of a forget item.
    """
    concepts = _concept_of(offsets, mentions)
    kinds: list[int] = []
    for (start, end), answer, concept in zip(offsets, is_answer, concepts, strict=True):
        if answer and is_forget:
            # That an answer ends is no knowledge of the target: unlearning it would unlearn to stop everywhere.
            kinds.append(UNLEARN if end > start else NEUTRAL)
        else:
            kinds.append(PRESERVE if answer else _kind(concept, target))
    return kinds, concepts


def _kind(concept: str | None, target: Target) -> int:
    if concept is None:
        return NEUTRAL
    return UNLEARN if concept in target.forget else PRESERVE


def _concept_of(offsets: Sequence[tuple[int, int]], mentions: Sequence[Mention]) -> list[str | None]:
    found: list[str | None] = []
    current = 0
    for start, end in offsets:
        while current < len(mentions) and mentions[current].end <= start:
            current += 1
        inside = current < len(mentions) and end > start and mentions[current].start < end
        found.append(mentions[current].concept if inside else None)
    return found


def level_weights(concepts: Sequence[str | None], hierarchy: Hierarchy, weights: Sequence[float]) -> list[float]:
    """Weight of each token's concept level; 1 where the token belongs to no concept. `weights` are for levels 1-4."""
    return [1.0 if concept is None else weights[hierarchy[concept].level - 1] for concept in concepts]
