"""Windowed counts agree with full ones within their stated absolute error."""

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from conftest import Target
from significance import check_binomial

import ksubset
from ksubset import _inference, _window
from ksubset._layout import Rows, orient
from ksubset._tree import SHORT, FullCounts, inside
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


def test_samples_have_windows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer ones than marginals: what they leave out is never drawn."""
    asked, choose = [], _window.choose_counts

    def record(*given: Any, drawing: bool = False) -> Any:
        asked.append(drawing)
        return choose(*given, drawing=drawing)

    monkeypatch.setattr(_inference, "choose_counts", record)
    _inference.draw(NUMPY, np.zeros((1, 4)), 2, 2, np.full((1, 1, 3), 0.3))
    assert asked == [True]


@pytest.mark.backends("numpy", "torch", "jax", "cupy")
def test_a_million_items(target: Target, rng: np.random.Generator) -> None:
    logits = rng.normal(size=(1, 1_000_000))
    mu = target.to_numpy(ksubset.marginals(target.array(logits, "float32"), 500_000))
    assert abs(mu.sum(dtype=np.float64) - 500_000) < 1
    assert ((mu >= 0) & (mu <= 1)).all()


def coins(n: int, k: int, dtype: type = np.float64) -> Rows:
    """A row whose logits do not matter."""
    return orient(NUMPY, np.zeros((1, n), dtype), k, min(k, n - k))


def test_which_rows_have_windows() -> None:
    """Those of more than 16,384 items, more than 512 of which are chosen and more than 512 not."""
    for n, k, windowed in [(16_384, 600, False), (16_385, 512, False), (16_385, 513, True), (16_385, 15_873, False)]:
        counts = _window.choose_counts(NUMPY, coins(n, k), np.full((n, 1), 0.5))
        assert isinstance(counts, _window.WindowedCounts if windowed else FullCounts)
        assert _window.is_windowed(n, min(k, n - k)) == windowed
        assert not windowed or counts.reach == 8.5


def test_what_error_rows_can_bear() -> None:
    """None in float64, which is far from subnormal, and where the values cannot be looked at."""
    p = np.array([[0.5, 0.25, 1.0], [0.0, 0.0625, 1.0], [0.0, 0.0, 0.0]], np.float32)
    assert (_window.bearable_error(NUMPY, p) == [2.0**-63, 0, 0]).all()
    assert _window.bearable_error(NUMPY, p.astype(np.float64)) is None
    assert _window.bearable_error(replace(NUMPY, eager_on_cpu=False), p) is None
    for width in (SHORT - 1, SHORT):
        counts = _window.choose_counts(NUMPY, coins(100, width, np.float32), np.full((100, 1), 0.5, np.float32))
        assert isinstance(counts, FullCounts)
        assert (counts.floor is None) == (width < SHORT)


@pytest.mark.parametrize(("dtype", "drawing", "reach"), [("f4", False, 6), ("f8", False, 8.5), ("f4", True, 9)])
def test_length_of_windows(dtype: str, drawing: bool, reach: float) -> None:
    """All counts of small nodes; otherwise so many deviations on either side, and what is needed near 0."""
    p = np.full((400_000, 1), 0.5, dtype)
    for k in (20_000, 200_000):
        counts = _window.WindowedCounts(NUMPY, coins(400_000, k), p, drawing=drawing)
        assert [counts.size(level) for level in range(6)] == [2, 3, 5, 9, 17, 33]
        for level in range(10, 19):
            deviation = sqrt(min(2**level / 4, k * (1 - k / 400_000)))
            assert 0 <= counts.size(level) - 2 * reach * deviation - 2 * reach**2 / 3 < 5
    few = _window.WindowedCounts(NUMPY, coins(400_000, 600), p)
    assert few.size(18) < 601
    assert few.reach < 9


@pytest.mark.parametrize(("n", "k"), [(301, 150), (701, 350), (2001, 900)])
def test_transforms_and_direct_sums_agree(n: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the highest level, where windows are longest and parents' windows start the farthest from their children's."""
    rng = np.random.default_rng(n)
    rows = orient(NUMPY, np.zeros((2, n)), k, k)
    counts = _window.WindowedCounts(NUMPY, rows, rng.random((n, 2)))
    level = len(counts.offsets) - 2
    pairs = counts.offset(level).shape[0] // 2
    left, right = rng.random((2, counts.size(level), pairs, 2))
    outer, siblings = rng.random((counts.size(level + 1), pairs, 2)), np.stack([left, right], axis=1)
    found = []
    for longest in (1, 10**6):
        monkeypatch.setattr(_window, "LONGEST_SUM", longest)
        found.append((counts.multiply(level, left, right), counts.correlate(level, outer, siblings)))
    for transformed, direct in zip(*found, strict=True):
        np.testing.assert_allclose(transformed, direct, rtol=1e-12)


def test_slide(rng: np.random.Generator) -> None:
    x = rng.random((5, 3, 2)) + 1
    start = np.array([[-9, -2], [0, 1], [3, 8]])
    found = _window._slide(NUMPY, x, start, 7)
    for i, node, row in np.ndindex(7, 3, 2):
        at = start[node, row] + i
        assert found[i, node, row] == (x[at, node, row] if 0 <= at < 5 else 0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0])
def test_windows_lose_no_probability(scale: float, rng: np.random.Generator) -> None:
    """Of any node: each is near enough to the middle of its window."""
    p = 1 / (1 + np.exp(-rng.normal(size=(20_001, 2)) * scale - np.array([0.0, 3.0])))
    counts = _window.WindowedCounts(NUMPY, coins(20_001, 10_000), p)
    for level in inside(NUMPY, counts, np.stack([1 - p, p])):
        np.testing.assert_allclose(level.sum(axis=0), 1, rtol=0, atol=1e-13)


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
