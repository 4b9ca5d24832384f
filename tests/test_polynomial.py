"""Products and correlations by either form, against the definition."""

import dataclasses

import numpy as np
import pytest
from conftest import Target

from ksubset._polynomial import correlate, product
from ksubset._typing import Ops
from ksubset.backends import find

pytestmark = pytest.mark.backends("numpy", "strict", "torch", "cupy")
"""JAX runs them compiled, inside the functions that other tests compare."""


@pytest.fixture(params=["shifted", "blocked"])
def ops(request: pytest.FixtureRequest, target: Target) -> Ops:
    chosen = {"shifted": 10**9, "blocked": 1}[request.param]
    return dataclasses.replace(find(target.array([0.0]), "x").ops(target.array([0.0])), matmul_from=chosen)


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


@pytest.mark.parametrize(("c", "b"), [(2, 2), (3, 2), (5, 3), (5, 5), (17, 9), (61, 40), (12, 12), (7, 9), (23, 40)])
def test_correlate(target: Target, ops: Ops, c: int, b: int, rng: np.random.Generator) -> None:
    outer, inner = spread(rng, c, 7, 2), spread(rng, b, 2, 7, 2)
    found = target.to_numpy(correlate(ops, target.array(outer), target.array(inner)))
    expected = np.zeros((b, 2, 7, 2))
    for i in range(b):
        for j in range(b):
            if i + j < c:
                expected[i] += outer[i + j] * inner[j]
    np.testing.assert_allclose(found, expected, rtol=target.tolerance(2e-6, 1e-14))
