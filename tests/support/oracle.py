"""The true values, computed in ways that share nothing with the library.

`Enumeration` sums over all subsets. `recursion` runs the item-by-item recursion in 80-bit floats and serves for large
n; tests/battery/test_oracle.py checks it against 60-digit arithmetic. `TwoGroups` serves for any n, where there are two
different logits.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from math import comb, fsum, inf, log

import numpy as np


@dataclass(frozen=True)
class Enumeration:
    """Every k-subset of a row of logits, with its probability; infinite logits included.

    All is computed from the exactly rounded distance of each subset's weight from the largest one, so that logits of
    any size cancel without loss.
    """

    logits: np.ndarray
    k: int

    @cached_property
    def subsets(self) -> np.ndarray:
        z = _all_subsets(len(self.logits), self.k)
        allowed = ~((z == 1) & (self.logits == -np.inf) | (z == 0) & (self.logits == np.inf)).any(axis=1)
        return z[allowed]

    @cached_property
    def finite(self) -> np.ndarray:
        return np.where(np.isinf(self.logits), 0, self.logits)

    @cached_property
    def mode(self) -> np.ndarray:
        """The k largest logits, ties to the lower index."""
        z = np.zeros(len(self.logits))
        z[np.argsort(-self.logits, kind="stable")[: self.k]] = 1
        return z

    @cached_property
    def gaps(self) -> np.ndarray:
        """log p of each subset less that of the mode."""
        return np.array([_total(row) for row in (self.subsets - self.mode) * self.finite], np.longdouble)

    @cached_property
    def log_weight(self) -> np.longdouble:
        """log Σ exp(gaps)."""
        return np.log1p(np.exp(np.delete(self.gaps, self.gaps.argmax())).sum())

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        with np.errstate(over="ignore"):
            return (self.gaps - self.log_weight).astype(float)

    @cached_property
    def _p(self) -> np.ndarray:
        return np.exp(self.gaps - self.log_weight)

    @cached_property
    def log_normalizer(self) -> float:
        """Without the contribution of items at +∞."""
        return _total(np.append(self.mode * self.finite, float(self.log_weight)))

    @cached_property
    def log_prob_count(self) -> float:
        """log P(Σz = k); an item at ±∞ is certain."""
        sign = np.where(self.mode == 1, -1, 1)
        return float(self.log_weight) - _total(np.logaddexp(0, sign * self.logits))

    @cached_property
    def probabilities(self) -> np.ndarray:
        return self._p.astype(float)

    @cached_property
    def marginals(self) -> np.ndarray:
        return (self._p @ self.subsets).astype(float)

    @cached_property
    def unchosen(self) -> np.ndarray:
        return (self._p @ (1 - self.subsets)).astype(float)

    @cached_property
    def _centred(self) -> np.ndarray:
        return np.where(self.subsets == 1, self._p @ (1 - self.subsets), -(self._p @ self.subsets))

    @cached_property
    def covariance(self) -> np.ndarray:
        return ((self._centred * self._p[:, None]).T @ self._centred).astype(float)

    def jvp(self, v: np.ndarray) -> np.ndarray:
        """The covariance times a vector, centred first, since a constant is mapped to 0."""
        v = np.where(np.isinf(self.logits), 0, v).astype(np.longdouble)
        weight = (self._p @ self.subsets) * (self._p @ (1 - self.subsets))
        centre = (weight * v).sum() / max(weight.sum(), 1e-300)
        return ((self._p * (self._centred @ (v - centre))) @ self._centred).astype(float)

    @cached_property
    def third_cumulant(self) -> np.ndarray:
        """κ_ijk, the derivative of the covariance in the logits."""
        centred = self._centred.astype(float)
        return np.einsum("s,si,sj,sk->ijk", self.probabilities, centred, centred, centred)

    @cached_property
    def entropy(self) -> float:
        return float(self.log_weight - _expectation(self._p, self.gaps))

    @cached_property
    def kl_to_uniform(self) -> float:
        return float(log(comb(len(self.logits), self.k)) - self.log_weight + _expectation(self._p, self.gaps))

    def log_prob(self, z: np.ndarray) -> float:
        """Of any subset; −∞ if it is not one of these."""
        place = np.flatnonzero((self.subsets == z).all(axis=1))
        return float(self.log_probabilities[place[0]]) if len(place) else -inf

    def kl(self, other: "Enumeration") -> float:
        """From this distribution to another; +∞ where the other one rules out a subset that this one allows."""
        if {tuple(z) for z in self.subsets} - {tuple(z) for z in other.subsets}:
            return inf
        place = {tuple(z): i for i, z in enumerate(other.subsets)}
        theirs = other.gaps[[place[tuple(z)] for z in self.subsets]]
        ratios = np.subtract(self.gaps, theirs, out=np.zeros_like(theirs), where=self._p > 0)  # both may be infinite
        return float(_expectation(self._p, ratios) - self.log_weight + other.log_weight)


def _total(terms: np.ndarray) -> float:
    """The exactly rounded sum of the terms, infinite only where it overflows itself."""
    return 256 * fsum(np.ldexp(terms, -8).tolist())


def _expectation(p: np.ndarray, x: np.ndarray) -> np.longdouble:
    """Σ p · x with 0 · ∞ = 0."""
    return (p[p > 0] * x[p > 0]).sum()


@cache
def _all_subsets(n: int, k: int) -> np.ndarray:
    z = np.zeros((comb(n, k), n))
    for row, items in zip(z, combinations(range(n), k), strict=True):
        row[list(items)] = 1
    return z


@dataclass(frozen=True)
class Recursion:
    """Answers of `recursion` for one row."""

    log_normalizer: np.longdouble
    chosen: np.ndarray
    unchosen: np.ndarray
    entropy: np.longdouble
    jvp: np.ndarray | None


def recursion(logits: np.ndarray, k: int, v: np.ndarray | None = None) -> Recursion:
    """Prefix and suffix distributions of the count, item by item, tilted so that none of them underflows.

    Items at ±∞ are left out of the log-normaliser.
    """
    if np.isinf(logits).any():
        return _without_decided(logits, k, v)
    theta = logits.astype(np.longdouble)
    shift = _tilt(theta, k)
    t = theta + shift
    size = np.exp(-np.abs(t))
    p, q = np.where(t > 0, 1, size) / (1 + size), np.where(t > 0, size, 1) / (1 + size)
    push = None
    if v is not None:
        v = v.astype(np.longdouble)
        weight = p * q
        push = weight * (v - (weight * v).sum() / max(weight.sum(), np.finfo(np.longdouble).tiny))
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


def _without_decided(logits: np.ndarray, k: int, v: np.ndarray | None) -> Recursion:
    free = np.isfinite(logits)
    chosen, unchosen = (np.where(logits == side, 1, 0).astype(np.longdouble) for side in (np.inf, -np.inf))
    jvp = None if v is None else np.zeros(len(logits), np.longdouble)
    if not free.any():
        return Recursion(np.longdouble(0), chosen, unchosen, np.longdouble(0), jvp)
    rest = recursion(logits[free], k - int((logits == np.inf).sum()), None if v is None else v[free])
    chosen[free], unchosen[free] = rest.chosen, rest.unchosen
    if jvp is not None:
        jvp[free] = rest.jvp
    return Recursion(rest.log_normalizer, chosen, unchosen, rest.entropy, jvp)


def _tilt(theta: np.ndarray, k: int) -> np.longdouble:
    """λ with Σσ(θ + λ) = k, by bisection."""
    n = len(theta)
    if k in (0, n):
        return (-theta.max() - 50) if k == 0 else (-theta.min() + 50)
    low, high = -theta.max() - 50, -theta.min() + 50
    for _ in range(1200):  # halvings of 1e308 down to the last bit
        middle = (low + high) / 2
        if middle in (low, high):
            break
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


@dataclass(frozen=True)
class TwoGroups:
    """Rows of two different logits, ``gap`` and 0, of ``sizes`` items each: the gap's first.

    How many items of the first group are chosen has Fisher's noncentral hypergeometric law. Given that number, the
    subset of each group is uniform, so that marginals and covariances are moments of it, in which nothing cancels.
    """

    sizes: tuple[int, int]
    gap: float
    k: int

    @property
    def logits(self) -> np.ndarray:
        return np.repeat([self.gap, 0.0], self.sizes)

    @cached_property
    def _law(self) -> tuple[np.ndarray, np.ndarray, int]:
        """The numbers of the first group's items that are possible, their probabilities, and where the largest is."""
        (a, b), k = self.sizes, self.k
        j = np.arange(max(0, k - b), min(a, k) + 1).astype(np.longdouble)
        rise = np.log((a - j[:-1]) * (k - j[:-1]) / (j[1:] * (b - k + j[1:]))) + np.longdouble(self.gap)
        top = int((rise > 0).sum())
        weights = np.exp(np.concatenate([-np.cumsum(rise[:top][::-1])[::-1], [0], np.cumsum(rise[top:])]))
        return j, weights / weights.sum(), top

    def _mean(self, x: np.ndarray) -> np.longdouble:
        return (self._law[1] * x).sum()

    @cached_property
    def chosen(self) -> np.ndarray:
        (a, b), j = self.sizes, self._law[0]
        return np.repeat([self._mean(j) / a, self._mean(self.k - j) / b], self.sizes)

    @cached_property
    def unchosen(self) -> np.ndarray:
        (a, b), j = self.sizes, self._law[0]
        return np.repeat([self._mean(a - j) / a, self._mean(b - self.k + j) / b], self.sizes)

    def jvp(self, v: np.ndarray) -> np.ndarray:
        """The covariance times a vector: the part of each group's own subset, and the part of the numbers of both."""
        (a, b), (j, _, top), v = self.sizes, self._law, v.astype(np.longdouble)
        one, other = v[:a], v[a:]
        shift = self._mean(j - j[top])
        variance = self._mean((j - j[top] - shift) ** 2) * (one.mean() - other.mean())
        within = self._mean(j * (a - j)), self._mean((self.k - j) * (b - self.k + j))
        return np.concatenate(
            [
                (one - one.mean()) * within[0] / (a * max(1, a - 1)) + variance / a,
                (other - other.mean()) * within[1] / (b * max(1, b - 1)) - variance / b,
            ]
        )


def families(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows of logits that are hard in different ways."""
    rows = {f"normal x{scale:g}": rng.normal(size=n) * scale for scale in (0.01, 1, 10, 100, 1000)}
    rows["cauchy"] = rng.standard_cauchy(n)
    rows["bimodal"] = np.where(rng.random(n) < 0.5, 20.0, -20.0) + rng.normal(size=n)
    rows["equal"] = np.full(n, 0.7)
    rows["one-hot"] = np.where(np.arange(n) == n // 3, 30.0, 0.0)
    return rows
