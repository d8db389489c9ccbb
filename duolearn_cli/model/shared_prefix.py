"""Texts with the same beginning in one row: the beginning is there once, and each text continues it by itself.

Evaluation scores the options of an item in this way, because they share the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from duolearn_cli.model.encoding import Batch, Encoded


def shared_length(texts: Sequence[Encoded]) -> int:
    """Return the number of tokens that all texts begin with; fewer than the shortest has, so that each has its own."""
    columns = zip(*(text.ids[:-1] for text in texts), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def num_tokens(texts: Sequence[Encoded]) -> int:
    """Return the length of a row with all texts and their common beginning once."""
    shared = shared_length(texts)
    return shared + sum(len(text.ids) - shared for text in texts)


def collate_branches(groups: Sequence[Sequence[Encoded]], labels: Sequence[str]) -> Batch:
    """Lay out each group of texts in a row of its own, with its common beginning once, and list the labels.

    In a row the common beginning is segment 1. It is the trunk of the segments after it, one for each text, and their
    positions continue from it.

    Args:
        groups: the texts of each row.
        labels: which tokens to predict, "answer" or "text", for each text in order.
    """
    import torch

    texts = [text for group in groups for text in group]
    width = max(num_tokens(group) for group in groups)
    ids, segment, trunk, place = torch.zeros(4, len(groups), width, dtype=torch.long)
    tokens: list[int] = []
    targets: list[tuple[int, int, int, int]] = []
    index = 0
    for row, group in enumerate(groups):
        shared = start = shared_length(group)
        ids[row, :shared] = torch.tensor(group[0].ids[:shared], dtype=torch.long)
        place[row, :shared], segment[row, :shared], trunk[row, :shared] = torch.arange(shared), 1, 1
        for branch, text in enumerate(group, start=2):
            own = slice(start, start + len(text.ids) - shared)
            ids[row, own] = torch.tensor(text.ids[shared:])
            place[row, own], segment[row, own], trunk[row, own] = torch.arange(shared, len(text.ids)), branch, 1
            where = [*range(shared), *range(own.start, own.stop)]
            tokens += [row * width + at for at in where]
            # The token before may be in the shared beginning, so its place is looked up and not counted back from this
            # one.
            targets += [(row, where[i - 1], text.ids[i], index) for i in text.labels(labels[index])]
            start, index = own.stop, index + 1
    at, position, label, owner = torch.tensor(targets, dtype=torch.long).reshape(-1, 4).unbind(1)
    longest = max(len(text.ids) for text in texts)
    token, ids_of = torch.tensor(tokens), tuple(text.ids for text in texts)
    return Batch(ids, segment, place, at, position, label, owner, token, True, longest, ids_of, trunk)
