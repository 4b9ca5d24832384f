"""Products by either form, against the definition."""

import dataclasses

import numpy as np
import pytest
from conftest import Target
from ops_variants import own

from ksubset._engine.ops import Ops
from ksubset._engine.polynomial import product

pytestmark = pytest.mark.backends("numpy", "strict", "torch", "cupy")
"""JAX runs them compiled, inside the functions that other tests compare."""


@pytest.fixture(params=["shifted", "blocked"])
def ops(request: pytest.FixtureRequest, target: Target) -> Ops:
    chosen = {"shifted": 10**9, "blocked": 1}[request.param]
    return dataclasses.replace(own(target), matmul_from=chosen)


def spread(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Coefficients over 20 orders of magnitude, so that only relative accuracy passes."""
    return np.exp(rng.uniform(-23, 23, size=shape)).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(("a", "size"), [(1, 1), (2, 3), (3, 4), (5, 5), (9, 17), (40, 61)])
def test_product(target: Target, ops: Ops, a: int, size: int, rng: np.random.Generator) -> None:
    left, right = spread(rng, a, 7, 2), spread(rng, a, 7, 2)
    found = target.to_numpy(product(ops, target.array(left), target.array(right), size))
    expected = np.zeros((2 * a - 1, 7, 2))
    for i in range(a):
        expected[i : i + a] += left[i] * right
    np.testing.assert_allclose(found, expected[:size], rtol=target.tolerance(2e-6, 1e-14))
