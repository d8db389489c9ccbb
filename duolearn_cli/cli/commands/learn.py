"""duolearn learn: make the target model."""

from __future__ import annotations

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.cli.commands.learning import learn


def run(config: DictConfig, invocation: Invocation) -> str:
    """Fine-tune on forget and retain items, and evaluate next to the base model. Return the run folder."""
    return learn(config, invocation, "target")
