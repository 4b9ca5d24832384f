"""Philox4x32-10, and draws by it, in NumPy: written from the paper (Salmon et al., SC 2011), not from the kernels."""

from collections.abc import Callable

import numpy as np

MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
WEYL = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint64)
LOW = np.uint64(0xFFFFFFFF)


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
    """Subsets of the sampling kernel from rows of t = θ + λ, (draws, rows, n): independent items until k are chosen."""
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint64)
    rows = [_row(key, draws, i, t, count) for i, (t, count) in enumerate(zip(tilted, k, strict=True))]
    return np.stack(rows, axis=1).astype(tilted.dtype)


def _row(key: np.ndarray, draws: int, row: int, t: np.ndarray, k: int) -> np.ndarray:
    if np.isnan(t).any():
        return np.full((draws, t.size), np.nan)
    odds = np.exp(-np.abs(t))
    rare = odds / (1 + odds)
    return np.stack([_draw(lambda a, d=draw: _bits(key, t.size, a, d, row), rare, t > 0, k) for draw in range(draws)])


def _draw(bits: Callable[[int], np.ndarray], rare: np.ndarray, likely: np.ndarray, k: int) -> np.ndarray:
    attempt = 0
    while (z := (bits(attempt) < rare * 2.0**31) != likely).sum() != k:
        attempt += 1
    return z


def _bits(key: np.ndarray, n: int, attempt: int, draw: int, row: int) -> np.ndarray:
    places = np.arange(-(-n // 4))
    counters = np.stack([places, *(np.full_like(places, x) for x in (attempt, draw, row))], axis=-1)
    return (philox(counters, key) >> np.uint64(1)).reshape(-1)[:n]
