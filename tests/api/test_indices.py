"""Subsets as indices: the same subsets as in zeros and ones, whoever finds them."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from capabilities import needs
from cases import with_infinities
from conftest import Target
from transforms import Transforms

import ksubset
from ksubset._api import sampling
from ksubset._engine import indices
from ksubset._law import functions
from ksubset.backends.array_api import NUMPY

SIZES: dict[str, tuple[tuple[int, ...], Callable[[Target], Any], int]] = {
    "two of nine": ((5, 9), lambda target: 2, 2),
    "seven of nine": ((5, 9), lambda target: 7, 7),
    "none": ((5, 9), lambda target: 0, 0),
    "all": ((5, 9), lambda target: 9, 9),
    "one row": ((6,), lambda target: 3, 3),
    "no rows": ((0, 6), lambda target: 3, 3),
    "one item": ((3, 1), lambda target: 1, 1),
    "batch of two axes": ((2, 17, 5), lambda target: 2, 2),
    "each its own": ((4, 6), lambda target: target.array(np.array([0, 6, 2, 5])), 6),
    "twenty of fifty": ((3, 50), lambda target: 20, 20),
    "long row": ((2, 3000), lambda target: 700, 700),
    "at most three": ((5, 9), lambda target: ksubset.at_most(3), 3),
    "at least seven": ((5, 9), lambda target: ksubset.at_least(7), 9),
}
"""The shape of logits, what is given as k, and how many places that makes."""


@pytest.fixture(params=SIZES)
def case(request: pytest.FixtureRequest, target: Target, rng: np.random.Generator) -> tuple[Any, Any, int]:
    shape, k, places = SIZES[request.param]
    return target.array(rng.normal(size=shape) * 3), k(target), places


def listed(z: np.ndarray, places: int) -> np.ndarray:
    """The items of subsets, found the long way."""
    rows = [np.flatnonzero(row) for row in z.reshape(math.prod(z.shape[:-1]), z.shape[-1])]
    rows = [np.concatenate([row, np.full(places - row.size, -1)]) for row in rows]
    return np.array(rows, int).reshape(*z.shape[:-1], places)


@pytest.mark.parametrize("draws", [(), (3,), (0,), (2, 16)], ids=str)
def test_indices_are_those_of_the_sample(target: Target, case: tuple[Any, Any, int], draws: tuple[int, ...]) -> None:
    logits, k, places = case
    z = target.to_numpy(ksubset.sample(logits, k, rng=target.rng(3), sample_shape=draws))
    found = ksubset.sample_indices(logits, k, rng=target.rng(3), sample_shape=draws)
    assert target.xp.isdtype(found.dtype, "integral")
    np.testing.assert_array_equal(target.to_numpy(found), listed(z, places))


def test_mode(target: Target, case: tuple[Any, Any, int]) -> None:
    logits, k, places = case
    z = target.to_numpy(ksubset.mode(logits, k))
    np.testing.assert_array_equal(target.to_numpy(ksubset.mode_indices(logits, k)), listed(z, places))


def test_log_probability(target: Target, case: tuple[Any, Any, int], rng: np.random.Generator) -> None:
    logits, k, _ = case
    z = ksubset.sample(logits, k, rng=target.rng(1), sample_shape=(4,))
    given = ksubset.sample_indices(logits, k, rng=target.rng(1), sample_shape=(4,))
    given = target.array(rng.permuted(target.to_numpy(given), axis=-1))
    np.testing.assert_array_equal(
        target.to_numpy(ksubset.log_prob_indices(logits, k, given)), target.to_numpy(ksubset.log_prob(logits, k, z))
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_integers_of_any_size(target: Target, dtype: str) -> None:
    given = np.array([[299, 5], [5, 0]]) if dtype in ("int32", "int64") else np.array([[120, 5], [5, 0]])
    logits = target.array(np.zeros((2, 300)))
    found = target.to_numpy(ksubset.log_prob_indices(logits, 2, target.array(given, dtype)))
    np.testing.assert_allclose(found, -math.log(math.comb(300, 2)), rtol=1e-5)


def test_object(target: Target, case: tuple[Any, Any, int]) -> None:
    logits, k, _ = case
    d = ksubset.KSubset(logits, k)
    pairs = [
        (d.sample_indices(rng=target.rng(2)), ksubset.sample_indices(logits, k, rng=target.rng(2))),
        (d.mode_indices(), ksubset.mode_indices(logits, k)),
        (d.log_prob_indices(d.mode_indices()), ksubset.log_prob_indices(logits, k, ksubset.mode_indices(logits, k))),
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), rtol=1e-5, atol=1e-5)


def test_infinite_logits(target: Target) -> None:
    batch = with_infinities(4)
    logits, k = target.array(batch.logits), target.array(batch.k)
    z = target.to_numpy(ksubset.sample(logits, k, rng=target.rng(0)))
    found = target.to_numpy(ksubset.sample_indices(logits, k, rng=target.rng(0)))
    np.testing.assert_array_equal(found, listed(z, int(batch.k.max())))


def test_wrong_size_and_bad_rows_without_checks(target: Target) -> None:
    logits = target.array(np.zeros((5, 4)))
    given = target.array(np.array([[0, 1], [3, -1], [2, 2], [0, 4], [-2, 1]]))
    found = target.to_numpy(ksubset.log_prob_indices(logits, 2, given, validate=False))
    np.testing.assert_allclose(found, [-math.log(6), -np.inf, np.nan, np.nan, np.nan], rtol=1e-6)


def test_infeasible_rows_without_checks(target: Target) -> None:
    bad = np.array([[0.0, 1.0, 9.0], [-np.inf, -np.inf, 0.0], [np.nan, 0.0, 1.0]])
    for k in (2, ksubset.between(2, 2)):
        found = target.to_numpy(ksubset.sample_indices(target.array(bad), k, rng=target.rng(0), validate=False))
        assert (found[0] >= 0).all()
        assert (found[1:] == -1).all()
    found = target.to_numpy(ksubset.mode_indices(target.array(bad), 2, validate=False))
    np.testing.assert_array_equal(found, [[1, 2], [-1, -1], [-1, -1]])


@pytest.mark.parametrize("row", [[1, 1], [0, 4], [-2, 1]], ids=str)
def test_indices_that_are_no_subset(target: Target, row: list[int]) -> None:
    given = target.array(np.array([[0, 1], row]))
    with pytest.raises(ValueError, match=rf"^indices must be from 0 to 3.*got \[{row[0]}, {row[1]}\] in row 1$"):
        ksubset.log_prob_indices(target.array(np.zeros((2, 4))), 2, given, validate=True)


def test_bad_indices_of_a_batch_of_two_axes() -> None:
    given = np.array([[[0, 1, 2]], [[0, 1, 9]]])
    with pytest.raises(ValueError, match=r"got \[0, 1, 9\] in row \(1, 0\)$"):
        ksubset.log_prob_indices(np.zeros(4), 3, given)


def test_bad_arguments(target: Target) -> None:
    logits = target.array(np.zeros((3, 4)))
    with pytest.raises(TypeError, match=r"^indices must be of integers; got"):
        ksubset.log_prob_indices(logits, 2, target.array(np.zeros((3, 2))))
    with pytest.raises(ValueError, match=r"^indices must have shape \(\.\.\., places\).*got \(2, 2\)$"):
        ksubset.log_prob_indices(logits, 2, target.array(np.zeros((2, 2), int)))
    with pytest.raises(TypeError, match=r"^indices must"):
        ksubset.log_prob_indices(logits, 2, [[0, 1]])


def test_places_for_sizes_that_are_an_array(target: Target) -> None:
    logits, k = target.array(np.zeros((2, 4))), target.array(np.array([1, 2]))
    found = target.to_numpy(ksubset.sample_indices(logits, k, max_k=3, rng=target.rng(0)))
    assert found.shape == (2, 3)
    assert ((found >= 0).sum(axis=-1) == [1, 2]).all()
    if ksubset.backends.find(k, "k").is_readable(k):
        assert ksubset.mode_indices(logits, k).shape == (2, 2)
    else:
        with pytest.raises(ValueError, match=r"^max_k must be given"):
            ksubset.mode_indices(logits, k)


def test_places_where_nothing_is_checked() -> None:
    logits = np.zeros((3, 4))
    assert ksubset.sample_indices(logits, np.array([1, 2, 2]), validate=False, rng=0).shape == (3, 2)
    assert ksubset.sample_indices(logits, np.array([1, 2, 9]), validate=False, rng=0).shape == (3, 4)
    assert ksubset.sample_indices(logits, np.full(3, -2), validate=False, rng=0).shape == (3, 0)
    assert ksubset.sample_indices(np.zeros((0, 4)), np.zeros(0, int), rng=0).shape == (0, 0)
    assert ksubset.sample_indices(np.zeros((3, 2, 4)), np.full((3, 2), 9), validate=False, rng=0).shape == (3, 2, 4)


def test_the_shape_of_draws_is_told_to_those_who_draw_later() -> None:
    call = SimpleNamespace(problem=SimpleNamespace(logits=np.zeros((2, 3, 4))), draw=lambda *given: given[2:])
    shapes = sampling.draw(call, None, (np.int64(5),), functions.sample)
    assert shapes == ((5,), (4,))
    assert type(shapes[0][0]) is int


@needs("reverse mode")
def test_gradient_of_log_probability(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    x, given = rng.normal(size=(3, 5)), np.array([[0, 1], [4, 2], [1, 3]])
    z = np.zeros((3, 5))
    np.put_along_axis(z, given, 1, axis=-1)
    found = diff.grad(lambda y: ksubset.log_prob_indices(y, 2, target.array(given)).sum())(target.array(x))
    expected = z - target.to_numpy(ksubset.marginals(target.array(x), 2))
    np.testing.assert_allclose(target.to_numpy(found), expected, atol=target.tolerance(1e-5, 1e-12))


@needs("vmap")
def test_mapped(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    logits = target.array(rng.normal(size=(3, 2, 6)))
    mode = ksubset.mode_indices(logits, 2)
    np.testing.assert_array_equal(
        target.to_numpy(diff.vmap(lambda x: ksubset.mode_indices(x, 2))(logits)), target.to_numpy(mode)
    )
    np.testing.assert_array_equal(
        target.to_numpy(diff.vmap(lambda x, i: ksubset.log_prob_indices(x, 2, i))(logits, mode)),
        target.to_numpy(ksubset.log_prob_indices(logits, 2, mode)),
    )


def test_scattering_without_a_primitive(rng: np.random.Generator) -> None:
    ops = NUMPY.__class__(np, np.matmul, np.sort)
    z = (rng.random((3, 4, 7)) < 0.5) * 1.0
    found = indices.indices_of(ops, z, 7)
    np.testing.assert_array_equal(found, listed(z, 7))
    np.testing.assert_array_equal(indices.members_of(ops, found, np.zeros(7)), z)
