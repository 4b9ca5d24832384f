"""The true values under a cardinality potential, by enumeration, and rows to test with."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pytest

compiled_elsewhere = pytest.mark.backends("numpy", "strict", "torch", "cupy")
"""For tests with many calls: JAX would compile a program for each call, and runs the same code anyway."""


@dataclass(frozen=True)
class Potential:
    """p(z) ∝ exp(θ · z + ω(Σz)) over all z of a row; infinite logits and log-weights included.

    The statistics are T = (z, 1{Σz = 0}, …, 1{Σz = n}), and so are means and covariances arranged.
    """

    logits: np.ndarray
    log_weights: np.ndarray

    @cached_property
    def subsets(self) -> np.ndarray:
        z = np.array(list(product((0.0, 1.0), repeat=len(self.logits)))).reshape(-1, len(self.logits))
        ruled_out = ((z == 1) & (self.logits == -np.inf) | (z == 0) & (self.logits == np.inf)).any(axis=1)
        return z[~ruled_out & (self.log_weights[z.sum(axis=1).astype(int)] > -np.inf)]

    @cached_property
    def statistics(self) -> np.ndarray:
        counts = self.subsets.sum(axis=1).astype(int)
        return np.concatenate([self.subsets, np.eye(len(self.log_weights))[counts]], axis=1)

    @cached_property
    def parameters(self) -> np.ndarray:
        """θ and ω with 0 in the place of infinities, upon which nothing depends."""
        together = np.concatenate([self.logits, self.log_weights])
        return np.where(np.isinf(together), 0, together)

    @cached_property
    def log_normalizer(self) -> float:
        return float(np.logaddexp.reduce(self.statistics @ self.parameters))

    @cached_property
    def probabilities(self) -> np.ndarray:
        return np.exp(self.statistics @ self.parameters - self.log_normalizer)

    @cached_property
    def mean(self) -> np.ndarray:
        return self.probabilities @ self.statistics

    @cached_property
    def covariance(self) -> np.ndarray:
        centred = self.statistics - self.mean
        return (centred * self.probabilities[:, None]).T @ centred

    @cached_property
    def third_cumulant(self) -> np.ndarray:
        centred = self.statistics - self.mean
        return np.einsum("s,si,sj,sk->ijk", self.probabilities, centred, centred, centred)

    @cached_property
    def entropy(self) -> float:
        p = self.probabilities[self.probabilities > 0]
        return float(-(p * np.log(p)).sum())

    def kl(self, other: "Potential") -> float:
        """To another one with the same log-weights and finite items."""
        gap = self.statistics @ (self.parameters - other.parameters)
        return float(self.probabilities @ gap - self.log_normalizer + other.log_normalizer)

    @cached_property
    def independent(self) -> float:
        """log E[w(Σz)], the items independent."""
        theta = self.logits[np.isfinite(self.logits)]
        return float(self.log_normalizer - np.logaddexp(0, theta).sum())


def rows(n: int, seed: int = 0) -> list[Potential]:
    """Log-weights that are smooth, rough, far apart or ruled out, beside logits of several scales, some infinite."""
    rng, made = np.random.default_rng(seed), []
    for scale in (0.3, 3.0, 50.0):
        for spread in (0.0, 1.0, 10.0, 400.0):
            logits, log_weights = rng.normal(size=n) * scale, rng.normal(size=n + 1) * spread
            made.append(Potential(logits, log_weights))
            ruled_out = rng.random(n + 1) < 0.5
            ruled_out[rng.integers(n + 1)] = False
            made.append(Potential(logits, np.where(ruled_out, -np.inf, log_weights)))
    for always, never in ((1, 0), (0, 1), (1, 1), (n, 0), (0, n)):
        logits, log_weights = rng.normal(size=n), rng.normal(size=n + 1)
        place = rng.permutation(n)
        logits[place[:always]], logits[place[n - never :]] = np.inf, -np.inf
        made.append(Potential(logits, np.where(np.arange(n + 1) == n - never, log_weights, -np.inf)))
        made.append(Potential(logits, log_weights))
    apart = np.where(np.arange(n) < n // 2, 300.0, -300.0)
    made.append(Potential(apart, -np.append(0, np.cumsum(np.sort(apart)[::-1]))))  # all counts alike
    return [Potential(*(x.astype(np.float32).astype(float) for x in (row.logits, row.log_weights))) for row in made]
