"""The part of the schema that describes how an unlearned model is attacked. See docs/robustness.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from duolearn_cli.config.privacy import AuditConfig
from duolearn_cli.config.settings import setting
from duolearn_cli.config.words import AUDITS
from duolearn_cli.errors import nearest

ATTACKS = ("relearn", "quantise", "prompts", "probe")
BITS = (2, 16)


@dataclass
class RobustnessConfig:
    """Attacks that try to get forgotten knowledge back out of an unlearned model."""

    attacks: list[str] = setting(list(ATTACKS), f"what is tried, any of: {', '.join(ATTACKS)}", common=("audit",))
    relearn_shares: list[float] = setting(
        [0.05, 0.1, 0.2], "relearn: shares of the forget facts to teach again; above 0, at most 0.9"
    )
    relearn_epochs: int = setting(5, "relearn: passes over these facts", minimum=1)
    relearn_learning_rate: float | None = setting(
        None, "relearn: peak learning rate; empty: the run's learn.learning_rate", minimum=0
    )
    bits: list[int] = setting([8, 4], "quantise: bits of a weight, 2 to 16 each")
    group: int = setting(64, "quantise: number of weights in a row that share one scale, below 8 bits", minimum=1)
    shuffles: int = setting(3, "prompts: number of other orders of the options to try", minimum=1, maximum=100)
    shots: int = setting(
        4, "prompts: number of retain items with answers that stand before the question", minimum=1, maximum=64
    )
    probe_c: float = setting(1.0, "probe: inverse strength of L2, C of scikit-learn", minimum=1e-9, maximum=1e9)
    max_items: int | None = setting(
        None,
        "the largest number of forget items, and of retain items, to attack. Facts are kept whole; empty: all",
        minimum=2,
        common=("audit",),
    )


def list_problems(settings: RobustnessConfig) -> Iterator[str]:
    """Yield the problems of the settings that are lists; `settings` may be OmegaConf's view of them."""
    allowed = ", ".join(ATTACKS)
    for name in settings.attacks:
        if name not in ATTACKS:
            yield f"attacks={name}: allowed: {allowed}{nearest(str(name), ATTACKS)}."
    for share in settings.relearn_shares:
        if not 0 < share <= 0.9:
            yield f"relearn_shares={share}: allowed: above 0, up to 0.9; facts that are not taught must be left to ask."
    for bits in settings.bits:
        if not BITS[0] <= bits <= BITS[1]:
            yield f"bits={bits}: allowed: {BITS[0]} to {BITS[1]}."
    for key, accepted in (("attacks", allowed), ("relearn_shares", "e.g. [0.1]"), ("bits", "e.g. [8,4]")):
        values: Sequence[object] = getattr(settings, key)
        if not values:
            yield f"{key}=[]: one at least is needed; allowed: {accepted}."
        elif len(set(values)) < len(values):
            yield f"{key}={list(values)}: an entry is there twice; give each once."


@dataclass
class AuditsConfig(AuditConfig):
    """What `duolearn audit` does: settings of the privacy audit, and below `robustness` of the attacks."""

    kind: str = setting("privacy", "what is audited; the first word after it", choices=list(AUDITS))
    robustness: RobustnessConfig = setting(RobustnessConfig)
