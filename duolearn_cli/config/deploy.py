"""The part of the schema for what follows a run: handing its model on, and keeping the cache small."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import setting
from duolearn_cli.config.words import CACHE_ACTIONS


@dataclass
class ExportConfig:
    """How an exported model is written. See docs/deployment.md."""

    precision: str = setting(
        "fp32",
        "merged: precision of the weights. fp32 answers exactly as the run does; bf16 and fp16 are rounded and take"
        " half the space",
        choices=["fp32", "bf16", "fp16"],
        common=("export",),
    )
    held: bool = setting(
        True,
        "adapter: include the gradients that keep earlier requests forgotten. They are derived from the forgotten "
        "items, so leave them out of copies for others",
        common=("export",),
    )
    max_shard_gb: float = setting(
        5.0, "merged: the largest size of one weight file, in GB", minimum=0.0001, maximum=1000, common=("export",)
    )
    held: bool = setting(
        True,
        "adapter: include the gradients that keep earlier requests forgotten. They are derived from the forgotten "
        "items, so leave them out of copies for others",
        common=("export",),
    )


@dataclass
class CacheConfig:
    """What `duolearn cache prune` deletes: entries for which everything holds that is set here."""

    action: str = setting("list", "list or prune; the first word after cache", choices=CACHE_ACTIONS)
    older_than: float | None = setting(
        None, "only entries made at least this many days ago", minimum=0, common=("cache",)
    )
    unused: float | None = setting(None, "only entries not used for this many days", minimum=0, common=("cache",))
    names: list[str] = setting([], "names as the list shows them, with * and ?, such as target-*", common=("cache",))
