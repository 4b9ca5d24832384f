"""First and second derivatives of every function, by enumeration, for rows that are hard to differentiate."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from oracle import Enumeration

import ksubset


@dataclass(frozen=True)
class Row:
    """Logits, their size k, and a direction."""

    logits: np.ndarray
    k: int
    v: np.ndarray

    @property
    def truth(self) -> Enumeration:
        return Enumeration(self.logits, self.k)

    @property
    def finite(self) -> np.ndarray:
        return np.where(np.isinf(self.logits), 0, self.logits)


def rows(n: int = 7) -> list[Row]:
    """Every k from 1 to n − 1; scales from 0.1 to 100, equal logits, and items that are never or always chosen."""
    rng = np.random.default_rng(n)
    made = []
    for k in range(1, n):
        scales = (0.1, 1.0, 10.0, 100.0)
        made.extend(Row(rng.normal(size=n) * scale, k, rng.normal(size=n)) for scale in scales)
        made.append(Row(np.zeros(n), k, rng.normal(size=n)))
        masked = rng.normal(size=n)
        masked[rng.permutation(n)[: n - k]] = -np.inf
        if k < n - 1:
            masked[np.isinf(masked).argmax()] = 0.3
        if k > 1:
            masked[np.isfinite(masked).argmax()] = np.inf
        made.append(Row(masked, k, rng.normal(size=n)))
    return made


ROWS = rows()
LOGITS = np.stack([row.logits for row in ROWS])
SIZES = np.array([row.k for row in ROWS])
DIRECTIONS = np.stack([row.v for row in ROWS])

SCALARS: dict[str, Any] = {
    "log_normalizer": ksubset.log_normalizer,
    "log_prob_count": ksubset.log_prob_count,
    "entropy": ksubset.entropy,
    "kl_to_uniform": ksubset.kl_to_uniform,
}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))


def gradient(name: str, row: Row) -> np.ndarray:
    """Of a function of `SCALARS`."""
    truth = row.truth
    if name == "log_normalizer":
        return truth.marginals
    if name == "log_prob_count":
        return truth.marginals - sigmoid(row.logits)
    return (-1 if name == "entropy" else 1) * truth.covariance @ row.finite


def hessian(name: str, row: Row) -> np.ndarray:
    """Of a function of `SCALARS`."""
    truth = row.truth
    if name == "log_normalizer":
        return truth.covariance
    if name == "log_prob_count":
        p = sigmoid(row.logits)
        return truth.covariance - np.diag(p * (1 - p))
    return (-1 if name == "entropy" else 1) * (truth.covariance + truth.third_cumulant @ row.finite)
