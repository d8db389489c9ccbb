"""Labels that mean the same: subjects and topics in one spelling, and labels that nearly are the target's."""

from __future__ import annotations

import difflib
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.labels import label_key
from duolearn_cli.data.items import Item

# Similarity (difflib) from which two labels are so near that one may be meant by the other: a slip of one letter in
# six, a plural.
NEAR = 0.84


def unified(items: Sequence[Item], labels: Iterable[str], hierarchy: Hierarchy) -> tuple[list[Item], list[str]]:
    """Give labels that differ by case, spaces, accents or hyphens one spelling; say in sentences what was done.

    The spelling is that of `labels` (a target's), else the hierarchy's, else the commonest in the data. Topics are
    respelled only where one of the first two names them.
    """
    wholes = dict.fromkeys([*sorted(labels), *(s for c in hierarchy.concepts.values() for s in c.subjects)])
    known: dict[str, str] = {}
    for label in wholes:
        known.setdefault(label_key(label), label)
    for subject, _ in Counter(item.subject for item in items if item.subject).most_common():
        known.setdefault(label_key(subject), subject)
    changed: Counter[tuple[str, str]] = Counter()
    found = []
    for item in items:
        subject, topic = _spelling(item.subject, item.topic, known)
        if subject != item.subject:
            changed[str(item.subject), str(subject)] += 1
        if topic != item.topic:
            changed[f"{item.subject}/{item.topic}", f"{subject}/{topic}"] += 1
        found.append(item if (subject, topic) == (item.subject, item.topic) else _spelled(item, subject, topic))
    return found, [_told(changed, label) for label in dict.fromkeys(label for _, label in changed)]


def _spelled(item: Item, subject: str | None, topic: str | None) -> Item:
    return replace(item, subject=subject, topic=topic)


def _spelling(subject: str | None, topic: str | None, known: dict[str, str]) -> tuple[str | None, str | None]:
    if subject is None:
        return None, topic
    whole = known.get(label_key(f"{subject}/{topic}")) if topic else None
    if whole:
        subject, _, topic = whole.partition("/")
        return subject, topic
    return known.get(label_key(subject), subject), topic


def _told(changed: Counter[tuple[str, str]], label: str) -> str:
    given = {old: count for (old, new), count in changed.items() if new == label}
    shown = ", ".join(f"{old!r} ({_items(count)})" for old, count in given.items())
    return f"{shown} {'is' if len(given) == 1 else 'are'} taken as the label {label!r}: only case or marks differ."


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def near_misses(items: Iterable[Item], target: Target) -> dict[str, dict[str, int]]:
    """Labels of the data that are not the target's but nearly so, with their numbers of items, by target label.

    Near is a slip of the pen ("Surgry"), or a label that holds all words of the target's ("General surgery").
    """
    found: dict[str, dict[str, int]] = {}
    subjects, wholes = Counter[str](), Counter[str]()
    for item in items:
        if item.subject and not target.covers(item.subject, item.topic):
            subjects[item.subject] += 1
            if item.topic:
                wholes[f"{item.subject}/{item.topic}"] += 1
    for wanted in sorted(target.labels):
        have = wholes if "/" in wanted else subjects
        near = {label: count for label, count in have.most_common() if _is_near(label, wanted)}
        if near:
            found[wanted] = near
    return found


@lru_cache(maxsize=4096)
def _is_near(label: str, wanted: str) -> bool:
    subject, _, topic = label_key(label).partition("/")
    wanted_subject, _, wanted_topic = label_key(wanted).partition("/")
    if wanted_topic:
        return _are_alike(subject, wanted_subject) and _are_alike(topic, wanted_topic)
    return _are_alike(subject, wanted_subject)


def _are_alike(one: str, wanted: str) -> bool:
    if set(wanted.split()) <= set(one.split()) or (len(wanted) > 5 and wanted in one.replace(" ", "")):
        return True
    return difflib.SequenceMatcher(None, one, wanted).ratio() >= NEAR


def near_miss_notes(items: Iterable[Item], target: Target) -> list[str]:
    """A sentence for each label of the target that other labels come near to, with the override that adds them."""
    return [
        f"{_items(sum(near.values()))} that {'is' if sum(near.values()) == 1 else 'are'} kept "
        f"{'has' if sum(near.values()) == 1 else 'have'} a label near to {wanted!r}: "
        f"{', '.join(f'{label!r} ({count})' for label, count in near.items())}. To forget them too: "
        f"{override([*sorted(target.labels), *near])}"
        for wanted, near in near_misses(items, target).items()
    ]


def override(labels: Collection[str]) -> str:
    """``forget.subjects=[...]`` as a shell takes it."""
    quoted = [label if label.replace("/", "").replace("_", "").isalnum() else _quoted(label) for label in labels]
    return shlex.quote(f"forget.subjects=[{','.join(dict.fromkeys(quoted))}]")


def _quoted(label: str) -> str:
    escaped = label.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
