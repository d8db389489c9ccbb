"""duolearn retrain: make the gold model."""

from __future__ import annotations

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.cli.commands.learning import learn


def run(config: DictConfig, invocation: Invocation) -> str:
    """Fine-tune on retain items only, and evaluate next to the base model. Return the run folder."""
    return learn(config, invocation, "gold")
