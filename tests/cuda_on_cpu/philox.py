"""Philox4x32-10 in NumPy, written from the paper (Salmon et al., SC 2011) independently of the kernels."""

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


def uniforms(seed: np.ndarray, draws: int, rows: int, pairs: int) -> np.ndarray:
    """The uniforms of the sampling kernel, (draws, rows, pairs)."""
    draw, row, pair = np.meshgrid(*(np.arange(size) for size in (draws, rows, pairs)), indexing="ij")
    words = philox(np.stack([pair, draw, row, 0 * row], axis=-1), np.floor(seed * 2.0**32))
    whole = (words[..., 1] << np.uint64(32) | words[..., 0]).view(np.int64)
    return (whole >> 11) * 2.0**-53
