"""What is true of one row: the value of a function and its derivatives, by enumeration."""

from dataclasses import dataclass
from functools import cached_property
from math import comb, log

import numpy as np
from oracle import Enumeration
from potentials import Potential

Tensors = tuple[np.ndarray | None, ...]
"""A value of shape (out), its derivative (out, m), the next (out, m, m); None is a value that is random."""


@dataclass(frozen=True)
class Row:
    """Logits with a size or log-weights, and what functions take beside them.

    Attributes
    ----------
    companion
        v, z, η or uniforms: the second array of the function, if it has one.
    """

    logits: np.ndarray
    k: int | None
    log_weights: np.ndarray | None
    companion: np.ndarray | None

    @cached_property
    def law(self) -> Enumeration | Potential:
        if self.log_weights is not None:
            return Potential(self.logits, self.log_weights)
        return Enumeration(self.logits, self.k)

    @property
    def n(self) -> int:
        return len(self.logits)

    @cached_property
    def parameters(self) -> np.ndarray:
        """θ, and ω if there are log-weights, with 0 in the place of infinities."""
        return self.law.parameters if isinstance(self.law, Potential) else self.law.finite

    @cached_property
    def mean(self) -> np.ndarray:
        return self.law.mean if isinstance(self.law, Potential) else self.law.marginals

    @cached_property
    def theta(self) -> np.ndarray:
        """The parameters with 0 in the place of ω."""
        return np.where(np.arange(len(self.parameters)) < self.n, self.parameters, 0)

    @cached_property
    def independent(self) -> tuple[np.ndarray, np.ndarray]:
        """σ(θ) and its derivative, 0 for ω."""
        p = np.zeros(len(self.parameters))
        p[: self.n] = np.exp(-np.logaddexp(0, -self.logits))
        return p, p * (1 - p)

    def along(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """J · v, and its derivative for a constant v."""
        return self.law.covariance @ direction, self.law.third_cumulant @ direction


def log_normalizer(row: Row) -> Tensors:
    value = np.inf if np.inf in row.logits else row.law.log_normalizer
    return np.array(value), row.mean, row.law.covariance


def log_prob_count(row: Row) -> Tensors:
    value = row.law.independent if isinstance(row.law, Potential) else row.law.log_prob_count
    p, slope = row.independent
    return np.array(value), row.mean - p, row.law.covariance - np.diag(slope)


def entropy(row: Row) -> Tensors:
    image, change = row.along(row.parameters)
    return np.array(row.law.entropy), -image, -(row.law.covariance + change)


def kl_to_uniform(row: Row) -> Tensors:
    image, change = row.along(row.theta)
    sizes = np.array([log(comb(row.n, c)) for c in range(row.n + 1)])
    if isinstance(row.law, Potential):
        weights = np.where(row.law.mean[row.n :] > 0, row.log_weights, 0)
        expected = np.logaddexp.reduce(sizes + row.log_weights) - row.law.mean[row.n :] @ weights
    else:
        expected = sizes[row.k]
    return np.array(expected - row.law.entropy), image, row.law.covariance + change


def log_prob(row: Row) -> Tensors:
    z = row.companion
    place = np.flatnonzero((row.law.subsets == z).all(axis=1))
    p = row.law.probabilities if isinstance(row.law, Potential) else None
    logs = np.log(p) if p is not None else row.law.log_probabilities
    counts = np.eye(row.n + 1)[int(z.sum())] if len(row.parameters) > row.n else []
    slope = np.concatenate([np.where(np.isinf(row.logits), row.mean[: row.n], z), counts]) - row.mean
    return np.array(logs[place[0]] if len(place) else -np.inf), slope, -row.law.covariance


def kl_divergence(row: Row) -> Tensors:
    there = Row(row.companion, row.k, row.log_weights, None)
    image, change = row.along(row.theta - there.theta)
    return np.array(row.law.kl(there.law)), image, row.law.covariance + change


def marginals(row: Row) -> Tensors:
    return row.mean[: row.n], row.law.covariance[: row.n], row.law.third_cumulant[: row.n]


def variance(row: Row) -> Tensors:
    mu = row.mean[: row.n]
    unchosen = row.law.probabilities @ (1 - row.law.subsets)
    return mu * unchosen, (unchosen - mu)[:, None] * row.law.covariance[: row.n]


def marginals_jvp(row: Row) -> Tensors:
    direction = np.concatenate([row.companion, np.zeros(len(row.parameters) - row.n)])
    image, change = row.along(direction)
    return image[: row.n], change[: row.n]


def covariance(row: Row) -> Tensors:
    n = row.n
    return row.law.covariance[:n, :n], row.law.third_cumulant[:n, :n]


def mode(row: Row) -> Tensors:
    if isinstance(row.law, Enumeration):
        return (row.law.mode,)
    best = row.law.statistics @ row.law.parameters
    likely = row.law.subsets[best == best.max()]
    return (likely[np.lexsort((*-likely.T[::-1], likely.sum(axis=1)))[0]],)


def drawn(row: Row) -> Tensors:
    """A sample, whose derivative is that of the marginals."""
    return None, *marginals(row)[1:]


def exact_gradient(row: Row) -> Tensors:
    """The mean of `loss`, and its covariance with the subset."""
    values, p = loss(row.law.subsets), row.law.probabilities
    return np.array(p @ values), (p * values) @ (row.law.subsets - row.mean)


def loss(z: np.ndarray) -> np.ndarray:
    """A loss that is not linear in the subset, for arrays of any framework."""
    return z[..., 0] * 2 + (z[..., 0] - z[..., -1]) ** 2 + z.sum(-1)


def count_log_pmf(row: Row) -> Tensors:
    n, p = row.n, row.independent[0][: row.n]
    value, slope = np.full(n + 1, -np.inf), np.zeros((n + 1, n))
    for c in range(int((row.logits == np.inf).sum()), n - int((row.logits == -np.inf).sum()) + 1):
        law = Enumeration(row.logits, c)
        value[c], slope[c] = law.log_prob_count, law.marginals - p
    return value, slope


def unknown(row: Row) -> Tensors:
    """A random value of which no derivative is compared."""
    return (None,)


def pulled(tensors: Tensors, g: np.ndarray) -> Tensors:
    """Of the gradient of g · f."""
    return tuple(np.tensordot(g, x, axes=g.ndim) for x in tensors[1:])


def pushed(tensors: Tensors, v: np.ndarray) -> Tensors:
    """Of the derivative of f along v."""
    return tuple(x @ v for x in tensors[1:])


def whole(tensors: Tensors) -> Tensors:
    """Of the Jacobian of f."""
    return tensors[1:]


def restricted(tensors: Tensors, part: slice) -> Tensors:
    """Derivatives with respect to some parameters alone."""
    first = tensors[0]
    rank = tensors[1].ndim - 1 if len(tensors) > 1 else 0
    return first, *(x[(slice(None),) * rank + (part,) * (x.ndim - rank)] for x in tensors[1:])
