"""Logits from marginals: there and back, by enumeration and on hard rows; bad rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Target
from inverse_cases import centred, enumerated, hard
from ops_variants import own
from oracle import recursion

import ksubset
from ksubset._law import inverse_map
from ksubset._law.fixed_size import FixedSize

EAGER = pytest.mark.backends("numpy", "strict", "torch")
"""JAX compiles the same array code anew for every length and k, which takes seconds."""


def test_enumeration(target: Target) -> None:
    check_enumeration(target, 7)


@EAGER
@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_enumeration_of_other_lengths(target: Target, n: int) -> None:
    check_enumeration(target, n)


def check_enumeration(target: Target, n: int) -> None:
    """Every k, with infinite logits in all numbers, as one batch with a k for each row."""
    rows = enumerated(n)
    mu, k = target.array(rows.mu), target.array(rows.k)
    theta = ksubset.logits_from_marginals(mu, k)
    found, ends = target.to_numpy(theta), np.isinf(rows.logits)
    np.testing.assert_array_equal(found[ends], rows.logits[ends])
    np.testing.assert_allclose(found[~ends], rows.logits[~ends], atol=target.tolerance(1e-4, 1e-12))
    np.testing.assert_allclose(np.where(ends, 0, found).sum(axis=-1), 0, atol=target.tolerance(1e-5, 1e-14))
    again = target.to_numpy(ksubset.marginals(theta, k))
    np.testing.assert_allclose(again, rows.mu, atol=target.tolerance(1e-6, 1e-14), rtol=target.tolerance(1e-4, 1e-12))


@pytest.mark.parametrize(("dtype", "absolute", "unit"), [("float64", 1e-12, 2.2e-16), ("float32", 2e-5, 1.2e-7)])
def test_hard_rows(target: Target, dtype: str, absolute: float, unit: float) -> None:
    """Marginals of the logits found, in extended precision; relative as far as rounding μ leaves it determined."""
    target.require(dtype)
    rows = hard(40)
    mu = target.array(rows.mu, dtype)
    found = target.to_numpy(ksubset.logits_from_marginals(mu, target.array(rows.k))).astype(float)
    given = target.to_numpy(mu).astype(float)
    for theta, wanted, k in zip(found, given, rows.k, strict=True):
        again = exact_marginals(theta, int(k))
        np.testing.assert_allclose(again.astype(float), wanted, rtol=0, atol=absolute)
        spread = (wanted * (1 - wanted)).sum()
        small = (wanted < 0.5) & (wanted > 1e-30)
        error = np.abs(again[small] / wanted[small] - 1)
        assert (error <= unit * (400 + 100 / max(spread, 1e-300))).all()


def exact_marginals(theta: np.ndarray, k: int) -> np.ndarray:
    """In extended precision, infinite logits included."""
    finite = np.isfinite(theta)
    mu = (theta == np.inf).astype(np.longdouble)
    if finite.any():
        mu[finite] = recursion(theta[finite], k - int(mu.sum())).chosen
    return mu


@EAGER
@pytest.mark.parametrize("n", [2, 3, 5, 100])
def test_hard_rows_of_other_lengths(target: Target, n: int) -> None:
    rows = hard(n)
    k = target.array(rows.k)
    theta = ksubset.logits_from_marginals(target.array(rows.mu), k)
    again = target.to_numpy(ksubset.marginals(theta, k))
    np.testing.assert_allclose(again, rows.mu, rtol=0, atol=target.tolerance(2e-5, 1e-12))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As long as the number of steps."""
    calls, gap = [], inverse_map._gap
    monkeypatch.setattr(inverse_map, "_gap", lambda *given: calls.append(1) or gap(*given))
    return calls


@pytest.mark.backends("numpy")
@pytest.mark.parametrize(
    ("n", "k", "steps"), [(50, 1, 5), (50, 20, 4), (500, 200, 3), (5000, 50, 3), (20_000, 6000, 2)]
)
def test_steps_of_ordinary_rows(target: Target, calls: list[int], n: int, k: int, steps: int) -> None:
    theta = 0.3 * np.random.default_rng(0).normal(size=n)
    found = ksubset.logits_from_marginals(ksubset.marginals(theta, k), k)
    np.testing.assert_allclose(found, theta - theta.mean(), rtol=0, atol=1e-12)
    assert len(calls) <= steps


@pytest.mark.backends("numpy")
@pytest.mark.parametrize("n", [2, 4, 10, 100])
def test_few_steps_are_enough(target: Target, calls: list[int], n: int) -> None:
    for mu, k in zip((rows := hard(n)).mu, rows.k, strict=True):
        calls.clear()
        ksubset.logits_from_marginals(mu, int(k))
        assert len(calls) <= 20


@EAGER
def test_a_search_cut_short_is_nan_in_its_row_alone(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverse_map, "STEPS", 2)
    mu = target.array([[0.5, 0.25, 0.25], [0.9, 0.09, 0.01], [1.0, 0.0, 0.0]])
    found = target.to_numpy(ksubset.logits_from_marginals(target.array(np.full((1, 3), 1 / 3)), 1))
    np.testing.assert_allclose(found, 0, atol=1e-6)
    found = target.to_numpy(ksubset.logits_from_marginals(mu, 1))
    assert np.isnan(found[:2]).all()
    np.testing.assert_array_equal(found[2], [np.inf, -np.inf, -np.inf])


@EAGER
@pytest.mark.parametrize("row", [[1.0, 1e-25, 1e-30], [1.0, 1.0, 1e-25], [1 - 1e-7, 1e-7, 1e-30]], ids=str)
def test_items_that_rounding_leaves_no_choice(target: Target, row: list[float]) -> None:
    k = round(sum(row))
    theta = ksubset.logits_from_marginals(target.array(row), k)
    again = target.to_numpy(ksubset.marginals(theta, k))
    free = target.to_numpy(theta)[[x < 1 for x in row]]
    assert np.isfinite(free).all()
    assert abs(free.sum()) < 1e-4
    np.testing.assert_allclose(again, row, rtol=0, atol=target.tolerance(1e-6, 1e-15))


@pytest.mark.backends("numpy")
def test_a_long_row_that_rounding_leaves_no_choice(target: Target) -> None:
    """More than rounding of the sum, and more than the absolute error of marginals in a row of this length."""
    mu = np.concatenate([np.ones(600), np.zeros(16_400), [6e-11, 1e-11]])
    theta = ksubset.logits_from_marginals(mu, 600)
    assert np.isfinite(theta[-2:]).all()
    np.testing.assert_allclose(ksubset.marginals(theta, 600), mu, rtol=0, atol=1e-10)


def test_rare_items_beside_a_likely_one(target: Target) -> None:
    """1 − μ of the likely item has lost digits, which the sum of the others restores."""
    double = target.dtypes[-1] == "float64"
    theta = centred(np.array([24.0 if double else 9.0, 0.0, 1.0, -2.0, 0.5]))
    mu = recursion(theta, 1).chosen.astype(target.dtypes[-1])
    found = target.to_numpy(ksubset.logits_from_marginals(target.array(mu), 1))
    np.testing.assert_allclose(found, theta, rtol=0, atol=1e-12 if double else 3e-5)


@EAGER
def test_rare_items_beside_many_likely_ones(target: Target) -> None:
    """These are all rounded up: the sum is off by many roundings, and rare items tell by how much."""
    target.require("float64")
    likely = np.arange(400) < 200
    theta = np.where(likely, 16.8, -16.8) + 0.3 * np.random.default_rng(0).normal(size=400)
    mu = recursion(theta, 200).chosen.astype(float)
    mu = np.where(likely, np.nextafter(mu, 2), mu)
    found = target.to_numpy(ksubset.logits_from_marginals(target.array(mu), 200))
    again = exact_marginals(found, 200).astype(float)
    np.testing.assert_allclose(again[~likely], mu[~likely], rtol=1e-9)


@EAGER
def test_likely_items_beside_some_that_are_neither(target: Target) -> None:
    """What rounding up took from 1 − μ of all likely items, the sum gives back."""
    target.require("float64")
    likely = np.arange(203) < 200
    theta = np.where(likely, 24 + 0.3 * np.random.default_rng(0).normal(size=203), 0.0)
    mu, rest = recursion(theta, 201).chosen.astype(float), recursion(-theta, 2).chosen[likely]
    mu = np.where(likely, np.nextafter(mu, 2), mu)
    found = target.to_numpy(ksubset.logits_from_marginals(target.array(mu), 201))
    again = exact_marginals(-found, 2)[likely]
    assert abs((again / rest - 1).mean()) < 5e-7


def test_tolerance_of_the_sum(target: Target) -> None:
    """Of the dtype's own rounding, and of rounding to float32 or to six digits; what the sum misses is made up."""
    unit = float(np.finfo(target.dtypes[-1]).eps)
    for error, right in ((16 * 4 * unit, True), (1e-12, True), (-6e-6, True), (2e-5, False)):
        mu = [0.5 + error, 0.25, 0.125, 0.125]
        found = ksubset.logits_from_marginals(target.array(mu), 1, validate=False)
        assert np.isfinite(target.to_numpy(found)).all() == right
        if right:
            again = target.to_numpy(ksubset.marginals(ksubset.logits_from_marginals(target.array(mu), 1), 1))
            np.testing.assert_allclose(again, mu, rtol=0, atol=abs(error) + target.tolerance(2e-5, 1e-12))


@EAGER
def test_marginals_that_were_once_single_or_printed(target: Target) -> None:
    target.require("float64")
    mu = np.random.default_rng(0).dirichlet(np.ones(200), size=20)
    for given in (mu.astype(np.float32).astype(float), np.round(mu, 6)):
        assert np.abs(given.sum(axis=-1) - 1).max() > 32 * 200 * np.finfo(float).eps
        again = ksubset.marginals(ksubset.logits_from_marginals(target.array(given), 1), 1)
        np.testing.assert_allclose(target.to_numpy(again), given, rtol=0, atol=3e-6)


@EAGER
def test_a_missing_part_of_the_sum_leaves_likely_items_alone(target: Target) -> None:
    """All items make up for it, in proportion; nothing says that it was lost by those near 1."""
    target.require("float64")
    mu = np.array([1 - 1e-7, 0.5 + 2e-6, 0.25, 0.25])
    again = target.to_numpy(ksubset.marginals(ksubset.logits_from_marginals(target.array(mu), 2), 2))
    np.testing.assert_allclose(1 - again[0], 1e-7, rtol=1e-4)


def test_rescaling(target: Target) -> None:
    """Odds times one number for each row; 0 and 1 stay, and rows in which nothing can be done are NaN, or errors."""
    mu = np.array([[0.5, 0.4, 0.2, 0.7], [1.0, 0.0, 0.9, 0.2], [1e-3, 1e-2, 0.5, 0.5], [0.0, 1.0, 1.0, 0.0]])
    k = np.array([1, 2, 3, 2])
    theta = ksubset.logits_from_marginals(target.array(mu), target.array(k), rescale=True)
    again, left = (
        target.to_numpy(ksubset.marginals(x, target.array(size))).astype(float)
        for x, size in ((theta, k), (-theta, 4 - k))
    )
    np.testing.assert_allclose(again.sum(axis=-1), k, atol=target.tolerance(1e-5, 1e-12))
    np.testing.assert_array_equal(again[mu % 1 == 0], mu[mu % 1 == 0])
    for found, rest, given in zip(again[:3], left[:3], mu[:3], strict=True):
        free = (given > 0) & (given < 1)
        odds = found[free] / rest[free] / (given[free] / (1 - given[free]))
        np.testing.assert_allclose(odds, odds[0], rtol=target.tolerance(1e-3, 1e-10))
    found = ksubset.logits_from_marginals(target.array(mu), target.array([2, 1, 4, 1]), rescale=True, validate=False)
    assert np.isfinite(target.to_numpy(found[0, :])).all()
    assert np.isnan(target.to_numpy(found[1:, :])).all()


@EAGER
def test_rescaling_in_batches_of_any_rank(target: Target, rng: np.random.Generator) -> None:
    mu, k = rng.uniform(0.05, 0.95, (2, 3, 5)), np.array([[1, 2, 3], [4, 2, 1]])
    theta = ksubset.logits_from_marginals(target.array(mu), target.array(k), rescale=True)
    for row in np.ndindex(2, 3):
        alone = ksubset.logits_from_marginals(target.array(mu[row]), int(k[row]), rescale=True)
        np.testing.assert_allclose(
            target.to_numpy(theta)[row], target.to_numpy(alone), atol=target.tolerance(1e-5, 1e-12)
        )


@pytest.mark.parametrize("k", [1, 2, 3])
def test_rescaling_equal_marginals(target: Target, k: int) -> None:
    """By one number alone, which needs no search."""
    found = ksubset.logits_from_marginals(target.array(np.full(4, 0.3)), k, rescale=True)
    np.testing.assert_allclose(target.to_numpy(found), 0, atol=target.tolerance(1e-5, 1e-13))


def test_rescaling_cannot_make_marginals_0_or_1(target: Target) -> None:
    """However close they are to what they would have to be."""
    mu, k = target.array([[1.0, 1e-20, 0.0], [0.5, 0.25, 0.0], [1.0, 0.0, 0.0]]), target.array([1, 0, 1])
    found = target.to_numpy(ksubset.logits_from_marginals(mu, k, rescale=True, validate=False))
    assert np.isnan(found[:2]).all()
    np.testing.assert_array_equal(found[2], [np.inf, -np.inf, -np.inf])


def test_marginals_of_half_precision(target: Target) -> None:
    target.require("float16")
    mu = target.array([0.1, 0.3, 0.7, 0.9], "float16")
    theta = ksubset.logits_from_marginals(mu, 2)
    assert theta.dtype == target.xp.float16
    np.testing.assert_allclose(ksubset.marginals(theta, 2), mu, atol=2e-3)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
def test_empty(target: Target, shape: tuple[int, ...]) -> None:
    for rescale in (False, True):
        assert ksubset.logits_from_marginals(target.array(np.zeros(shape)), 0, rescale=rescale).shape == shape


BAD: dict[str, tuple[Callable[[Target], Any], type[Exception], str]] = {
    "a list": (lambda t: ([0.5, 0.5], 1), TypeError, "mu must be an array.*got list"),
    "integers": (lambda t: (t.array([1, 0]), 1), TypeError, "mu must have a real floating dtype; got .*int64"),
    "no axis": (lambda t: (t.array(1.0), 1), ValueError, r"mu must have shape \(\.\.\., n\)"),
    "k > n": (lambda t: (t.array([0.5, 0.5]), 3), ValueError, r"k must be in \[0, 2\].*got 3"),
    "k of another shape": (
        lambda t: (t.array([[0.5, 0.5]]), t.array([1, 1])),
        ValueError,
        r"k must broadcast to the shape \(1,\) of mu; got \(2,\)",
    ),
    "NaN": (lambda t: (t.array([[0.5, 0.5], [np.nan, 0.5]]), 1), ValueError, "mu must not contain NaN.*in row 1"),
    "negative": (lambda t: (t.array([-0.25, 0.5, 0.75]), 1), ValueError, r"mu must be in \[0, 1\]; got -0.25"),
    "above 1": (lambda t: (t.array([[1.5, -0.5], [1.0, 0.0]]), 1), ValueError, r"in \[0, 1\]; got -0.5 in row 0"),
    "above 1 beside 0": (lambda t: (t.array([0.0, 0.5, 1.5]), 2), ValueError, r"in \[0, 1\]; got 1.5"),
    "another sum": (
        lambda t: (t.array([[0.5, 0.5], [0.5, 0.75]]), 1),
        ValueError,
        r"mu must sum to k to within .*e-.*; got k \+0.25 in row 1: rescale=True multiplies",
    ),
    "another k": (lambda t: (t.array([0.5, 0.5]), 2), ValueError, "mu must sum to k to within .*; got k -1"),
    "k < 0 in an array": (
        lambda t: (t.array([[0.5, 0.5]]), t.array([-1])),
        ValueError,
        r"k must be in \[0, 2\]; got -1 in row 0",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(target: Target, name: str) -> None:
    arguments, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        ksubset.logits_from_marginals(*arguments(target), validate=True)


@pytest.mark.backends("numpy", "strict", "torch", "jax")
def test_values_are_checked_by_default_on_eager_cpu_arrays(target: Target) -> None:
    with pytest.raises(ValueError, match="mu must sum to k"):
        ksubset.logits_from_marginals(target.array([0.5, 0.6]), 1)
    mu = target.array([[0.5, 0.6, 0.0], [1.0, 0.6, 0.0]])
    with pytest.raises(
        ValueError, match=r"fewer than k entries of 1 and more than k above 0, .*; got 1 and 2 in row 1"
    ):
        ksubset.logits_from_marginals(mu, 1, rescale=True)
    with pytest.raises(ValueError, match=r"fewer than k entries of 1 and more than k above 0, .*; got 1 and 2"):
        ksubset.logits_from_marginals(target.array([1.0, 0.5, 0.0]), 2, rescale=True)


@pytest.mark.backends("numpy")
def test_unchecked_sums_overflow_in_silence(target: Target) -> None:
    mu = target.array([[1e308, 1e308, -1e308, 0.0], [0.5] * 4])
    theta = target.to_numpy(ksubset.logits_from_marginals(mu, 2, validate=False))
    assert np.isnan(theta[0]).all()
    np.testing.assert_allclose(theta[1], 0, atol=1e-12)


def test_unchecked_bad_rows_give_nan_in_that_row_alone(target: Target) -> None:
    bad = [[0.5, np.nan, 0.5], [-0.5, 0.5, 1.0], [1.5, -0.25, -0.25], [0.5, 0.5, 0.5], [1.0, 1.0, 0.0], [np.inf, 0, 0]]
    mu = np.concatenate([[[0.5, 0.25, 0.25]], bad, [[1.0, 0.0, 0.0]]])
    found = target.to_numpy(ksubset.logits_from_marginals(target.array(mu), 1, validate=False))
    assert np.isnan(found[1:-1]).all()
    np.testing.assert_allclose(found[0], np.log(mu[0]) - np.log(mu[0]).mean(), atol=target.tolerance(1e-5, 1e-14))
    np.testing.assert_array_equal(found[-1], [np.inf, -np.inf, -np.inf])


@EAGER
def test_a_row_settles_close_to_its_target(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, or where it stops falling; neither while it is far off nor while it falls."""
    eps, zero, mu = (
        float(np.finfo(target.dtypes[-1]).eps),
        target.array(np.zeros((1, 3))),
        target.array([[0.4, 0.3, 0.3]]),
    )
    ops = own(target)
    wanted = inverse_map._target(ops, mu, 1)
    for gap, before, expected in (
        (0.1, 0.0, False),
        (1000 * eps, 1000 * eps, True),
        (1000 * eps, 4000 * eps, False),
        (1000 * eps, np.inf, False),
        (0.0, np.inf, True),
        (np.nan, 1.0, True),
    ):
        change, size = target.array([[gap, 0.0, -0.5 * gap]]), target.array([before])
        monkeypatch.setattr(inverse_map, "_gap", lambda *_, change=change: change)
        found = inverse_map._step(ops, FixedSize(1, 1), wanted, (zero, zero, zero, size, size, target.array([False])))
        assert bool(found[-1][0]) == expected


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 500, 50_000, 99_999])
@pytest.mark.parametrize("family", ["sizes", "normal", "saturated"])
def test_a_long_row(target: Target, family: str, k: int) -> None:
    n, rng = 100_000, np.random.default_rng(k)
    if family == "sizes":
        logits = np.log(rng.pareto(1.2, n))
    else:
        logits = rng.normal(size=n) * 3 if family == "normal" else np.where(np.arange(n) < k, 9.0, -9.0)
    mu = ksubset.marginals(target.array(logits), k)
    again = ksubset.marginals(ksubset.logits_from_marginals(mu, k), k)
    given = target.to_numpy(mu)
    certain = given == 1  # in float32, of items that are chosen but for 1e-8
    error = np.abs(target.to_numpy(again) - (certain if certain.sum() == k else given))
    assert error.max() <= target.tolerance(2e-5, 1e-12)
