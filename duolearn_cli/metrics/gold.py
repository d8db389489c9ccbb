"""How far a model is from gold, the model that never learned what was to be forgotten (method.md section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from duolearn_cli.metrics.intervals import mean, proportion


def distance(
    losses: Sequence[float],
    gold_losses: Sequence[float],
    predictions: Sequence[int],
    gold_predictions: Sequence[int],
    facts: Sequence[str],
) -> dict[str, Any]:
    """Distances between two models' losses and answers on the same items, in the same order.

    ``ks``: the Kolmogorov-Smirnov statistic of the two distributions of per-item losses, the largest distance of their
    cumulative shares, with the p-value of independent samples as ``ks_p_value``: these are the same items and phrasings
    of one fact go together, so it is a yardstick (as in Maini et al. 2024, "TOFU") and no test.
    ``nll_distance``: mean |loss - gold's loss| in nats. ``agreement``: share of items with the same answer.
    """
    from scipy import stats

    if not losses:
        return {}
    found: Any = stats.ks_2samp(losses, gold_losses)
    apart = np.abs(np.asarray(losses, dtype=float) - np.asarray(gold_losses, dtype=float))
    same = [float(ours == theirs) for ours, theirs in zip(predictions, gold_predictions, strict=True)]
    return {
        "ks": float(found.statistic),
        "ks_p_value": float(found.pvalue),
        "nll_distance": mean(apart.tolist(), facts, higher_is_better=False),
        "agreement": proportion(same, facts, higher_is_better=True),
    }
