"""Small calls, whose way to the kernel is found once: the answers of ordinary calls."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target
from small_calls import FUNCTIONS, assert_same, at_once, readable, rows

import ksubset
from ksubset._law import functions
from ksubset.backends import find

pytestmark = pytest.mark.usefixtures("fast")
SHAPES = [((10,), 5), ((1, 50), 20), ((3, 4, 7), 2), ((20, 30), 0), ((6,), 6), ((2, 40), 33)]


@readable
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "k"), SHAPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_answers_of_ordinary_calls(target: Target, name: str, shape: tuple[int, ...], k: int, dtype: str) -> None:
    logits, function = rows(target, shape, dtype), FUNCTIONS[name]
    assert at_once(name, logits, k) is not None
    assert_same(target, function(logits, k), function(logits, k, validate=True))


@readable
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "k"), SHAPES)
@pytest.mark.parametrize("draws", [(), (3,), (2, 2)])
def test_log_prob_of_the_same_subsets(
    target: Target, draws: tuple[int, ...], shape: tuple[int, ...], k: int, dtype: str
) -> None:
    logits = rows(target, shape, dtype)
    z, d = ksubset.sample(logits, k, rng=0, sample_shape=draws), ksubset.KSubset(logits, k)
    assert at_once("log_prob", logits, k, z) is not None
    expected = ksubset.log_prob(logits, k, z, validate=True)
    assert_same(target, ksubset.log_prob(logits, k, z), expected)
    assert_same(target, d.log_prob(z), expected)


@readable
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "k"), SHAPES)
@pytest.mark.parametrize("draw", [ksubset.sample, ksubset.rsample])
def test_the_draws_of_ordinary_calls(
    target: Target, draw: Callable[..., Any], shape: tuple[int, ...], k: int, dtype: str
) -> None:
    logits = rows(target, shape, dtype)
    assert find(logits, "logits").draw_at_once(functions.sample, logits, k, 7) is not None
    for seed in (7, 8):
        assert_same(target, draw(logits, k, rng=seed), draw(logits, k, rng=seed, validate=True))
    drawn = [draw(logits, k, rng=source) for source in (target.rng(3), target.rng(3))]
    assert_same(target, *drawn)


@readable
def test_a_divergence_by_objects(target: Target) -> None:
    logits, other = rows(target, (3, 5)), rows(target, (3, 5)) / 2
    found = ksubset.KSubset(logits, 2).kl_divergence(ksubset.KSubset(other, 2))
    assert_same(target, found, ksubset.kl_divergence(logits, other, 2, validate=True))


@readable
@pytest.mark.parametrize("kind", ["bool", "int64", "float32"])
def test_subsets_of_other_dtypes_and_rows_for_each_subset(target: Target, kind: str) -> None:
    logits, z = rows(target, (3, 6)), np.array([1, 1, 0, 0, 0, 0])
    expected = ksubset.log_prob(logits, 2, target.array(np.tile(z, (3, 1)).astype("float64")))
    found = ksubset.log_prob(logits, 2, target.array(z, kind))
    np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), rtol=1e-14)


@readable
@pytest.mark.parametrize("name", FUNCTIONS)
def test_layouts(target: Target, name: str) -> None:
    """Transposed, reversed or every other item: numbers that are not in order in memory."""
    whole, function = rows(target, (8, 8)), FUNCTIONS[name]
    for part in (whole.T, whole[::2], whole[:, 1:7], whole[:3, ::3]):
        plain = target.array(target.to_numpy(part).copy())
        assert_same(target, function(part, 2), function(plain, 2))


@readable
@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_are_the_callers(target: Target, name: str) -> None:
    logits, function = rows(target, (2, 5)), FUNCTIONS[name]
    first = function(logits, 2)
    before = target.to_numpy(first).copy()
    second = function(logits + 1, 2)
    second[...] = 7.0
    np.testing.assert_array_equal(target.to_numpy(first), before)
    np.testing.assert_array_equal(target.to_numpy(function(logits, 2)), before)


@readable
def test_on_many_threads(target: Target) -> None:
    given = [target.array(row) for row in np.random.default_rng(5).normal(size=(64, 12))]
    expected = [ksubset.marginals(row, 4, validate=True) for row in given]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: ksubset.marginals(row, 4), given * 4))
    for x, y in zip(found, expected * 4, strict=True):
        assert_same(target, x, y)
