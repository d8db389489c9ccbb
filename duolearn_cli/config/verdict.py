"""The part of the schema that says when the lights of a verdict are green, and what a report shows of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from duolearn_cli.config.settings import setting


@dataclass
class VerdictConfig:
    """Thresholds of the verdict. A light is green or red only if the whole 95 % interval is on that side."""

    forgotten: float = setting(
        0.9,
        "Forgotten is green from here on: the share of the way from the target's accuracy on forget items down to "
        "gold's, or to chance without gold",
        minimum=0,
        maximum=1,
    )
    kept: float = setting(
        0.9,
        "Kept is green from here on: the share of the target's accuracy on retain items that is left. The threshold is "
        "multiplied by gold's own share if that is below 1",
        minimum=0,
    )
    attacks: float = setting(
        0.1, "how far an attack's AUC may be from 0.5, and from gold's AUC, for a green light", minimum=0, maximum=0.5
    )
    epsilon: float = setting(8.0, "the largest epsilon that counts as a privacy guarantee", minimum=0)


@dataclass
class ReportConfig:
    """What a report shows."""

    show_items: bool = setting(
        False, "show questions and options of your own data in the report; those of the embedded data are always shown"
    )


def verdict_limits(config: Any) -> VerdictConfig:
    """The thresholds of a run's configuration, which may be a node of OmegaConf; the defaults for older runs."""
    given: Mapping[str, Any] = config.get("verdict") or {}
    return VerdictConfig(**{spec.name: given[spec.name] for spec in fields(VerdictConfig) if spec.name in given})
