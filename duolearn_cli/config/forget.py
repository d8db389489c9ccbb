"""The part of the schema that says what is to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ForgetTarget:
    """What to forget, as configured: hierarchy nodes with their descendants, additions and exceptions."""

    name: str = field(default="custom", metadata={"help": "short name, used in folder names and tables"})
    concepts: list[str] = field(
        default_factory=list, metadata={"help": "ids or names of nodes, each with its descendants"}
    )
    add: list[str] = field(
        default_factory=list, metadata={"help": "single nodes to forget too, boundary concepts for one"}
    )
    keep: list[str] = field(default_factory=list, metadata={"help": "nodes to keep, each with its descendants"})
    subjects: list[str] = field(
        default_factory=list, metadata={"help": "data labels SUBJECT or SUBJECT/TOPIC; empty: those of the concepts"}
    )
    boundary: str = field(
        default="preserve",
        metadata={
            "help": "concepts that also lie outside the target: preserve them, or forget them too",
            "choices": ["preserve", "forget"],
        },
    )
    by: str = field(
        default="auto",
        metadata={
            "help": "how forget items are chosen. auto: by label, and by what they are about for concepts without a "
            "label; concepts: by what they are about alone; either: by label or by what they are about",
            "choices": ["auto", "concepts", "either"],
        },
    )
    about: float = field(
        default=0.35,
        metadata={
            "help": "how much of an item must be about the concepts that it is chosen by (docs/hierarchy.md); an item "
            "that mentions one and is below is neither forgotten nor kept",
            "min": 0,
            "max": 1,
        },
    )
