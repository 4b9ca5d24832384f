"""A row whose gradients estimators must match, and the noise that they draw."""

from typing import Any

import numpy as np
from conftest import Target

from ksubset._call.prepare import problem_of_size

THETA = np.array([0.3, -1.0, 0.5, 2.0, 0.0])
COST = np.array([1.0, -2.0, 0.7, 0.5, 3.0])
K = 2


def close(found: Any, expected: Any, target: Target, tolerance: float = 1e-12) -> None:
    tolerance = target.tolerance(1e-5, tolerance)
    np.testing.assert_allclose(target.to_numpy(found), expected, rtol=tolerance, atol=tolerance)


def top(x: np.ndarray, k: int) -> np.ndarray:
    return (np.argsort(np.argsort(-x, axis=-1), axis=-1) < k).astype(float)


def noise_of(target: Target, noise: Any, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """The noise that an estimator draws from this seed."""
    problem = problem_of_size(target.array(THETA), K, None, None)
    return target.to_numpy(noise.draw(problem, target.rng(seed), shape)).astype(float)
