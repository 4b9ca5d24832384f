"""Rows of logits that are hard in different ways, and the k-subset distribution by enumeration."""

from itertools import combinations

import numpy as np

FAMILIES = ("x0.01", "x1", "x10", "x1000", "cauchy", "bimodal", "one-hot", "equal", "mask", "infinite")


def rows_of(family, count, n, rng):
    """Draw logits (count, n) of a family."""
    x = rng.normal(size=(count, n))
    if family.startswith("x"):
        return x * float(family[1:])
    if family == "cauchy":
        return rng.standard_cauchy(size=(count, n))
    if family == "bimodal":
        return x + rng.choice([-20.0, 20.0], size=(count, n))
    if family == "mask":
        x[:, n // 2 + 1 :] = np.finfo(np.float32).min
    if family == "infinite":
        x[:, 0], x[:, -1] = np.inf, -np.inf
    if family in ("equal", "one-hot"):
        x[:] = 0
    if family == "one-hot":
        x[:, 0] = 50
    return x


def counts_for(family, count, n, rng):
    """Draw a k for each row that its infinite and masked logits allow."""
    if family in ("mask", "infinite"):
        return rng.integers(1, n // 2 + 1, size=count)
    return rng.integers(0, n + 1, size=count)


def enumerated(row, k):
    """All feasible subsets (m, n) of one row, their probabilities, marginals, covariance and entropy."""
    n = len(row)
    z = np.array([[i in chosen for i in range(n)] for chosen in combinations(range(n), k)], float).reshape(-1, n)
    z = z[~((z == 1) & (row == -np.inf)).any(1) & ~((z == 0) & (row == np.inf)).any(1)]
    weight = z @ np.where(np.isinf(row), 0, row)
    p = np.exp(weight - weight.max())
    p /= p.sum()
    mu = p @ z
    centred = z - mu
    return z, p, mu, (centred * p[:, None]).T @ centred, -np.sum(p[p > 0] * np.log(p[p > 0]))
