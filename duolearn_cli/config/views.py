"""The part of the schema that describes what `duolearn inspect` and `duolearn hierarchy` show."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import setting
from duolearn_cli.config.words import ACTIONS


@dataclass
class InspectConfig:
    """The item that `duolearn inspect` shows."""

    item: str | None = setting(
        None, "the id of the item to show, also the first word; empty: the first one to forget", common=("inspect",)
    )
    scores: bool = setting(False, "ask the target model for the dual-purpose scores", common=("inspect",))


@dataclass
class HierarchyViewConfig:
    """What `duolearn hierarchy` does, and the part of the hierarchy that it shows."""

    action: str = setting("show", "what to do, also the first word", choices=ACTIONS)
    node: str | None = setting(None, "show: only this concept and what is below it", common=("hierarchy",))
    text: str | None = setting(None, "find: the text to look for concepts in", common=("hierarchy",))
    depth: int = setting(2, "show: how many levels down; a root is the first", minimum=1, common=("hierarchy",))
