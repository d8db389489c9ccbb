"""The part of the schema that names what to forget."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import setting


@dataclass
class ForgetTarget:
    """What to forget, as configured: hierarchy nodes with their descendants, additions and exceptions."""

    name: str = setting("custom", "short name, used in folder names and tables")
    concepts: list[str] = setting(
        [], "ids or names of nodes, each with its descendants", common=("unlearn", "learn", "retrain", "hierarchy")
    )
    add: list[str] = setting([], "single nodes to forget too, boundary concepts for one")
    keep: list[str] = setting([], "nodes to keep, each with its descendants", common=("unlearn",))
    subjects: list[str] = setting(
        [], "data labels SUBJECT or SUBJECT/TOPIC; empty: those of the concepts", common=("unlearn", "learn", "retrain")
    )
    patients: list[str] = setting(
        [], "only what is about these patients; empty: everybody. With empty concepts all that is about them"
    )
    dates: str = setting("", "only what is of these days, FROM..TO, each YYYY-MM-DD or empty; empty: any day")
    boundary: str = setting(
        "preserve",
        "concepts that also lie outside the target: preserve them, or forget them too",
        choices=["preserve", "forget"],
    )
    by: str = setting(
        "auto",
        "how forget items are chosen. auto: by label, and by what they are about for concepts without a "
        "label; concepts: by what they are about alone; either: by label or by what they are about",
        choices=["auto", "concepts", "either"],
    )
    about: float = setting(
        0.35,
        "how much of an item must be about the concepts that it is chosen by (docs/hierarchy.md); an item "
        "that mentions one and is below is neither forgotten nor kept",
        minimum=0,
        maximum=1,
    )
