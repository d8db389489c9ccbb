"""Labels of items: give equal subjects and topics one spelling, and find labels that nearly match the target's."""

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

# The similarity (difflib's ratio) from which one label may be a misspelling of another: one letter in six, a plural.
NEAR = 0.84


def unified(items: Sequence[Item], labels: Iterable[str], hierarchy: Hierarchy) -> tuple[list[Item], list[str]]:
    """Give labels that differ only in case, spaces, accents or hyphens one spelling.

    The spelling is that of `labels` (the target's), else the hierarchy's, else the most common one in the data. Topics
    change only if the target or the hierarchy names them.

    Returns:
        The items, and one sentence for each label that replaced another spelling.
    """
    wholes = dict.fromkeys([*sorted(labels), *(s for c in hierarchy.concepts.values() for s in c.subjects)])
    known: dict[str, str] = {}
    for label in wholes:
        known.setdefault(label_key(label), label)
    for subject, _ in Counter(item.subject for item in items if item.subject).most_common():
        known.setdefault(label_key(subject), subject)
    changed: Counter[tuple[str, str]] = Counter()
    respelled = []
    for item in items:
        subject, topic = _spelling(item.subject, item.topic, known)
        if subject != item.subject:
            changed[str(item.subject), str(subject)] += 1
        if topic != item.topic:
            changed[f"{item.subject}/{item.topic}", f"{subject}/{topic}"] += 1
        respelled.append(item if (subject, topic) == (item.subject, item.topic) else _spelled(item, subject, topic))
    return respelled, [_note(changed, label) for label in dict.fromkeys(label for _, label in changed)]


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


def _note(changed: Counter[tuple[str, str]], label: str) -> str:
    spellings = {old: count for (old, new), count in changed.items() if new == label}
    shown = ", ".join(f"{old!r} ({_items(count)})" for old, count in spellings.items())
    return f"{shown} {'is' if len(spellings) == 1 else 'are'} read as the label {label!r}: only case or marks differ."


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def near_misses(items: Iterable[Item], target: Target) -> dict[str, dict[str, int]]:
    """Return {target label: {similar label: number of items}} for labels of the data that nearly match the target's.

    A label is similar if it may be a misspelling ("Surgry") or has all words of the target's label ("General surgery").
    """
    similar: dict[str, dict[str, int]] = {}
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
            similar[wanted] = near
    return similar


@lru_cache(maxsize=4096)
def _is_near(label: str, wanted: str) -> bool:
    subject, _, topic = label_key(label).partition("/")
    wanted_subject, _, wanted_topic = label_key(wanted).partition("/")
    if wanted_topic:
        return _are_alike(subject, wanted_subject) and _are_alike(topic, wanted_topic)
    return _are_alike(subject, wanted_subject)


def _are_alike(one: str, wanted: str) -> bool:
    # A label of five letters or fewer (ENT) would be part of many words.
    if set(wanted.split()) <= set(one.split()) or (len(wanted) > 5 and wanted in one.replace(" ", "")):
        return True
    return difflib.SequenceMatcher(None, one, wanted).ratio() >= NEAR


def near_miss_notes(items: Iterable[Item], target: Target) -> list[str]:
    """Return a sentence for each target label that other labels nearly match, with the override that adds them."""
    return [
        f"{_items(sum(near.values()))} to retain {'has' if sum(near.values()) == 1 else 'have'} a label similar to "
        f"{wanted!r}: "
        f"{', '.join(f'{label!r} ({count})' for label, count in near.items())}. To forget them too: "
        f"{override([*sorted(target.labels), *near])}"
        for wanted, near in near_misses(items, target).items()
    ]


def override(labels: Collection[str]) -> str:
    """Return the override ``forget.subjects=[...]``, quoted for a shell."""
    quoted = [label if label.replace("/", "").replace("_", "").isalnum() else _quoted(label) for label in labels]
    return shlex.quote(f"forget.subjects=[{','.join(dict.fromkeys(quoted))}]")


def _quoted(label: str) -> str:
    escaped = label.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
