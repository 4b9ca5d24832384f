"""Philox4x32-10, and draws by it, in NumPy: written from the paper (Salmon et al., SC 2011), not from the kernels."""

from collections.abc import Callable
from functools import partial

import numpy as np

MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
WEYL = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint64)
LOW = np.uint64(0xFFFFFFFF)
COUNT = 2**31 + 1
"""The place of a stream that decides the count of a draw."""


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Four 32-bit words for every counter of four, (..., 4), and a key of two."""
    words, key = counter.astype(np.uint64), key.astype(np.uint64)
    for _ in range(10):
        products = words[..., 0::2] * MULTIPLIERS
        high, low = products >> np.uint64(32), products & LOW
        mixed = high[..., ::-1] ^ words[..., 1::2] ^ key
        words = np.stack([mixed[..., 0], low[..., 1], mixed[..., 1], low[..., 0]], axis=-1)
        key = key + WEYL & LOW
    return words


def subsets(seed: int, draws: int, tilted: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Subsets of the sampling kernel from rows of t = θ + λ, (draws, rows, n): independent items until k are chosen.

    ``tilted`` and ``k`` may differ from draw to draw.
    """
    every = np.broadcast_to(tilted, (draws, *tilted.shape[-2:])), np.broadcast_to(k, (draws, tilted.shape[-2]))
    out = np.empty_like(every[0])
    for draw, row in np.ndindex(*out.shape[:2]):
        bits = partial(_bits, _key(seed), out.shape[-1], draw=draw, row=row)
        out[draw, row] = _draw(bits, every[0][draw, row], every[1][draw, row])
    return out


def counts(seed: int, draws: int, chances: np.ndarray) -> np.ndarray:
    """Which of the counts of each row, (rows, counts), the sampling kernel draws first: (draws, rows)."""
    places = [[[COUNT, 0, draw, row] for row in range(len(chances))] for draw in range(draws)]
    words = philox(np.array(places), _key(seed))
    u = ((words[..., 1] << np.uint64(32) | words[..., 0]) >> np.uint64(11)) * 2.0**-53
    passed = np.cumsum(chances, axis=-1, dtype=np.float64)
    return (passed <= u[..., None] * passed[:, -1:]).sum(axis=-1)


def _key(seed: int) -> np.ndarray:
    return np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint64)


def _draw(bits: Callable[[int], np.ndarray], t: np.ndarray, k: int) -> np.ndarray:
    if np.isnan(t).any():
        return np.full(t.size, np.nan)
    odds, likely, attempt = np.exp(-np.abs(t)), t > 0, 0
    rare = odds / (1 + odds)
    while (z := (bits(attempt) < rare * 2.0**31) != likely).sum() != k:
        attempt += 1
    return z


def _bits(key: np.ndarray, n: int, attempt: int, *, draw: int, row: int) -> np.ndarray:
    places = np.arange(-(-n // 4))
    counters = np.stack([places, *(np.full_like(places, x) for x in (attempt, draw, row))], axis=-1)
    return (philox(counters, key) >> np.uint64(1)).reshape(-1)[:n]
