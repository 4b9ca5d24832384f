"""What is true, computed in ways that share nothing with the library.

`Enumeration` sums over all subsets. `recursion` runs the item-by-item recursion in 80-bit floats and serves for large
n; tests/test_oracle.py checks it against 60-digit arithmetic.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class Enumeration:
    """Every k-subset of a row of logits, with its probability; infinite logits included."""

    logits: np.ndarray
    k: int

    @cached_property
    def subsets(self) -> np.ndarray:
        n = len(self.logits)
        chosen = list(combinations(range(n), self.k))
        z = np.zeros((len(chosen), n))
        for row, items in zip(z, chosen, strict=True):
            row[list(items)] = 1
        allowed = ~((z == 1) & (self.logits == -np.inf) | (z == 0) & (self.logits == np.inf)).any(axis=1)
        return z[allowed]

    @cached_property
    def finite(self) -> np.ndarray:
        return np.where(np.isinf(self.logits), 0, self.logits)

    @cached_property
    def log_normalizer(self) -> float:
        """Without the contribution of items at +∞."""
        return float(np.logaddexp.reduce(self.subsets @ self.finite))

    @cached_property
    def probabilities(self) -> np.ndarray:
        weights = self.subsets @ self.finite
        weights = np.exp(weights - weights.max())
        return weights / weights.sum()

    @cached_property
    def marginals(self) -> np.ndarray:
        return self.probabilities @ self.subsets

    @cached_property
    def covariance(self) -> np.ndarray:
        centred = self.subsets - self.marginals
        return (centred * self.probabilities[:, None]).T @ centred

    @cached_property
    def third_cumulant(self) -> np.ndarray:
        """κ_ijk, the derivative of the covariance in the logits."""
        centred = self.subsets - self.marginals
        return np.einsum("s,si,sj,sk->ijk", self.probabilities, centred, centred, centred)

    @cached_property
    def entropy(self) -> float:
        p = self.probabilities[self.probabilities > 0]
        return float(-(p * np.log(p)).sum())

    def kl(self, other: "Enumeration") -> float:
        """From this distribution to another one with the same finite items."""
        gap = self.subsets @ (self.finite - other.finite)
        return float(self.probabilities @ gap - self.log_normalizer + other.log_normalizer)


@dataclass(frozen=True)
class Recursion:
    """Answers of `recursion` for one row."""

    log_normalizer: np.longdouble
    chosen: np.ndarray
    unchosen: np.ndarray
    entropy: np.longdouble
    jvp: np.ndarray | None


def recursion(logits: np.ndarray, k: int, v: np.ndarray | None = None) -> Recursion:
    """Prefix and suffix distributions of the count, item by item, tilted so that none of them underflows."""
    theta = logits.astype(np.longdouble)
    shift = _tilt(theta, k)
    t = theta + shift
    size = np.exp(-np.abs(t))
    p, q = np.where(t > 0, 1, size) / (1 + size), np.where(t > 0, size, 1) / (1 + size)
    push = None
    if v is not None:
        v = v.astype(np.longdouble)
        weight = p * q
        push = weight * (v - (weight * v).sum() / weight.sum())
    prefix, dprefix = _sweep(p, q, push, k)
    suffix, dsuffix = _sweep(p[::-1], q[::-1], None if push is None else push[::-1], k)
    n = len(theta)
    total = prefix[n, k]
    back, dback = suffix[n - 1 :: -1, ::-1], dsuffix[n - 1 :: -1, ::-1]
    rest = (prefix[:n, :k] * back[:, 1:]).sum(axis=1) if k else np.zeros(n, np.longdouble)
    full = (prefix[:n] * back).sum(axis=1)
    chosen, unchosen = p * rest / total, q * full / total
    gauge = np.log1p(size).sum() + np.log(total)
    order = np.argsort(theta)[::-1]
    most, least = order[:k], order[k:]
    normalizer = gauge + theta[most].sum() + np.maximum(-t[most], 0).sum() + np.maximum(t[least], 0).sum()
    entropy = gauge + (np.abs(t) * np.where(t > 0, unchosen, chosen)).sum()
    jvp = None
    if push is not None:
        dtotal = dprefix[n, k]
        drest = (dprefix[:n, :k] * back[:, 1:] + prefix[:n, :k] * dback[:, 1:]).sum(axis=1) if k else np.zeros(n)
        dfull = (dprefix[:n] * back + prefix[:n] * dback).sum(axis=1)
        rise = (push * rest + p * drest) / total - chosen * dtotal / total
        fall = (-push * full + q * dfull) / total - unchosen * dtotal / total
        jvp = np.where(t > 0, -fall, rise)
    return Recursion(normalizer, chosen, unchosen, entropy, jvp)


def _tilt(theta: np.ndarray, k: int) -> np.longdouble:
    """λ with Σσ(θ + λ) = k, by bisection."""
    n = len(theta)
    if k in (0, n):
        return (-theta.max() - 50) if k == 0 else (-theta.min() + 50)
    low, high = -theta.max() - 50, -theta.min() + 50
    for _ in range(200):
        middle = (low + high) / 2
        with np.errstate(over="ignore"):
            total = (1 / (1 + np.exp(-(theta + middle)))).sum()
        low, high = (middle, high) if total < k else (low, middle)
    return (low + high) / 2


def _sweep(p: np.ndarray, q: np.ndarray, push: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distribution of the count of the first i items, i = 0 … n, and its derivative along ``push``."""
    table = np.zeros((len(p) + 1, k + 1), np.longdouble)
    tangent = np.zeros_like(table)
    table[0, 0] = 1
    for i in range(len(p)):
        table[i + 1] = table[i] * q[i]
        table[i + 1, 1:] += table[i, :-1] * p[i]
        if push is not None:
            tangent[i + 1] = tangent[i] * q[i] - table[i] * push[i]
            tangent[i + 1, 1:] += tangent[i, :-1] * p[i] + table[i, :-1] * push[i]
    return table, tangent


def families(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows of logits that are hard in different ways."""
    rows = {f"normal x{scale:g}": rng.normal(size=n) * scale for scale in (0.01, 1, 10, 100, 1000)}
    rows["cauchy"] = rng.standard_cauchy(n)
    rows["bimodal"] = np.where(rng.random(n) < 0.5, 20.0, -20.0) + rng.normal(size=n)
    rows["equal"] = np.full(n, 0.7)
    rows["one-hot"] = np.where(np.arange(n) == n // 3, 30.0, 0.0)
    return rows
