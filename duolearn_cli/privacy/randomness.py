"""Random numbers of private steps: the sampling of units, and the noise.

Every (purpose, step) has its own stream. Processes that share a key therefore draw the same numbers without exchanging
them, and no stream is ever used for two steps. The purposes and steps are part of the seed: renaming one changes the
numbers.
"""

from __future__ import annotations

import hashlib
import math
import os
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from duolearn_cli.model.host_to_device import send

KEY_BYTES = 32
# Scales integers from 1 to 2^53, which doubles hold exactly, to (0, 1]. Zero is left out for the logarithm of `normal`.
TO_UNIT = 2.0**-53


class Randomness(Protocol):
    """A source of random numbers. `purpose` and `step` together name a stream."""

    def uniform(self, purpose: str, step: int, size: int) -> np.ndarray:
        """Uniform numbers in (0, 1]. Shape: [size], float64."""
        ...

    def normal(self, purpose: str, step: int, size: int, device: torch.device) -> Tensor:
        """Standard normal numbers on `device`. Shape: [size], float32."""
        ...


class Seeded:
    """Reproducible random numbers, for tests and studies: anyone who knows the seed can subtract the noise.

    Args:
        seed: the run's seed.
        stage: distinguishes the streams of several stages of one model that have the same seed.
    """

    def __init__(self, seed: int, stage: str = "") -> None:
        self._seed = f"{seed}:{stage}" if stage else str(seed)

    def uniform(self, purpose: str, step: int, size: int) -> np.ndarray:
        return 1.0 - np.random.Generator(np.random.Philox(self._number(purpose, step))).random(size)

    def normal(self, purpose: str, step: int, size: int, device: torch.device) -> Tensor:
        generator = torch.Generator(device).manual_seed(self._number(purpose, step))
        return torch.randn(size, generator=generator, device=device)

    def _number(self, purpose: str, step: int) -> int:
        digest = hashlib.sha256(f"{self._seed}:{purpose}:{step}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


class Secure:
    """Cryptographic random numbers: AES-256 in counter mode, under a key that is kept in memory only.

    Normal numbers come from the Box-Muller transform in double precision. As with any floating-point noise, the privacy
    guarantee holds in exact arithmetic (Mironov 2012, "On significance of the least significant bits for differential
    privacy").

    Args:
        key: `KEY_BYTES` bytes from `new_key`.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @staticmethod
    def new_key() -> bytes:
        """A new key from the operating system."""
        return os.urandom(KEY_BYTES)

    def uniform(self, purpose: str, step: int, size: int) -> np.ndarray:
        words = np.frombuffer(self._bytes(purpose, step, 8 * size), dtype=np.uint64)
        return ((words >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * TO_UNIT

    def normal(self, purpose: str, step: int, size: int, device: torch.device) -> Tensor:
        half = -(-size // 2)
        radius, angle = np.split(self.uniform(purpose, step, 2 * half), 2)
        radius, angle = np.sqrt(-2 * np.log(radius)), 2 * math.pi * angle
        pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return send(torch.from_numpy(pairs[:size].astype(np.float32)), device)

    def _bytes(self, purpose: str, step: int, count: int) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        # Each stream has its own key. With one key, the counters of two streams could overlap.
        key = hashlib.sha256(self._key + f":{purpose}:{step}".encode()).digest()
        return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(count))
