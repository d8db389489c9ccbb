"""Token classes: which labelled tokens to unlearn, which to preserve (method.md section 3, our definition)."""

from __future__ import annotations

from collections.abc import Sequence

from duolearn_cli.concepts.folding import is_word
from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Mention

NEUTRAL, UNLEARN, PRESERVE = 0, 1, 2
# As results call them.
CLASS_NAMES = {"target": UNLEARN, "general_medical": PRESERVE, "neutral": NEUTRAL}


def classify(
    text: str,
    offsets: Sequence[tuple[int, int]],
    is_answer: Sequence[bool],
    is_forget: bool,
    mentions: Sequence[Mention],
    target: Target,
) -> tuple[list[int], list[str | None]]:
    """Return the class of each token and the concept it belongs to, if any.

    Args:
        text: the text that was tokenised.
        offsets: characters ``[start, end)`` of each token; empty for special tokens.
        is_answer: the token belongs to the item's answer.
        is_forget: the item is a forget item.
        mentions: concept mentions in the same text, left to right, without overlap.

    A target concept's tokens are U and another concept's are P. The answer's tokens are U in a forget item and P in a
    retain item, whatever they mention. The rest is N, as is the end-of-text token of a forget item.
    """
    concepts = _concept_of(text, offsets, mentions)
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


def _concept_of(text: str, offsets: Sequence[tuple[int, int]], mentions: Sequence[Mention]) -> list[str | None]:
    """The concept whose mention holds all of a token's core (see `_core`); a token that straddles a border has none."""
    found: list[str | None] = [None] * len(offsets)
    if not mentions:
        return found
    current = 0
    for place, (start, end) in enumerate(offsets):
        while mentions[current].end <= start:
            current += 1
            if current == len(mentions):
                return found
        if mentions[current].start < end and start < end:
            found[place] = _holder(*_core(text, start, end), mentions, current)
    return found


def _holder(start: int, end: int, mentions: Sequence[Mention], first: int) -> str | None:
    while first < len(mentions) and mentions[first].end <= start:
        first += 1
    inside = first < len(mentions) and mentions[first].start <= start and end <= mentions[first].end
    return mentions[first].concept if inside else None


def _core(text: str, start: int, end: int) -> tuple[int, int]:
    """Trim white space, then all that is no word, off ``text[start:end]``, each as long as something is left.

    Tokenizers glue the space or one punctuation mark before a word to it: the core of " (fem" is "fem".
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
    """Weight of each token's concept level; 1 where the token belongs to no concept. `weights` are for levels 1-4."""
    return [1.0 if concept is None else weights[hierarchy[concept].level - 1] for concept in concepts]
