"""Marginals, by enumeration and hard ones, with the logits that they come from."""

from dataclasses import dataclass

import numpy as np
from cases import all_sizes, with_infinities
from oracle import families, recursion


@dataclass(frozen=True)
class Rows:
    """Logits and their marginals (rows, n), with a k for each row."""

    logits: np.ndarray
    mu: np.ndarray
    k: np.ndarray


def enumerated(n: int) -> Rows:
    """Every k at two scales of the logits, and items that are never and always chosen in all numbers."""
    logits, mu, sizes = [], [], []
    for batch in (all_sizes(n, scales=(0.1, 1.0)), with_infinities(n)):
        for row in batch.rows:
            always, never = row.subsets.min(axis=0) == 1, row.subsets.max(axis=0) == 0
            logits.append(np.where(always, np.inf, np.where(never, -np.inf, row.logits)))
            mu.append(np.where(always, 1, np.where(never, 0, row.marginals)))
            sizes.append(row.k)
    return Rows(centred(np.stack(logits)), np.stack(mu), np.array(sizes))


def centred(logits: np.ndarray) -> np.ndarray:
    """Each row with finite entries that sum to 0."""
    finite = np.isfinite(logits)
    count = np.maximum(finite.sum(axis=-1, keepdims=True), 1)
    return np.where(finite, logits - np.where(finite, logits, 0).sum(axis=-1, keepdims=True) / count, logits)


def hard(n: int) -> Rows:
    """Rows whose marginals are equal, heavy-tailed, close to 0 and 1 or far apart, each with k from 1 to n − 1."""
    rng = np.random.default_rng(n)
    rows = families(n, rng)
    rows["heavy tail"] = np.log(rng.pareto(0.7, n) + 1e-9)
    rows["geometric"] = -np.arange(n) * (200.0 / n)
    rows["saturated"] = np.where(np.arange(n) < n // 2, 12.0, -12.0) + rng.normal(size=n) / 10
    rows["decided"] = np.where(np.arange(n) < n // 2, 100.0, -100.0)
    sizes = sorted({1, 2, n // 5, n // 2, n - 1} & set(range(1, n)))
    logits = np.repeat(np.stack(list(rows.values())), len(sizes), axis=0)
    k = np.tile(sizes, len(rows))
    mu = np.stack([recursion(row, int(size)).chosen for row, size in zip(logits, k, strict=True)])
    return Rows(centred(logits), np.clip(mu.astype(float), 0, 1), k)
