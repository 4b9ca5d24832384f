"""Items under a tilt: both sides with relative accuracy, and sums of what is small."""

import numpy as np
import pytest

from ksubset._engine.items import centred, items, tilted, totals
from ksubset._engine.tilt import TOLERANCE
from ksubset.backends.array_api import NUMPY

both = pytest.mark.parametrize("dtype", [np.float32, np.float64])
T = np.array([-80.0, -40.25, -3.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 3.0, 40.25, 80.0])


@both
def test_every_item(dtype: type) -> None:
    """What is unlikely, what is likely and their product to the last bits; their difference as well as it can be."""
    t = T.astype(dtype).astype(np.longdouble)
    p, q = 1 / (1 + np.exp(-t)), 1 / (1 + np.exp(t))
    x = items(NUMPY, T.astype(dtype)[:, None])
    exact = {"odds": np.exp(-np.abs(t)), "p": p, "q": q, "spread": p * q, "lean": -np.tanh(t / 2)}
    for name, true in exact.items():
        found = getattr(x, name)[:, 0]
        assert found.dtype == dtype
        eps = np.finfo(dtype).eps
        bounds = {"rtol": 2 * eps, "atol": eps} if name == "lean" else {"rtol": 4 * eps, "atol": 0}
        np.testing.assert_allclose(found, true, **bounds)
    assert (x.chosen[:, 0] == (t > 0)).all()


def test_items_that_infinity_decides() -> None:
    x = items(NUMPY, np.array([[np.inf], [-np.inf]]))
    assert (x.p.ravel() == [1, 0]).all()
    assert (x.q.ravel() == [0, 1]).all()
    assert (x.odds.ravel() == 0).all()
    assert (x.spread.ravel() == 0).all()
    assert (x.lean.ravel() == [-1, 1]).all()


@both
@pytest.mark.parametrize("deviations", [0.0, 2.0])
def test_sums_over_a_row(dtype: type, deviations: float) -> None:
    x, k = items(NUMPY, np.stack([T, T / 2 + 1], axis=1).astype(dtype)), np.array([4, 7])
    found = totals(NUMPY, x, k, deviations)
    p = 1 / (1 + np.exp(-x.t.astype(np.longdouble)))
    variance, gap = (p * (1 - p)).sum(axis=0), p.sum(axis=0) - k
    assert (found.ahead == (x.t > 0).sum(axis=0) - k).all()
    close = {"rtol": 10 * np.finfo(dtype).eps, "atol": 10 * np.finfo(dtype).eps}
    np.testing.assert_allclose(found.variance, variance, **close)
    np.testing.assert_allclose(found.gap, gap, **close)
    np.testing.assert_allclose(found.reach, np.abs(gap) + deviations * np.sqrt(variance), **close)
    assert found.deviations == deviations + TOLERANCE


def test_the_gap_of_a_row_that_is_all_but_decided() -> None:
    """A million items that are likely, in float32: the sum of their probabilities is far from what is left of it."""
    x = items(NUMPY, np.full((1_000_000, 1), 14.0, np.float32))
    gap = totals(NUMPY, x, 999_999).gap[0]
    assert abs(gap / (1 - 1e6 / (1 + np.exp(14.0))) - 1) < 1e-4


def test_the_likeliest_outcome() -> None:
    x = items(NUMPY, T[:, None])
    exact = np.log1p(np.exp(-np.abs(T.astype(np.longdouble)))).sum()
    np.testing.assert_allclose(x.likeliest(NUMPY), exact, rtol=1e-15)


@both
def test_centred_vectors(dtype: type, rng: np.random.Generator) -> None:
    """Less their mean, save a multiple of 1, which J maps to 0: far from 0, beside infinities, where sums overflow."""
    weights = rng.random((50, 2)).astype(dtype)
    weights[3] = 0
    logits, v = np.zeros((50, 2), dtype), (rng.normal(size=(50, 2)) + 1000).astype(dtype)
    logits[3] = np.inf, -np.inf
    found = centred(NUMPY, weights, v, logits)
    mean = (weights * v.astype(np.longdouble)).sum(axis=0) / weights.astype(np.longdouble).sum(axis=0)
    np.testing.assert_allclose(found, weights * (v - mean), atol=4e3 * np.finfo(dtype).eps)
    assert (found[3] == 0).all()
    v[3] = np.inf
    np.testing.assert_array_equal(centred(NUMPY, weights, v, logits), found)
    largest = np.finfo(dtype).max
    ends = centred(
        NUMPY, np.array([[0], [1]], dtype), np.array([[largest], [-largest]], dtype), np.zeros((2, 1), dtype)
    )
    assert (ends == 0).all()
    assert (centred(NUMPY, 0 * weights, v, logits) == 0).all()


def test_a_tilt_makes_them_as_many_as_are_chosen(rng: np.random.Generator) -> None:
    logits = rng.normal(size=(100, 3))
    x = tilted(NUMPY, logits, np.array([1, 50, 93]))
    sums = totals(NUMPY, x, np.array([1, 50, 93]))
    assert (np.abs(sums.gap) <= TOLERANCE * np.sqrt(sums.variance)).all()
    np.testing.assert_allclose(x.t - logits, (x.t - logits)[:1] + np.zeros((100, 1)), atol=1e-14)
