"""Windowed counts agree with full ones within their stated absolute error."""

import numpy as np
import pytest
from conftest import Target
from significance import check_binomial

import ksubset
from ksubset import _window
from ksubset._layout import orient
from ksubset.backends.array_api import NUMPY


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Windows at sizes at which full counts are at hand to compare with."""
    monkeypatch.setattr(_window, "DIRECT_SIZE", 300)
    monkeypatch.setattr(_window, "DIRECT_WIDTH", 50)
    return monkeypatch


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
@pytest.mark.parametrize(("n", "k", "scale"), [(2049, 1024, 1.0), (1501, 400, 5.0), (1501, 1300, 30.0)])
def test_against_full_counts(
    target: Target, windowed: pytest.MonkeyPatch, n: int, k: int, scale: float, rng: np.random.Generator
) -> None:
    logits, v = rng.normal(size=(2, n)) * scale, rng.normal(size=(2, n))
    x, sizes, tangent = target.array(logits), target.array([k, k + 7]), target.array(v)
    found = [ksubset.marginals(x, sizes), ksubset.marginals_jvp(x, sizes, tangent), ksubset.entropy(x, sizes)]
    windowed.setattr(_window, "DIRECT_SIZE", n)
    exact = [ksubset.marginals(x, sizes), ksubset.marginals_jvp(x, sizes, tangent), ksubset.entropy(x, sizes)]
    for mine, true, size in zip(found, exact, (1, 1, n), strict=True):
        np.testing.assert_allclose(
            target.to_numpy(mine), target.to_numpy(true), rtol=0, atol=size * target.tolerance(3e-6, 1e-13)
        )


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
def test_samples_have_k_ones(target: Target, windowed: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    logits = target.array(rng.normal(size=(3, 1201)) * 4)
    z = target.to_numpy(ksubset.sample(logits, 500, rng=target.rng(2), sample_shape=(50,)))
    assert (z.sum(axis=-1) == 500).all()
    check_binomial(z.sum(axis=0), 50, np.clip(target.to_numpy(ksubset.marginals(logits, 500)), 0, 1))


@pytest.mark.backends("numpy", "torch", "jax", "cupy")
def test_a_million_items(target: Target, rng: np.random.Generator) -> None:
    logits = rng.normal(size=(1, 1_000_000))
    mu = target.to_numpy(ksubset.marginals(target.array(logits, "float32"), 500_000))
    assert abs(mu.sum(dtype=np.float64) - 500_000) < 1
    assert ((mu >= 0) & (mu <= 1)).all()


def test_noise_of_the_transform_is_no_probability(rng: np.random.Generator) -> None:
    """A product of long windows has no coefficient below 0, and exact zeros where only rounding was left."""
    rows = orient(NUMPY, rng.normal(size=(1, 40_000)), 20_000, 20_000)
    counts = _window.WindowedCounts(NUMPY, rows, np.full((40_000, 1), 0.5))
    level = next(i for i in range(20) if counts.size(i) > _window.LONGEST_SUM)
    size, pairs = counts.size(level), counts.offset(level).shape[0] // 2
    left = np.zeros((size, pairs, 1))
    left[size // 2] = 1
    product = counts.multiply(level, left, left)
    assert (product >= 0).all()
    assert ((product > 0).sum(axis=0) == 1).all()
