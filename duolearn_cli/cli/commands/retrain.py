"""duolearn retrain: the gold model."""

from __future__ import annotations

from omegaconf import DictConfig

from duolearn_cli.cli.commands.common import Invocation
from duolearn_cli.cli.commands.learning import learn


def run(config: DictConfig, invocation: Invocation) -> str:
    """Fine-tune on retain items only, evaluate beside the base model; return the run folder."""
    return learn(config, invocation, "gold")
