"""Which facts are trained on and which never are: pure, seeded, stable when the source grows, free of duplicates."""

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

# Of two duplicates the one in the later split goes. Facts that are trained on come first, for they make the other one
# seen; forget comes before retain, for what is to be forgotten must not be trained as what is to be kept.
PRIORITY = ("forget_train", "forget_heldout", "retain_train", "retain_heldout", "forget_unseen", "retain_unseen")
_CURES = {
    "forget": "Choose other subjects, topics or concepts to forget.",
    "retain": "All of them are to be forgotten. Take what is kept from a second data set as well, +retain_from=minimed "
    "or +retain_from=medmcqa retain_from.path=FILE (items about the target are left out of it), or forget less.",
}


@dataclass(frozen=True)
class Splits:
    """Items by what happens to them; no fact is in two of forget trained, forget unseen, retain trained, retain unseen.

    ``*_train``: trained on. ``*_heldout``: other phrasings of the same facts, never trained on (may be empty).
    ``*_unseen``: facts that no model ever trains on, in all their phrasings.
    """

    forget_train: tuple[Item, ...]
    forget_heldout: tuple[Item, ...]
    forget_unseen: tuple[Item, ...]
    retain_train: tuple[Item, ...]
    retain_heldout: tuple[Item, ...]
    retain_unseen: tuple[Item, ...]

    def by_name(self) -> dict[str, tuple[Item, ...]]:
        """The six splits by field name, in the order above."""
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
    """Cut facts into trained and unseen, by subject, in the order of a hash of seed and fact.

    A fact is a forget fact when any of its items is. Of n facts, floor(n · unseen_fraction) but at least one are
    unseen (none when the fraction is 0); a maximum, in trained facts, also cuts the unseen ones to keep the ratio.
    Facts whose phrasings are all held out cannot be trained on and are left out with a warning.

    Raises:
        ConfigError: `unseen_fraction` is not in [0, 1) or a maximum is below 1.
        DataError: there is no forget or no retain fact, or too few to have both kinds.
    """
    _check_settings(unseen_fraction, max_forget, max_retain)
    facts = _trainable_facts(items)
    forget = {fact: group for fact, group in facts.items() if any(map(is_forget, group))}
    retain = {fact: group for fact, group in facts.items() if fact not in forget}
    kept: list[tuple[Item, ...]] = []
    for side, chosen, maximum in (("forget", forget, max_forget), ("retain", retain, max_retain)):
        _check_size(side, len(chosen), len(facts), unseen_fraction)
        trained, unseen = _cut(chosen, seed, unseen_fraction, maximum)
        of_trained = [item for item in items if item.fact_id in trained]
        kept.append(tuple(item for item in of_trained if not item.heldout))
        kept.append(tuple(item for item in of_trained if item.heldout))
        kept.append(tuple(item for item in items if item.fact_id in unseen))
    return Splits(*kept)


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
    """The items of the facts that `make_splits` would train on if all of `items` were one side."""
    trained, _ = _cut(_trainable_facts(items), seed, unseen_fraction, maximum)
    return tuple(item for item in items if item.fact_id in trained)


def _check_settings(unseen_fraction: float, max_forget: int | None, max_retain: int | None) -> None:
    if not 0 <= unseen_fraction < 1:
        raise ConfigError(f"unseen_fraction is {unseen_fraction}; accepted: 0 or more, below 1.")
    for name, value in (("max_forget", max_forget), ("max_retain", max_retain)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; accepted: 1 or more facts, or null for all.")


def _check_size(side: str, num_facts: int, num_all: int, unseen_fraction: float) -> None:
    if num_facts == 0:
        raise DataError(f"no {side} items among {num_all} facts. {_CURES[side]}")
    if num_facts == 1 and unseen_fraction > 0:
        raise DataError(
            f"the {side} set has 1 fact; at least 2 are needed, one to train on and one that stays unseen. "
            "Widen the choice: more concepts or subjects, or a larger data set."
        )


def _trainable_facts(items: Iterable[Item]) -> dict[str, list[Item]]:
    facts: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        facts[item.fact_id].append(item)
    trainable = {fact: group for fact, group in facts.items() if not all(item.heldout for item in group)}
    if len(trainable) < len(facts):
        log.warning("left out %d facts that have held-out phrasings only", len(facts) - len(trainable))
    return trainable


def _cut(
    facts: Mapping[str, Sequence[Item]], seed: int, unseen_fraction: float, maximum: int | None
) -> tuple[set[str], set[str]]:
    """Trained facts from the low end of each subject's hash order, unseen ones from the high end.

    From opposite ends, so that a growing source does not turn trained facts into unseen ones more than it must.
    """
    by_subject: dict[str, list[str]] = defaultdict(list)
    for fact in sorted(facts, key=lambda name: _key(seed, name)):
        by_subject[facts[fact][0].subject or ""].append(fact)
    num_trained, num_unseen = _sizes(len(facts), unseen_fraction, maximum)
    take = _shares({subject: len(names) for subject, names in by_subject.items()}, num_trained)
    rest = {subject: len(names) - take[subject] for subject, names in by_subject.items()}
    leave = _shares(rest, num_unseen)
    trained = {name for subject, names in by_subject.items() for name in names[: take[subject]]}
    unseen = {name for subject, names in by_subject.items() for name in names[len(names) - leave[subject] :]}
    return trained, unseen


def _key(seed: int, fact: str) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{seed}:split:{fact}".encode(), digest_size=8).digest(), fact


def _sizes(num_facts: int, unseen_fraction: float, maximum: int | None) -> tuple[int, int]:
    """Numbers of trained and of unseen facts."""
    num_unseen = _at_least_one(num_facts * unseen_fraction)
    num_trained = num_facts - num_unseen
    if maximum is None or maximum >= num_trained:
        return num_trained, num_unseen
    return maximum, min(num_unseen, _at_least_one(maximum * unseen_fraction / (1 - unseen_fraction)))


def _at_least_one(expected: float) -> int:
    """Floor, but one where anything is expected; the margin is for products such as 0.29 * 100."""
    return max(1, math.floor(expected + 1e-9)) if expected > 0 else 0


def _shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Divide `total` in proportion to `sizes` by largest remainder, ties by name; no share exceeds its size."""
    whole = sum(sizes.values())
    shares = {name: total * size // whole if whole else 0 for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(total * sizes[name] % max(whole, 1)), name))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


def drop_duplicates(splits: Splits, duplicates: Iterable[Duplicate]) -> Splits:
    """Remove what leaks; groups of `duplicates` are the names of splits. Nothing leaves forget_train.

    A whole fact goes (all its phrasings), except that a held-out phrasing too near to another item of its own side
    goes alone. A pair whose winner has gone already removes nothing.

    Raises:
        DataError: a split would be emptied.
    """
    facts = {(name, item.id): item.fact_id for name, items in splits.by_name().items() for item in items}
    gone: set[tuple[str, str]] = set()  # (split, item id)
    for winner, loser in sorted(map(_ranked, duplicates), key=_order):
        if winner in gone or loser in gone:
            continue
        gone.update(_removed(winner[0], loser, facts))
    kept = {
        name: tuple(item for item in items if (name, item.id) not in gone) for name, items in splits.by_name().items()
    }
    _check_kept(splits, kept)
    return Splits(**kept)


def _ranked(pair: Duplicate) -> tuple[tuple[str, str], tuple[str, str]]:
    one, other = (pair.group_a, pair.id_a), (pair.group_b, pair.id_b)
    return (one, other) if PRIORITY.index(one[0]) <= PRIORITY.index(other[0]) else (other, one)


def _order(pair: tuple[tuple[str, str], tuple[str, str]]) -> tuple[int, int, str, str]:
    (winner, winner_id), (loser, loser_id) = pair
    return PRIORITY.index(winner), PRIORITY.index(loser), winner_id, loser_id


def _removed(winner: str, loser: tuple[str, str], facts: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    """Keys of the items that go with `loser`."""
    side = loser[0].split("_")[0]
    if loser[0].endswith("_heldout") and winner.startswith(side):
        return {loser}
    return {key for key, fact in facts.items() if fact == facts[loser] and key[0].startswith(side)}


def _check_kept(before: Splits, after: Mapping[str, Sequence[Item]]) -> None:
    for name, items in before.by_name().items():
        if items and not after[name] and not name.endswith("_heldout"):
            raise DataError(
                f"all {len(items)} items of {name} duplicate items of other splits. "
                "Raise the duplicate threshold, or choose what to forget so that the two sides differ."
            )
