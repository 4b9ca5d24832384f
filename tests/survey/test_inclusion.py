"""Inclusion probabilities proportional to sizes: against the definition by rounds, on every target, and in programs."""

from typing import Any

import numpy as np
import pytest
from conftest import Target
from transforms import Transforms, differentiable

import ksubset
from ksubset import survey


def by_rounds(sizes: np.ndarray, k: int) -> np.ndarray:
    """What the textbooks say: make certain whatever exceeds 1, and share the rest again."""
    certain = np.zeros(len(sizes), bool)
    while True:
        share = np.where(certain, 0, (k - certain.sum()) * sizes / max(sizes[~certain].sum(), 1e-300))
        if not (share > 1).any():
            return np.where(certain, 1, share)
        certain |= share > 1


def populations(rows: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Light and heavy tails, ties, units of size 0; a k for each row, up to the units that have a size."""
    rng = np.random.default_rng(0)
    sizes = np.ceil(8 * rng.lognormal(0, rng.choice([0.1, 1, 3], (rows, 1)), (rows, n)))
    sizes[rng.random((rows, n)) < 0.1] = 0
    return sizes, rng.integers(0, (sizes > 0).sum(axis=-1) + 1)


def test_the_definition(target: Target) -> None:
    found = check_definition(target, 30)
    some_are_certain = (found == 1).any(axis=-1) & ((found > 0) & (found < 1)).any(axis=-1)
    assert some_are_certain.sum() > 50


@pytest.mark.backends("numpy", "strict", "torch", reason="JAX compiles the same array code anew for every length")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_definition_of_other_lengths(target: Target, n: int) -> None:
    check_definition(target, n)


def check_definition(target: Target, n: int) -> np.ndarray:
    sizes, k = populations(200, n)
    found = target.to_numpy(survey.inclusion_probabilities(target.array(sizes), target.array(k)))
    expected = np.stack([by_rounds(row, int(size)) for row, size in zip(sizes, k, strict=True)])
    unit = target.tolerance(1.2e-7, 2.3e-16)
    np.testing.assert_allclose(found, expected, rtol=4 * n * unit)
    np.testing.assert_allclose(found.sum(axis=-1), k, atol=4 * n * unit)
    assert (found <= 1).all()
    everyone = k == (sizes > 0).sum(axis=-1)
    np.testing.assert_array_equal(found[everyone], (sizes > 0)[everyone])
    return found


def test_certain_units_in_rounds(target: Target) -> None:
    """Only the second round finds that 9 exceeds 1: 3 · 9/30 in the first, 2 · 9/14 in the second."""
    found = target.to_numpy(survey.inclusion_probabilities(target.array([16.0, 9.0, 2.0, 2.0, 1.0]), 3))
    np.testing.assert_allclose(found, [1, 1, 0.4, 0.4, 0.2], rtol=target.tolerance(1e-6, 1e-14))
    np.testing.assert_array_equal(found[:2], 1)


def test_a_place_for_every_unit(target: Target) -> None:
    """All exactly 1, although rounding hides which of the nearly equal sizes exceed the others' mean."""
    rng, unit = np.random.default_rng(0), np.finfo(target.dtypes[-1]).eps
    sizes = rng.random((200, 1)) * np.append(1 + 4 * unit * rng.random((200, 49)), np.zeros((200, 1)), axis=1)
    found = target.to_numpy(survey.inclusion_probabilities(target.array(sizes), 49))
    np.testing.assert_array_equal(found, np.sign(sizes))


def test_sizes_of_any_magnitude(target: Target) -> None:
    largest = float(np.finfo(target.dtypes[-1]).max)
    found = target.to_numpy(survey.inclusion_probabilities(target.array([largest, largest, largest / 2, 0]), 2))
    np.testing.assert_allclose(found, [0.8, 0.8, 0.4, 0], rtol=1e-6)
    found = target.to_numpy(survey.inclusion_probabilities(target.array(np.full(9, largest / 3)), 3))
    np.testing.assert_allclose(found, 1 / 3, rtol=1e-6)
    least = 4 * float(np.finfo(target.dtypes[-1]).tiny)
    for small in (1e-20, least):
        found = target.to_numpy(survey.inclusion_probabilities(target.array([1.0, small, 3 * small]), 2))
        np.testing.assert_allclose(found, [1, 0.25, 0.75], rtol=1e-6)


def test_nothing_to_draw(target: Target) -> None:
    for sizes in (np.zeros(3), np.ones(3), np.zeros((2, 0))):
        found = target.to_numpy(survey.inclusion_probabilities(target.array(sizes), 0))
        np.testing.assert_array_equal(found, np.zeros(sizes.shape))


def test_the_only_unit_of_each_population_is_drawn(target: Target) -> None:
    found = target.to_numpy(survey.inclusion_probabilities(target.array([[1.0], [2.0], [0.5]]), 1))
    np.testing.assert_array_equal(found, np.ones((3, 1)))


def test_whole_numbers_and_dtypes(target: Target) -> None:
    found = survey.inclusion_probabilities(target.array([3, 2, 1], "int32"), 2)
    assert found.dtype == target.xp.zeros(0, device=target.device).dtype
    np.testing.assert_allclose(target.to_numpy(found), [1, 2 / 3, 1 / 3], rtol=1e-6)
    for dtype in target.dtypes:
        sizes = target.array([3, 2, 1], dtype)
        assert survey.inclusion_probabilities(sizes, 2).dtype == sizes.dtype


BAD: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "a list": ([1.0, 2.0], 1, TypeError, "sizes must be an array.*got list"),
    "bool": ([True, False], 1, TypeError, "sizes must have a real floating dtype; got.*bool"),
    "a table of one column": (
        [[1.0], [2.0], [3.0]],
        2,
        ValueError,
        r"sizes must have the units.*got shape \(3, 1\) and k = 2: give a single column",
    ),
    "0-d": (1.0, 1, ValueError, r"sizes must have shape \(\.\.\., n\)"),
    "NaN": ([[1.0, 2.0], [np.nan, 1.0]], 1, ValueError, "sizes must not contain NaN; got NaN in row 1"),
    "negative": ([[1.0, 2.0], [3.0, -1.5]], 1, ValueError, r"sizes must be finite and at least 0; got -1\.5 in row 1"),
    "infinite": ([1.0, np.inf], 1, ValueError, "sizes must be finite and at least 0; got inf"),
    "too few": (
        [[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]],
        2,
        ValueError,
        "sizes must have at least k entries above 0; got 1 in row 1: a unit of size 0 is never drawn",
    ),
    "two of one unit": ([1.0], 2, ValueError, r"k must be in \[0, 1\].*got 2"),
    "k > n": ([1.0, 2.0], 3, ValueError, r"k must be in \[0, 2\].*got 3"),
    "k negative": ([1.0, 2.0], -1, ValueError, r"k must be in \[0, 2\].*got -1"),
    "k a float": ([1.0, 2.0], 1.0, TypeError, "k must be an int or an integer array; got float"),
    "k in an array": ([[1.0, 2.0]] * 2, [1, 3], ValueError, r"k must be in \[0, 2\]; got 3 in row 1"),
    "a potential": (
        [1.0, 2.0],
        ksubset.at_most(1),
        TypeError,
        r"k must be an int or an integer array; got ksubset\.Between",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(target: Target, name: str) -> None:
    sizes, k, kind, message = BAD[name]
    sizes = sizes if name == "a list" else target.array(sizes)
    with pytest.raises(kind, match=message):
        survey.inclusion_probabilities(sizes, target.array(k) if isinstance(k, list) else k)


@pytest.mark.parametrize("bad", [[-1.0, 2, 3], [np.nan, 2, 3], [np.inf, 2, 3], [0.0, 0, 3]], ids=str)
def test_bad_rows_that_are_not_checked_are_nan_alone(target: Target, bad: list[float]) -> None:
    sizes = target.array([bad, [1.0, 2.0, 3.0]])
    found = target.to_numpy(survey.inclusion_probabilities(sizes, 2, validate=False))
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], [1 / 3, 2 / 3, 1], rtol=1e-6)


@pytest.mark.backends("jax", reason="torch.compile does not follow the cumulative sums of array-api-compat")
def test_compiled(target: Target, diff: Transforms) -> None:
    sizes, k = populations(20, 8)
    sizes, k = target.array(sizes), target.array(k)
    expected = target.to_numpy(survey.inclusion_probabilities(sizes, k))
    found = diff.compile(survey.inclusion_probabilities)(sizes, k)
    np.testing.assert_allclose(target.to_numpy(found), expected, rtol=1e-12)


@differentiable
def test_derivative(target: Target, diff: Transforms) -> None:
    """Of (k − m) x/T with the certain unit held fixed, against differences."""
    x = np.array([20.0, 4.0, 3.0, 2.0, 1.0])
    found = target.to_numpy(diff.jacrev(lambda y: survey.inclusion_probabilities(y, 3))(target.array(x)))
    steps = 1e-5 * np.eye(5)
    expected = (survey.inclusion_probabilities(x + steps, 3) - survey.inclusion_probabilities(x - steps, 3)) / 2e-5
    np.testing.assert_allclose(found, expected.T, atol=1e-9)
    assert (found[1:, 1:] != 0).all()
