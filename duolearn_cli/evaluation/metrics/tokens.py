"""Scores of one text from the log-probabilities of its tokens: extraction strength, and scores of membership attacks.

Every function takes one number for each token, in the order of the text, and returns one number for the text. A higher
score means that the text is more likely a member.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

# Both Shi et al. 2024 ("Detecting pretraining data") and Zhang et al. 2025 ("Min-K%++") use a fifth in comparisons.
SHARE = 0.2
# A certain prediction has a deviation of 0; dividing by this instead keeps the score finite.
SMALLEST_DEVIATION = 1e-6


def extraction_strength(greedy: Sequence[bool]) -> float:
    """The share of a text's end that greedy decoding reproduces, given the tokens before: 1 is the whole text.

    ``1 - k / n``, where k is the smallest number of first tokens after which each of the n tokens is the most likely
    one (Carlini et al. 2021; as in Wang et al. 2025, "Towards effective evaluations").

    Args:
        greedy: whether each token is the most likely one.

    Returns:
        From 0 to 1; NaN for a text without tokens.
    """
    if not greedy:
        return math.nan
    run = next((i for i, hit in enumerate(reversed(greedy)) if not hit), len(greedy))
    return run / len(greedy)


def min_k(log_p: ArrayLike, share: float = SHARE) -> float:
    """Min-k% (Shi et al. 2024): the mean log-probability of the least likely `share` of the tokens, at least one."""
    return _mean_of_lowest(np.asarray(log_p, dtype=float), share)


def min_k_plus(log_p: ArrayLike, mean: ArrayLike, deviation: ArrayLike, share: float = SHARE) -> float:
    """Min-k%++ (Zhang et al. 2025): `min_k` of standardised log-probabilities.

    Args:
        log_p: the log-probability of each token, in nats.
        mean: the mean of log p(z) over tokens z drawn from the prediction p for that token.
        deviation: its standard deviation.
        share: the share of tokens to average.
    """
    spread = np.maximum(np.asarray(deviation, dtype=float), SMALLEST_DEVIATION)
    return _mean_of_lowest((np.asarray(log_p, dtype=float) - np.asarray(mean, dtype=float)) / spread, share)


def compressed_bytes(text: str) -> int:
    """The length of a text after zlib, in bytes: the divisor of the zlib attack (Carlini et al. 2021)."""
    return len(zlib.compress(text.encode("utf-8")))


def _mean_of_lowest(values: np.ndarray, share: float) -> float:
    if not len(values):
        return math.nan
    count = max(1, int(len(values) * share))
    return float(np.sort(values)[:count].mean())
