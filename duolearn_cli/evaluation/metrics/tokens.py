"""What the log-probabilities of one text's tokens tell: extraction strength and the scores of membership attacks.

All take one number a token, in the order of the text, and return one number a text. A higher score means: more likely a
member.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

# Shi et al. 2024 ("Detecting pretraining data") and Zhang et al. 2025 ("Min-K%++") both use a fifth where they compare.
SHARE = 0.2
# Where the prediction is certain, all tokens are equally far from what was to be expected.
SMALLEST_DEVIATION = 1e-6


def extraction_strength(greedy: Sequence[bool]) -> float:
    """The share of a text's end that follows by itself, given the rest: 1 is the whole, 0 is nothing.

    ``1 - k / n``, k being the least number of first tokens after which every next token is the most likely one (Carlini
    et al. 2021; as in Wang et al. 2025, "Towards effective evaluations"). `greedy` says so of each of the n tokens.
    """
    if not greedy:
        return math.nan
    run = next((i for i, hit in enumerate(reversed(greedy)) if not hit), len(greedy))
    return run / len(greedy)


def min_k(log_p: ArrayLike, share: float = SHARE) -> float:
    """Min-k% (Shi et al. 2024): mean log-probability of the least likely tokens, a `share` of them, at least one."""
    return _mean_of_lowest(np.asarray(log_p, dtype=float), share)


def min_k_plus(log_p: ArrayLike, mean: ArrayLike, deviation: ArrayLike, share: float = SHARE) -> float:
    """Min-k%++ (Zhang et al. 2025): as `min_k`, of log-probabilities standardised by what the prediction expects.

    `mean` and `deviation` are those of log p(z) over z drawn from the prediction p at each place.
    """
    spread = np.maximum(np.asarray(deviation, dtype=float), SMALLEST_DEVIATION)
    return _mean_of_lowest((np.asarray(log_p, dtype=float) - np.asarray(mean, dtype=float)) / spread, share)


def compressed_bytes(text: str) -> int:
    """The length of a text after zlib, in bytes: what the zlib attack (Carlini et al. 2021) divides the loss by."""
    return len(zlib.compress(text.encode("utf-8")))


def _mean_of_lowest(values: np.ndarray, share: float) -> float:
    if not len(values):
        return math.nan
    count = max(1, int(len(values) * share))
    return float(np.sort(values)[:count].mean())
