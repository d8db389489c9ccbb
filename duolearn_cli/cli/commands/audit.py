"""duolearn audit: test the privacy claim of a run (privacy), or try to recover forgotten knowledge (robustness)."""

from __future__ import annotations

from omegaconf import DictConfig

from duolearn_cli.cli.commands import audit_privacy, audit_robustness
from duolearn_cli.cli.commands.common import Invocation


def run(config: DictConfig, invocation: Invocation) -> str:
    """Run the audit that ``audit.kind`` names. Return its run folder."""
    audit = audit_robustness if config.audit.kind == "robustness" else audit_privacy
    return audit.run(config, invocation)
