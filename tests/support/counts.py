"""The distribution of the number of independent items, by convolution of 80 digits with unbounded exponents."""

from functools import cache
from typing import Any

import mpmath
import numpy as np
from derivatives import sigmoid
from oracle import Enumeration, families


def exact(theta: np.ndarray) -> np.ndarray:
    """log P(S = c)."""
    return logarithms(convolved(theta))


def exact_tails(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log P(S ≤ c) and log P(S > c)."""
    with mpmath.workdps(400):
        table = convolved(theta)
        return tuple(
            logarithms([mpmath.fsum(part) for part in parts])
            for parts in (
                [table[: c + 1] for c in range(len(table))],
                [table[c + 1 :] for c in range(len(table))],
            )
        )


def convolved(theta: np.ndarray) -> list[Any]:
    """P(S = c)."""
    with mpmath.workdps(max(80, mpmath.mp.dps)):
        table = [mpmath.mpf(1)]
        for x in map(float, theta):
            p, q = (
                mpmath.mpf(float(x == s * np.inf)) if np.isinf(x) else 1 / (1 + mpmath.exp(-s * x)) for s in (1, -1)
            )
            table = [q * a + p * b for a, b in zip([*table, 0], [0, *table], strict=True)]
        return table


def logarithms(table: list[Any]) -> np.ndarray:
    """log x, −∞ of 0, with the digits of a float where it is close to 0."""
    with mpmath.workdps(max(80, mpmath.mp.dps)):
        return np.array([float(mpmath.log(x)) if x else -np.inf for x in table])


@cache
def truth(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are hard in different ways, exact in float32; in the last of few items each count has its own tilt."""
    rows = list(families(n, np.random.default_rng(n)).values())
    if n < 300:
        rows.append(1000.0 * (np.arange(n) - n // 3))
    logits = np.stack(rows).astype(np.float32).astype(np.float64)
    return logits, np.stack([exact(row) for row in logits])


def slopes(theta: np.ndarray) -> np.ndarray:
    """∂ log P(c) / ∂θ_i = μ_i⁽ᶜ⁾ − σ(θ_i), 0 where infinite logits rule the count out."""
    n = len(theta)
    low, high = int((theta == np.inf).sum()), n - int((theta == -np.inf).sum())
    rows = [Enumeration(theta, c).marginals - sigmoid(theta) if low <= c <= high else np.zeros(n) for c in range(n + 1)]
    return np.stack(rows)
