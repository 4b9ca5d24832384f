"""Estimates over all samples of a design: their mean is the truth. Textbook formulas, batches, bad input."""

from dataclasses import FrozenInstanceError
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from conftest import Target
from oracle import Enumeration
from transforms import Transforms, differentiable

from ksubset import survey

VARIANCES = ("sen-yates-grundy", "horvitz-thompson")
INCOME = np.array([3.0, 9.0, 4.0, 20.0, 31.0, 50.0])
SIZES = np.array([1.0, 2.0, 2.0, 5.0, 9.0, 14.0])


class Population:
    """Every sample of three of six units, one of them certain, with its probability."""

    def __init__(self, target: Target) -> None:
        d = survey.design(survey.inclusion_probabilities(target.array(SIZES), 3))
        self.pi, self.joint = (
            target.to_numpy(x) for x in (d.mean, survey.joint_inclusion_probabilities(d.logits, d.k))
        )
        row = Enumeration(target.to_numpy(d.logits).astype(float), 3)
        self.p, self.drawn = row.probabilities, np.stack([np.flatnonzero(z) for z in row.subsets])
        self.estimated = [
            INCOME[self.drawn],
            self.pi[self.drawn],
            self.joint[self.drawn[:, :, None], self.drawn[:, None, :]],
        ]

    def estimate(self, target: Target, **options: Any) -> survey.Estimate:
        return survey.horvitz_thompson(*map(target.array, self.estimated), **options)


@pytest.mark.parametrize("variance", VARIANCES)
def test_unbiased(target: Target, variance: str) -> None:
    """The sum over all samples of p(s) times the estimate is the truth, for the total and for its variance."""
    population = Population(target)
    assert (population.pi == 1).sum() == 1
    found = population.estimate(target, variance=variance)
    totals, variances = (target.to_numpy(x).astype(float) for x in (found.total, found.variance))
    p, truth = population.p, INCOME.sum()
    np.testing.assert_allclose(p @ totals, truth, rtol=target.tolerance(1e-5, 1e-12))
    np.testing.assert_allclose(p @ variances, p @ (totals - truth) ** 2, rtol=target.tolerance(1e-3, 1e-10))
    assert (variances >= -1e-3).all() or variance == "horvitz-thompson"


def test_both_estimates_of_variance_differ(target: Target) -> None:
    population = Population(target)
    first, second = (target.to_numpy(population.estimate(target, variance=name).variance) for name in VARIANCES)
    assert (np.abs(first - second) > 1).all()


def test_any_design_of_fixed_size(target: Target) -> None:
    """Lohr, Sampling: Design and Analysis, chapter 6: two of four units, by a design that is not of largest entropy."""
    pairs = {(0, 1): 0.31, (0, 2): 0.20, (0, 3): 0.14, (1, 2): 0.03, (1, 3): 0.01, (2, 3): 0.31}
    joint, y = np.zeros((4, 4)), np.array([2.5, 2.0, 1.1, 0.5])
    for (i, j), p in pairs.items():
        joint[i, j] = joint[j, i] = p
    np.fill_diagonal(joint, joint.sum(axis=1))
    for variance in VARIANCES:
        mean = spread = expected = 0.0
        for units in combinations(range(4), 2):
            rows = np.array(units)
            arrays = (y[rows], np.diag(joint)[rows], joint[np.ix_(rows, rows)])
            found = survey.horvitz_thompson(*map(target.array, arrays), variance=variance)
            mean += pairs[units] * float(found.total)
            spread += pairs[units] * (float(found.total) - y.sum()) ** 2
            expected += pairs[units] * float(found.variance)
        assert mean == pytest.approx(y.sum(), rel=target.tolerance(1e-5, 1e-13))
        assert expected == pytest.approx(spread, rel=target.tolerance(1e-3, 1e-12))


@pytest.mark.parametrize("variance", VARIANCES)
def test_simple_random_samples(target: Target, variance: str) -> None:
    """Every textbook has N² (1 − n/N) s²/n, to which both estimates come down."""
    y, n, units = np.array([4.0, 1.0, 7.0, 2.0]), 4, 10
    joint = np.full((n, n), n * (n - 1) / (units * (units - 1)))
    np.fill_diagonal(joint, n / units)
    arrays = map(target.array, (y, np.full(n, n / units), joint))
    found = survey.horvitz_thompson(*arrays, population_size=units, variance=variance)
    expected = units**2 * (1 - n / units) * y.var(ddof=1) / n
    accuracy = target.tolerance(1e-5, 1e-13)
    assert float(found.total) == pytest.approx(35, rel=accuracy)
    assert float(found.mean) == pytest.approx(3.5, rel=accuracy)
    assert float(found.variance) == pytest.approx(expected, rel=accuracy)
    assert float(found.mean_variance) == pytest.approx(expected / units**2, rel=accuracy)


def test_the_mean_of_a_population_of_unknown_size(target: Target) -> None:
    """Its size is estimated, and its variance that of the total of (y − mean)/N, by linearisation."""
    population = Population(target)
    found = population.estimate(target)
    y, pi, joint = population.estimated
    size = (1 / pi).sum(axis=-1)
    mean = (y / pi).sum(axis=-1) / size
    np.testing.assert_allclose(target.to_numpy(found.mean), mean, rtol=target.tolerance(1e-5, 1e-13))
    residuals = [(y - mean[:, None]) / size[:, None], pi, joint]
    again = survey.horvitz_thompson(*map(target.array, residuals)).variance
    np.testing.assert_allclose(
        target.to_numpy(found.mean_variance), target.to_numpy(again), rtol=target.tolerance(1e-3, 1e-9)
    )


def test_the_mean_of_a_population_of_known_size(target: Target) -> None:
    found = Population(target).estimate(target, population_size=6)
    for one, other, scale in ((found.mean, found.total, 6), (found.mean_variance, found.variance, 36)):
        np.testing.assert_allclose(target.to_numpy(one) * scale, target.to_numpy(other), rtol=1e-5)


def test_everyone(target: Target) -> None:
    arrays = map(target.array, ([1.0, 2.0], [1.0, 1.0], np.ones((2, 2))))
    found = survey.horvitz_thompson(*arrays, population_size=2)
    assert [float(x) for x in (found.total, found.mean, found.variance)] == [3, 1.5, 0]


def test_without_joint_probabilities(target: Target) -> None:
    found = survey.horvitz_thompson(target.array([3, 5], "int32"), target.array([0.5, 0.25]), population_size=7)
    assert float(found.total) == 26
    assert float(found.mean) == pytest.approx(26 / 7, rel=1e-6)
    assert (found.variance, found.mean_variance) == (None, None)
    with pytest.raises(FrozenInstanceError):
        found.total = 0


def test_a_batch_shares_its_joint_probabilities(target: Target) -> None:
    y, pi = np.array([[1.0, 2.0, 4.0], [3.0, 0.0, 1.0]]), np.array([0.5, 0.6, 0.9])
    joint = np.outer(pi, pi) * 0.9
    np.fill_diagonal(joint, pi)
    together = survey.horvitz_thompson(*map(target.array, (y, pi, joint)))
    for i, row in enumerate(y):
        alone = survey.horvitz_thompson(*map(target.array, (row, pi, joint)))
        for name in ("total", "mean", "variance", "mean_variance"):
            found, expected = (target.to_numpy(getattr(x, name)) for x in (together, alone))
            np.testing.assert_allclose(found[i], expected, rtol=target.tolerance(1e-5, 1e-13))


@differentiable
def test_compiled(target: Target, diff: Transforms) -> None:
    population = Population(target)
    y, pi, joint = map(target.array, population.estimated)
    found = diff.compile(lambda *arrays: survey.horvitz_thompson(*arrays).variance)(y, pi, joint)
    expected = target.to_numpy(population.estimate(target).variance)
    np.testing.assert_allclose(target.to_numpy(found), expected, rtol=1e-9)


JOINT = [[0.5, 0.2], [0.2, 0.5]]
BAD: dict[str, tuple[list[Any], dict[str, Any], type[Exception], str]] = {
    "variance": (
        [[1.0], [0.5]],
        {"variance": "jackknife"},
        ValueError,
        "variance must be 'sen-.* or 'horvitz-.*'jackk",
    ),
    "y a number": ([1.0, [0.5]], {}, ValueError, r"y must have shape \(\.\.\., n\)"),
    "y bool": ([[True], [0.5]], {}, TypeError, "y must have a real floating dtype"),
    "y NaN": ([[[1.0, 2.0], [np.nan, 1.0]], [0.5, 0.5]], {}, ValueError, "y must not contain NaN; got NaN in row 1"),
    "π bool": ([[1.0], [True]], {}, TypeError, "probabilities must have a real floating dtype"),
    "π of another length": (
        [[1.0], [0.5, 0.5]],
        {},
        ValueError,
        r"probabilities must have shape \(\.\.\., 1\), like y",
    ),
    "π zero": ([[1.0, 2.0], [0.5, 0.0]], {}, ValueError, r"probabilities must be in \(0, 1\]; got 0\.0: give the"),
    "π NaN": ([[1.0, 2.0], [0.5, np.nan]], {}, ValueError, r"probabilities must be in \(0, 1\]; got nan"),
    "π above 1": ([[1.0, 2.0], [0.5, 1.5]], {}, ValueError, r"probabilities must be in \(0, 1\]; got 1\.5"),
    "joint bool": ([[1.0, 2.0], [0.5, 0.5], [[True] * 2] * 2], {}, TypeError, "joint must have a real floating dtype"),
    "joint of the population": (
        [[1.0, 2.0], [0.5, 0.5], np.full((3, 3), 0.1)],
        {},
        ValueError,
        r"joint must have shape \(\.\.\., 2, 2\), the pairs of y; got \(3, 3\): take its rows and columns",
    ),
    "joint of another batch": (
        [np.ones((2, 2)), np.full((2, 2), 0.5), np.full((3, 2, 2), 0.1)],
        {},
        ValueError,
        r"joint must broadcast with the shape \(2, 2, 2\)",
    ),
    "joint of other units": (
        [[1.0, 2.0], [0.5, 0.4], [[0.5, 0.1], [0.1, 0.5]]],
        {},
        ValueError,
        r"joint must have the probabilities on its diagonal, and does not for one of; got 0.4.*not by their labels",
    ),
    "joint zero": ([[1.0, 2.0], [0.5, 0.5], [[0.5, 0.0], [0.0, 0.5]]], {}, ValueError, r"joint must be in \(0, 1\]"),
    "one unit": ([[1.0], [0.5], [[0.5]]], {}, ValueError, "y must hold at least 2 units for a variance; got 1: leave"),
    "too small a population": (
        [[1.0, 2.0], [0.5, 0.5]],
        {"population_size": 1},
        ValueError,
        "population_size must be at least 2, the number of units drawn; got 1",
    ),
    "half a unit": ([[1.0], [0.5]], {"population_size": 2.5}, TypeError, "population_size must be an int; got float"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(target: Target, name: str) -> None:
    arrays, options, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        survey.horvitz_thompson(*map(target.array, arrays), **options)


def test_arrays_of_another_kind(target: Target) -> None:
    y, pi = target.array([1.0, 2.0]), target.array([0.5, 0.5])
    with pytest.raises(TypeError, match=r"y must be an array.*got list"):
        survey.horvitz_thompson([1.0, 2.0], pi)
    with pytest.raises(TypeError, match=r"probabilities must be an array.*got list"):
        survey.horvitz_thompson(y, [0.5, 0.5])
    with pytest.raises(TypeError, match=r"joint must be an array.*got list"):
        survey.horvitz_thompson(y, pi, JOINT)


BAD_UNITS = [(0, [np.nan, 1.0]), *((1, [pi, 0.5]) for pi in (0.0, -0.5, 1.5))]
BAD_PAIRS = [
    *((2, [[0.5, joint], [joint, 0.5]]) for joint in (0.0, -0.1, 1.5)),
    (2, [[0.50075, 0.2], [0.2, 0.5]]),
    (2, [[0.5, 0.1], [0.1, 0.4]]),
]


def check_alone(target: Target, good: list[Any], place: int, bad: Any, names: tuple[str, ...]) -> None:
    """One bad row of three is NaN, unchecked, and the others have the numbers that they have alone."""
    batch = [target.array([[bad if i == place else row, row, row]]) for i, row in enumerate(good)]
    found = survey.horvitz_thompson(*batch, validate=False)
    alone = survey.horvitz_thompson(*map(target.array, good))
    for name in names:
        together = target.to_numpy(getattr(found, name))
        assert np.isnan(together[0, 0])
        np.testing.assert_allclose(together[0, 1:], target.to_numpy(getattr(alone, name)), rtol=1e-5)


@pytest.mark.parametrize("bad", BAD_UNITS, ids=str)
def test_rows_that_are_not_checked_are_nan_alone(target: Target, bad: tuple[int, Any]) -> None:
    check_alone(target, [[1.0, 2.0], [0.5, 0.5]], *bad, ("total", "mean"))


@pytest.mark.parametrize("bad", BAD_UNITS + BAD_PAIRS, ids=str)
def test_rows_of_pairs_that_are_not_checked_are_nan_alone(target: Target, bad: tuple[int, Any]) -> None:
    check_alone(target, [[1.0, 2.0], [0.5, 0.5], JOINT], *bad, ("total", "mean", "variance", "mean_variance"))
