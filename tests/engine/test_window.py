"""Windowed counts: they draw the same subsets as full counts, and nothing likely is outside."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from conftest import Target
from significance import check_binomial

import ksubset
from ksubset._engine import window
from ksubset._engine.ops import Devices
from ksubset._engine.rows import Rows
from ksubset._engine.tree import SHORT, FullCounts, inside
from ksubset.backends.array_api import NUMPY


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Windows at sizes at which full counts are at hand to compare with."""
    monkeypatch.setattr(window, "DIRECT_SIZE", 300)
    monkeypatch.setattr(window, "DIRECT_WIDTH", 50)
    return monkeypatch


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
@pytest.mark.parametrize(("n", "k", "scale"), [(2049, 1024, 1.0), (1501, 400, 5.0), (1501, 1300, 30.0)])
def test_against_full_counts(
    target: Target, windowed: pytest.MonkeyPatch, n: int, k: int, scale: float, rng: np.random.Generator
) -> None:
    """The same uniforms draw the same subsets: a transform's error is seen once in 10^13 draws, or 10^6 in float32."""
    x, sizes = target.array(rng.normal(size=(2, n)) * scale), target.array([k, k + 7])
    u = target.array(rng.random((20, 2, n - 1)))
    found = target.to_numpy(ksubset.sample_from_uniforms(x, sizes, u))
    windowed.setattr(window, "DIRECT_SIZE", n)
    exact = target.to_numpy(ksubset.sample_from_uniforms(x, sizes, u))
    assert (found.sum(axis=-1) == [k, k + 7]).all()
    assert (found != exact).any(axis=-1).mean() <= target.tolerance(0.1, 0)


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
def test_samples_have_k_ones(target: Target, windowed: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    logits = target.array(rng.normal(size=(3, 1201)) * 4)
    z = target.to_numpy(ksubset.sample(logits, 500, rng=target.rng(2), sample_shape=(50,)))
    assert (z.sum(axis=-1) == 500).all()
    check_binomial(z.sum(axis=0), 50, np.clip(target.to_numpy(ksubset.marginals(logits, 500)), 0, 1))


@pytest.mark.backends("numpy", "torch", "cupy")
def test_a_million_items(target: Target, rng: np.random.Generator) -> None:
    logits = target.array(rng.normal(size=(1, 1_000_000)), "float32")
    z = target.to_numpy(ksubset.sample(logits, 500_000, rng=target.rng(0)))
    assert ((z == 0) | (z == 1)).all()
    assert z.sum(dtype=np.float64) == 500_000


def rows(p: np.ndarray, k: int) -> Rows:
    """Of items (n, rows) with these probabilities."""
    width = min(k, len(p) - k)
    return Rows(p, 1 - p, width, np.array(False), width)


def coins(n: int, k: int, dtype: type = np.float64) -> Rows:
    return rows(np.full((n, 1), 0.5, dtype), k)


def test_which_rows_have_windows() -> None:
    """Those of more than 16,384 items, more than 512 of which are chosen and more than 512 not."""
    for n, k, windowed in [(16_384, 600, False), (16_385, 512, False), (16_385, 513, True), (16_385, 15_873, False)]:
        counts = window.choose_counts(NUMPY, coins(n, k))
        assert isinstance(counts, window.WindowedCounts if windowed else FullCounts)
        assert window.is_windowed(n, min(k, n - k)) == windowed


def test_what_error_rows_can_bear() -> None:
    """None in float64, which is far from subnormal, and where the values cannot be looked at."""
    p = np.array([[0.5, 0.25, 1.0], [0.0, 0.0625, 1.0], [0.0, 0.0, 0.0]], np.float32)
    assert (window.bearable_error(NUMPY, p) == [2.0**-63, 0, 0]).all()
    assert window.bearable_error(NUMPY, p.astype(np.float64)) is None
    assert window.bearable_error(replace(NUMPY, eager_on_cpu=False), p) is None
    for width in (SHORT - 1, SHORT):
        counts = window.choose_counts(NUMPY, coins(100, width, np.float32))
        assert isinstance(counts, FullCounts)
        assert (counts.floor is None) == (width < SHORT)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_length_of_windows(dtype: str) -> None:
    """All counts of small nodes; otherwise nine deviations on either side, and what is needed near 0."""
    for k in (20_000, 200_000):
        counts = window.WindowedCounts(NUMPY, coins(400_000, k, np.dtype(dtype).type))
        assert [counts.size(level) for level in range(6)] == [2, 3, 5, 9, 17, 33]
        for level in range(10, 19):
            deviation = sqrt(min(2**level / 4, k * (1 - k / 400_000)))
            assert 0 <= counts.size(level) - 2 * 9 * deviation - 2 * 9**2 / 3 < 5
    few = window.WindowedCounts(NUMPY, coins(400_000, 600))
    assert few.size(18) < 601


@pytest.mark.parametrize(("n", "k"), [(301, 150), (701, 350), (2001, 900)])
def test_transforms_and_direct_sums_agree(n: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the highest level, where windows are longest and parents' windows start the farthest from their children's."""
    rng = np.random.default_rng(n)
    counts = window.WindowedCounts(NUMPY, rows(rng.random((n, 2)), k))
    level = len(counts.offsets) - 2
    pairs = counts.offset(level).shape[0] // 2
    left, right = rng.random((2, counts.size(level), pairs, 2))
    found = []
    for longest in (1, 10**6):
        monkeypatch.setattr(window, "LONGEST_SUM", longest)
        found.append(counts.multiply(level, left, right))
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_slide(rng: np.random.Generator) -> None:
    x = rng.random((5, 3, 2)) + 1
    start = np.array([[-9, -2], [0, 1], [3, 8]])
    devices = Devices(2, np.fft, lambda x, index: np.take_along_axis(x[:, :, None, :], index, axis=0))
    for ops in (NUMPY, replace(NUMPY, devices=devices)):
        found = window._slide(ops, x, start, 7)
        for i, node, row in np.ndindex(7, 3, 2):
            at = start[node, row] + i
            assert found[i, node, row] == (x[at, node, row] if 0 <= at < 5 else 0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0])
def test_windows_lose_no_probability(scale: float, rng: np.random.Generator) -> None:
    """Of any node: each is near enough to the middle of its window."""
    p = 1 / (1 + np.exp(-rng.normal(size=(20_001, 2)) * scale - np.array([0.0, 3.0])))
    counts = window.WindowedCounts(NUMPY, rows(p, 10_000))
    for level in inside(counts, np.stack([1 - p, p])):
        np.testing.assert_allclose(level.sum(axis=0), 1, rtol=0, atol=1e-13)


def test_noise_of_the_transform_is_no_probability() -> None:
    """A product of long windows has no coefficient below 0, and exact zeros where only rounding was left."""
    counts = window.WindowedCounts(NUMPY, coins(40_000, 20_000))
    level = next(i for i in range(20) if counts.size(i) > window.LONGEST_SUM)
    size, pairs = counts.size(level), counts.offset(level).shape[0] // 2
    left = np.zeros((size, pairs, 1))
    left[size // 2] = 1
    product = counts.multiply(level, left, left)
    assert (product >= 0).all()
    assert ((product > 0).sum(axis=0) == 1).all()
