"""Token classes: which tokens to unlearn (U), which to preserve (P), and which are neutral (N).

The paper separates preservation-critical from unlearning-targeted tokens; the rules here are our definition.
"""

from __future__ import annotations

from collections.abc import Sequence

from duolearn_cli.concepts.folding import is_word
from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Mention

NEUTRAL, UNLEARN, PRESERVE = 0, 1, 2
# The names in results.
CLASS_NAMES = {"target": UNLEARN, "general_medical": PRESERVE, "neutral": NEUTRAL}


def classify(
    text: str,
    offsets: Sequence[tuple[int, int]],
    is_answer: Sequence[bool],
    is_forget: bool,
    mentions: Sequence[Mention],
    target: Target,
) -> tuple[list[int], list[str | None]]:
    """Return the class of each token, and the id of the concept that it belongs to or None.

    Args:
        text: the text that was tokenised.
        offsets: the characters ``[start, end)`` of each of the n tokens; ``start == end`` for special tokens.
        is_answer: n booleans: the token is part of the item's answer.
        is_forget: the item is a forget item.
        mentions: the concept mentions in `text`, left to right and without overlap.
        target: the forget target.

    Answer tokens are U in a forget item and P in a retain item, whatever they mention. Of the other tokens, those of a
    target concept are U, those of another concept are P, and the rest are N. The end-of-text token of a forget item is
    N as well.
    """
    concepts = _concept_of(text, offsets, mentions)
    kinds: list[int] = []
    for (start, end), answer, concept in zip(offsets, is_answer, concepts, strict=True):
        if answer and is_forget:
            # The end-of-text token (empty span) is neutral: that an answer ends is not knowledge about the target, and
            # unlearning it would teach the model never to stop (docs/history/lab-notes.md, "The end of the text").
            kinds.append(UNLEARN if end > start else NEUTRAL)
        else:
            kinds.append(PRESERVE if answer else _kind(concept, target))
    return kinds, concepts


def _kind(concept: str | None, target: Target) -> int:
    if concept is None:
        return NEUTRAL
    return UNLEARN if concept in target.forget else PRESERVE


def _concept_of(text: str, offsets: Sequence[tuple[int, int]], mentions: Sequence[Mention]) -> list[str | None]:
    """Return each token's concept: the one whose mention contains all of the token's core (see `_core`), or None.

    A token that also has letters outside the mention belongs to no concept.
    """
    concepts: list[str | None] = [None] * len(offsets)
    if not mentions:
        return concepts
    # One pass over tokens and mentions together: `current` only moves forward, as both are in the order of the text.
    current = 0
    for place, (start, end) in enumerate(offsets):
        while mentions[current].end <= start:
            current += 1
            if current == len(mentions):
                return concepts
        if mentions[current].start < end and start < end:
            concepts[place] = _holder(*_core(text, start, end), mentions, current)
    return concepts


def _holder(start: int, end: int, mentions: Sequence[Mention], first: int) -> str | None:
    """Return the concept of the mention, from number `first` on, that contains ``text[start:end]``, or None."""
    while first < len(mentions) and mentions[first].end <= start:
        first += 1
    inside = first < len(mentions) and mentions[first].start <= start and end <= mentions[first].end
    return mentions[first].concept if inside else None


def _core(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the core of the token ``text[start:end]``: without white space, then without punctuation, at both ends.

    A step that would leave nothing is skipped. Tokenizers join a word with the space or punctuation mark before it, so
    that the core of " (fem" is "fem".
    """
    for is_trimmed in (str.isspace, lambda char: not is_word(char)):
        low, high = start, end
        while low < high and is_trimmed(text[low]):
            low += 1
        while low < high and is_trimmed(text[high - 1]):
            high -= 1
        if low < high:
            start, end = low, high
    return start, end


def level_weights(concepts: Sequence[str | None], hierarchy: Hierarchy, weights: Sequence[float]) -> list[float]:
    """Return each token's weight: that of its concept's level, or 1 without a concept. `weights` are for levels 1-4."""
    return [1.0 if concept is None else weights[hierarchy[concept].level - 1] for concept in concepts]
