"""Quantisation attacks: rounding may undo the small changes that made a model forget (Zhang et al. 2024).

Source: arXiv 2410.16454.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from duolearn_cli.audits.robustness.attack import Attack, Scorer, scorer
from duolearn_cli.audits.robustness.rounding import PER_CHANNEL_FROM, rounded
from duolearn_cli.config.robustness import RobustnessConfig
from duolearn_cli.pipeline.loaded_model import LoadedModel

NAME = "quantise"


def attacks(settings: RobustnessConfig) -> Iterator[Attack]:
    """One attack for each number of bits in the settings."""
    for bits in settings.bits:
        yield _rounding(bits, settings.group)


def _rounding(bits: int, group: int) -> Attack:
    @contextmanager
    def apply(loaded: LoadedModel) -> Iterator[Scorer]:
        with rounded(loaded.model, bits, group):
            yield scorer(loaded)

    scale = "row" if bits >= PER_CHANNEL_FROM else f"{group} weights of a row"
    details = {"bits": bits, "scale_for": scale, "what": "weights rounded to nearest; no quantised kernel"}
    return Attack(NAME, f"{bits} bit", apply, details=details)
