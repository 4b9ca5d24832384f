"""Rows of logits with every k, for comparison with enumeration."""

from dataclasses import dataclass

import numpy as np
from oracle import Enumeration


@dataclass(frozen=True)
class Batch:
    """Logits (rows, n) with a k for each row."""

    logits: np.ndarray
    k: np.ndarray

    @property
    def rows(self) -> list[Enumeration]:
        return [Enumeration(row, int(k)) for row, k in zip(self.logits, self.k, strict=True)]


def all_sizes(n: int, seed: int = 0, scales: tuple[float, ...] = (0.1, 1.0, 10.0)) -> Batch:
    """Every k from 0 to n, at several scales."""
    rng = np.random.default_rng(seed)
    k = np.repeat(np.arange(n + 1), len(scales))
    scale = np.tile(scales, n + 1)
    return Batch((rng.normal(size=(len(k), n)) * scale[:, None]).astype(np.float32).astype(np.float64), k)


def with_infinities(n: int, seed: int = 0) -> Batch:
    """Items that are always or never chosen, up to the point where nothing is left to choose."""
    rng, logits, sizes = np.random.default_rng(seed), [], []
    for always in range(n + 1):
        for never in range(n + 1 - always):
            for k in {always, (always + n - never) // 2, n - never}:
                row = rng.normal(size=n)
                place = rng.permutation(n)
                row[place[:always]], row[place[n - never :]] = np.inf, -np.inf
                logits.append(row)
                sizes.append(k)
    return Batch(np.stack(logits).astype(np.float32).astype(np.float64), np.array(sizes))
