"""Sizes that are each solved by themselves: as kernels do it, here by the core."""

from itertools import product

import numpy as np
import pytest

from ksubset._engine.potential import each_size
from ksubset._law.by_kernels import WeightedByKernels
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends.array_api import NUMPY

N, LOW, HIGH = 6, 1, 5


def expected(logits: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """By enumeration."""
    out = np.zeros(N + 1)
    for subset in product([0, 1], repeat=N):
        if all(np.isfinite(logits[i]) or subset[i] == (logits[i] > 0) for i in range(N)):
            score = sum(logits[i] * subset[i] for i in range(N) if np.isfinite(logits[i]))
            out[sum(subset)] += np.exp(score + log_weights[sum(subset)])
    return out[LOW : HIGH + 1] / out[LOW : HIGH + 1].sum()


@pytest.mark.parametrize("scale", [0.3, 3.0, 12.0])
def test_probabilities(scale: float) -> None:
    rng = np.random.default_rng(0)
    logits, log_weights = scale * rng.normal(size=(4, N)), rng.normal(size=(4, N + 1))
    logits[1, 2], logits[2, 0], log_weights[3, 2] = np.inf, -np.inf, -np.inf
    found = each_size.probabilities(NUMPY, logits, log_weights, LOW, HIGH)
    rows = [expected(*row) for row in zip(logits, log_weights, strict=True)]
    np.testing.assert_allclose(found, rows, rtol=1e-13, atol=1e-300)


def test_a_law_by_each_size_is_the_law_under_one_tilt() -> None:
    rng = np.random.default_rng(1)
    rows, v = rng.normal(size=(2, 3, 2, 2 * N + 1))
    rows[..., N : N + LOW], rows[..., N + HIGH + 1 :] = -np.inf, -np.inf
    law, other = SizeWeighted(LOW, HIGH), WeightedByKernels(LOW, HIGH, each_size.CORE)
    assert law.sizes == other.sizes == HIGH - LOW + 1
    with np.errstate(all="ignore"):  # as around every public call
        answers = [
            (one.moments(NUMPY, rows).chosen, one.product(NUMPY, rows, v), one.probabilities(NUMPY, rows))
            for one in (law, other)
        ]
    for found, same in zip(*answers, strict=True):
        np.testing.assert_allclose(found, same, rtol=1e-11, atol=1e-13)
