"""Sizes that are each solved by themselves: their probabilities alone, from which kernels draw one."""

from itertools import product

import numpy as np
import pytest

from ksubset._engine.potential import each_size
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
