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
    add: list[str] = setting([], "single nodes to forget as well, such as boundary concepts")
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
        "what to do with boundary concepts, which also belong to other fields: preserve or forget them",
        choices=["preserve", "forget"],
    )
    by: str = setting(
        "auto",
        "how to choose forget items. auto: by their label, or by their content for concepts without a label; "
        "concepts: by content alone; either: by label or content",
        choices=["auto", "concepts", "either"],
    )
    about: float = setting(
        0.35,
        "how much of an item must be about the target's concepts to choose it by content (docs/hierarchy.md). An "
        "item below this that mentions one is neither forgotten nor kept",
        minimum=0,
        maximum=1,
    )
