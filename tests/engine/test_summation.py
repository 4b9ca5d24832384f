"""Sums that keep what plain ones lose."""

from dataclasses import replace
from math import fsum

import numpy as np
import pytest

from ksubset._engine.ops import Ops
from ksubset._engine.summation import FOLD, compensated_sum, item_sums, sums_from_both_ends
from ksubset.backends.array_api import NUMPY

LAZY = replace(NUMPY, eager_on_cpu=False)
NATIVE = replace(NUMPY, item_sums=lambda x: x.sum(axis=0))


@pytest.mark.parametrize(("ops", "dtype"), [(NUMPY, "f4"), (NUMPY, "f8"), (LAZY, "f4"), (LAZY, "f8")])
@pytest.mark.parametrize("n", [1, 2, 3, 100, 1001])
def test_terms_that_cancel(ops: Ops, dtype: str, n: int, rng: np.random.Generator) -> None:
    """Σx = 1e-4 Σ|x| or less: a plain sum is off by thousands of units in the last place, a compensated one by few."""
    x = rng.normal(size=(5, n)).astype(dtype) * np.exp(rng.uniform(0, 8, (5, n))).astype(dtype)
    x = np.concatenate([x, -x * (1 - rng.choice([1e-3, 1e-6], (5, n)))], axis=1).astype(dtype)
    found, exact = compensated_sum(ops, x), np.array([fsum(row) for row in x])
    assert found.dtype == x.dtype
    np.testing.assert_allclose(found, exact, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("ops", "dtype"), [(NUMPY, "f4"), (NUMPY, "f8"), (LAZY, "f4"), (LAZY, "f8")])
@pytest.mark.parametrize("shape", [(5,), (0, 5), (2, 3, 5)])
def test_batches_of_any_rank(ops: Ops, dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape).astype(dtype)
    found = compensated_sum(ops, x)
    assert found.shape == shape[:-1]
    np.testing.assert_allclose(found, x.astype(float).sum(axis=-1), rtol=1e-6)


@pytest.mark.parametrize("ops", [NUMPY, LAZY])
def test_infinite_terms_stay_infinite(ops: Ops) -> None:
    x = np.array([[1.0, np.inf, 2.0, 3.0], [1.0, -np.inf, 2.0, -np.inf], [1.0, np.nan, 2.0, 3.0]], np.float32)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(compensated_sum(ops, x), [np.inf, -np.inf, np.nan])
    assert compensated_sum(ops, x[:, :0]).tolist() == [0, 0, 0]


@pytest.mark.parametrize("ops", [NUMPY, NATIVE])
@pytest.mark.parametrize(
    "shape", [(20,), (20, 3), (5000, 2, 3), (0, 3), (FOLD, 2), (FOLD**2, 1), (FOLD**2 + FOLD + 1,)]
)
def test_sums_over_the_items(ops: Ops, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape)
    found = item_sums(ops, x)
    assert found.shape == shape[1:]
    np.testing.assert_allclose(found, x.sum(axis=0), atol=1e-11)


@pytest.mark.parametrize("shape", [(1_000_000,), (1_000_001, 2)])
def test_sums_over_a_million_items_in_single_precision(shape: tuple[int, ...]) -> None:
    """Added up one after the other, they lose four digits."""
    x = np.full(shape, 0.1, np.float32)
    np.testing.assert_allclose(item_sums(NUMPY, x), shape[0] * float(np.float32(0.1)), rtol=1e-6)


def test_sums_from_both_ends(rng: np.random.Generator) -> None:
    x = rng.normal(size=(20, 3))
    up, down = sums_from_both_ends(np, x)
    np.testing.assert_allclose(up, np.cumsum(x, axis=0))
    np.testing.assert_allclose(down, x.sum(axis=0) - up + x, atol=1e-12)
