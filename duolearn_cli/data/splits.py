"""Split facts into trained and unseen ones. The split is pure, seeded, stable when the source grows, and has no
duplicates across splits."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from duolearn_cli.data.duplicates import Duplicate
from duolearn_cli.data.items import Item
from duolearn_cli.errors import ConfigError, DataError

log = logging.getLogger("duolearn")

# Of two duplicates, the one in the later split is removed. Trained splits come first, because training makes the
# duplicate seen. Forget comes before retain, because knowledge to forget must not be trained as knowledge to retain.
PRIORITY = ("forget_train", "forget_heldout", "retain_train", "retain_heldout", "forget_unseen", "retain_unseen")
# How to fix an empty side.
_FIXES = {
    "forget": "Choose other subjects, topics or concepts to forget.",
    "retain": "All of them are to be forgotten. Retain items from a second data set as well, +retain_from=minimed "
    "or +retain_from=medmcqa retain_from.path=FILE (its items about the target are left out), or forget less.",
}


@dataclass(frozen=True)
class Splits:
    """The six splits of the items.

    ``*_train``: items that models train on.
    ``*_heldout``: other phrasings of the same facts; no model trains on them. May be empty.
    ``*_unseen``: all phrasings of facts that no model trains on.

    A fact belongs to one side (forget or retain), and is there either trained or unseen.
    """

    forget_train: tuple[Item, ...]
    forget_heldout: tuple[Item, ...]
    forget_unseen: tuple[Item, ...]
    retain_train: tuple[Item, ...]
    retain_heldout: tuple[Item, ...]
    retain_unseen: tuple[Item, ...]

    def by_name(self) -> dict[str, tuple[Item, ...]]:
        """Return {field name: items} of the six splits, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def make_splits(
    items: Sequence[Item],
    is_forget: Callable[[Item], bool],
    *,
    seed: int,
    unseen_fraction: float,
    max_forget: int | None,
    max_retain: int | None,
) -> Splits:
    """Split the facts of each side into trained and unseen ones, stratified by subject.

    Within a subject, a hash of seed and fact decides the order. Of n facts, floor(n * unseen_fraction) are unseen, but
    at least one (none if the fraction is 0). Facts whose phrasings are all held out cannot be trained on; they are left
    out with a warning.

    Args:
        items: all items of both sides.
        is_forget: whether an item is a forget item. A fact is a forget fact if any of its items is.
        seed: the seed of the split.
        unseen_fraction: the share of unseen facts, in [0, 1).
        max_forget: the largest number of trained forget facts; unseen ones are cut in the same ratio. None: all.
        max_retain: the same for retain facts.

    Raises:
        ConfigError: `unseen_fraction` is not in [0, 1), or a maximum is below 1.
        DataError: a side has no fact, or only one where a trained and an unseen fact are needed.
    """
    _check_settings(unseen_fraction, max_forget, max_retain)
    facts = _trainable_facts(items)
    forget = {fact: group for fact, group in facts.items() if any(map(is_forget, group))}
    # One phrasing decides for its whole fact: to retain the other phrasings would protect what is to be forgotten.
    retain = {fact: group for fact, group in facts.items() if fact not in forget}
    splits: list[tuple[Item, ...]] = []
    for side, chosen, maximum in (("forget", forget, max_forget), ("retain", retain, max_retain)):
        _check_size(side, len(chosen), len(facts), unseen_fraction)
        trained, unseen = _cut(chosen, seed, unseen_fraction, maximum)
        of_trained = [item for item in items if item.fact_id in trained]
        splits.append(tuple(item for item in of_trained if not item.heldout))
        splits.append(tuple(item for item in of_trained if item.heldout))
        splits.append(tuple(item for item in items if item.fact_id in unseen))
    return Splits(*splits)


def resplit(splits: Splits, is_forget: Callable[[Item], bool], enters: Callable[[Item], bool]) -> Splits:
    """Give every item of `splits` a new side, and leave out those that enter neither.

    What was trained on stays trained on, what is held out or unseen stays so.
    """
    parts = {}
    for kind in ("train", "heldout", "unseen"):
        both = (*getattr(splits, f"forget_{kind}"), *getattr(splits, f"retain_{kind}"))
        for side in ("forget", "retain"):
            parts[f"{side}_{kind}"] = tuple(i for i in both if enters(i) and is_forget(i) == (side == "forget"))
    return Splits(**parts)


def trained_items(items: Sequence[Item], seed: int, unseen_fraction: float, maximum: int | None) -> tuple[Item, ...]:
    """Return the items of the facts that `make_splits` would train on if `items` were one side."""
    trained, _ = _cut(_trainable_facts(items), seed, unseen_fraction, maximum)
    return tuple(item for item in items if item.fact_id in trained)


def _check_settings(unseen_fraction: float, max_forget: int | None, max_retain: int | None) -> None:
    if not 0 <= unseen_fraction < 1:
        raise ConfigError(f"unseen_fraction is {unseen_fraction}; allowed: 0 or more, below 1.")
    for name, value in (("max_forget", max_forget), ("max_retain", max_retain)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; allowed: 1 or more facts, or null for all.")


def _check_size(side: str, num_facts: int, num_all: int, unseen_fraction: float) -> None:
    if num_facts == 0:
        raise DataError(f"no {side} items among {num_all} facts. {_FIXES[side]}")
    if num_facts == 1 and unseen_fraction > 0:
        raise DataError(
            f"the {side} set has 1 fact; at least 2 are needed, one to train on and one that stays unseen. "
            "Choose more concepts or subjects, or a larger data set."
        )


def _trainable_facts(items: Iterable[Item]) -> dict[str, list[Item]]:
    facts: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        facts[item.fact_id].append(item)
    trainable = {fact: group for fact, group in facts.items() if not all(item.heldout for item in group)}
    if len(trainable) < len(facts):
        log.warning("left out %d facts that only have held-out phrasings", len(facts) - len(trainable))
    return trainable


def _cut(
    facts: Mapping[str, Sequence[Item]], seed: int, unseen_fraction: float, maximum: int | None
) -> tuple[set[str], set[str]]:
    """Return the trained and the unseen facts: from the low and the high end of each subject's hash order.

    They come from opposite ends so that few trained facts become unseen when the source grows.
    """
    by_subject: dict[str, list[str]] = defaultdict(list)
    for fact in sorted(facts, key=lambda name: _key(seed, name)):
        by_subject[facts[fact][0].subject or ""].append(fact)
    num_trained, num_unseen = _sizes(len(facts), unseen_fraction, maximum)
    # Trained facts are chosen first; unseen ones only from the rest, each in proportion to the subjects' sizes.
    take = _shares({subject: len(names) for subject, names in by_subject.items()}, num_trained)
    rest = {subject: len(names) - take[subject] for subject, names in by_subject.items()}
    leave = _shares(rest, num_unseen)
    trained = {name for subject, names in by_subject.items() for name in names[: take[subject]]}
    unseen = {name for subject, names in by_subject.items() for name in names[len(names) - leave[subject] :]}
    return trained, unseen


def _key(seed: int, fact: str) -> tuple[bytes, str]:
    # A hash instead of a shuffle: a fact's place in the order does not depend on which other facts the source has.
    return hashlib.blake2b(f"{seed}:split:{fact}".encode(), digest_size=8).digest(), fact


def _sizes(num_facts: int, unseen_fraction: float, maximum: int | None) -> tuple[int, int]:
    """Return the numbers of trained and of unseen facts."""
    num_unseen = _at_least_one(num_facts * unseen_fraction)
    num_trained = num_facts - num_unseen
    if maximum is None or maximum >= num_trained:
        return num_trained, num_unseen
    return maximum, min(num_unseen, _at_least_one(maximum * unseen_fraction / (1 - unseen_fraction)))


def _at_least_one(expected: float) -> int:
    """Return the floor of `expected`, but at least 1 if it is positive."""
    # The margin is for floating point: 0.29 * 100 is a little less than 29.
    return max(1, math.floor(expected + 1e-9)) if expected > 0 else 0


def _shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Divide `total` in proportion to `sizes` by the largest-remainder method; ties go by name.

    No share exceeds its size, as long as `total` does not exceed the sum of the sizes.
    """
    # In whole numbers, so that no rounding of floats decides which fact is trained.
    whole = sum(sizes.values())
    shares = {name: total * size // whole if whole else 0 for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(total * sizes[name] % max(whole, 1)), name))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


def drop_duplicates(splits: Splits, duplicates: Iterable[Duplicate]) -> Splits:
    """Remove duplicates across splits. The groups of `duplicates` are names of splits; forget_train loses nothing.

    Of a pair, the item in the later split (see `PRIORITY`) is removed with its whole fact, all phrasings. Only a
    held-out phrasing that duplicates an item of its own side is removed alone. If an item of a pair has already been
    removed, the pair removes nothing.

    Raises:
        DataError: a split would become empty.
    """
    facts = {(name, item.id): item.fact_id for name, items in splits.by_name().items() for item in items}
    gone: set[tuple[str, str]] = set()  # (split, item id)
    # In a fixed order, because a removal can make a later one unnecessary.
    for winner, loser in sorted(map(_ranked, duplicates), key=_order):
        if winner in gone or loser in gone:
            continue
        gone.update(_removed(winner[0], loser, facts))
    remaining = {
        name: tuple(item for item in items if (name, item.id) not in gone) for name, items in splits.by_name().items()
    }
    _check_not_empty(splits, remaining)
    return Splits(**remaining)


def _ranked(pair: Duplicate) -> tuple[tuple[str, str], tuple[str, str]]:
    one, other = (pair.group_a, pair.id_a), (pair.group_b, pair.id_b)
    return (one, other) if PRIORITY.index(one[0]) <= PRIORITY.index(other[0]) else (other, one)


def _order(pair: tuple[tuple[str, str], tuple[str, str]]) -> tuple[int, int, str, str]:
    (winner, winner_id), (loser, loser_id) = pair
    return PRIORITY.index(winner), PRIORITY.index(loser), winner_id, loser_id


def _removed(winner: str, loser: tuple[str, str], facts: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    """Return the (split, item id) of all items that are removed with `loser`."""
    side = loser[0].split("_")[0]
    if loser[0].endswith("_heldout") and winner.startswith(side):
        return {loser}
    return {key for key, fact in facts.items() if fact == facts[loser] and key[0].startswith(side)}


def _check_not_empty(before: Splits, after: Mapping[str, Sequence[Item]]) -> None:
    for name, items in before.by_name().items():
        # Held-out splits may be empty: many data sets have one phrasing of each fact.
        if items and not after[name] and not name.endswith("_heldout"):
            raise DataError(
                f"all {len(items)} items of {name} duplicate items of other splits. "
                "Raise the threshold split.similarity, or choose what to forget so that the two sides differ."
            )
