"""duolearn audit privacy and audit robustness: does a promise hold, can what was forgotten be got back?"""

from __future__ import annotations

from omegaconf import DictConfig

from duolearn_cli.cli.commands import audit_privacy, audit_robustness
from duolearn_cli.cli.commands.common import Invocation


def run(config: DictConfig, invocation: Invocation) -> str:
    """Run the audit of `audit.kind`; return its run folder. Raises whatever that audit does."""
    audit = audit_robustness if config.audit.kind == "robustness" else audit_privacy
    return audit.run(config, invocation)
