"""The nodes of the contour: its two errors set their number, and they are where they are said to be."""

from dataclasses import replace
from math import ceil, cos, inf, log, pi, sqrt

import mpmath
import numpy as np
import pytest
from ops_variants import python_scan
from scipy import stats

from ksubset._engine.direct import Direct
from ksubset._engine.elementary import turn
from ksubset._engine.items import items, totals
from ksubset._engine.nodes import LEAST, LOG_ERROR, Nodes, at_each, node_bound, place, total_of_each
from ksubset._engine.ops import Ops
from ksubset.backends.array_api import NUMPY

REACHES = [0.25, 1.25, 2.25]
"""Standard deviations between the mean and the counts that are asked about."""

UNREAD = replace(NUMPY, eager_on_cpu=False)
both = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def error_of(dtype: type) -> float:
    return LOG_ERROR[np.finfo(dtype).bits]


def grid(dtype: type, least: float = 0.5) -> np.ndarray:
    """Variances, the more densely the smaller they are."""
    return np.concatenate([np.linspace(least, 60, 20_001), np.geomspace(60, 1e6, 2001)]).astype(dtype)


def expected_size(variance: float, deviations: float, error: float) -> int:
    """How many of the half-offset nodes of the rule's period are in (0, π) and not negligible."""
    period = 2 * ceil((sqrt(2 * error * variance) + error / 3 + deviations * sqrt(variance)) / 2)
    angles = (2 * pi * (j + 0.5) / period for j in range(period // 2))
    return sum(variance * (1 - cos(angle)) <= error for angle in angles)


@both
@pytest.mark.parametrize("deviations", REACHES)
def test_the_bound_is_the_largest_number_of_nodes(dtype: type, deviations: float) -> None:
    error, variances = error_of(dtype), np.concatenate([np.linspace(LEAST, 40, 4000), np.geomspace(40, 1e4, 200)])
    sizes = np.array([expected_size(v, deviations, error) for v in variances])
    assert node_bound(error, inf, deviations) == sizes.max()
    for most in (0.0, LEAST, 0.5, 1.0, 3.0, 7.7, 12.0, 18.5, 25.0, 1e3):
        bound, needed = node_bound(error, most, deviations), sizes[variances <= max(most, LEAST)].max()
        assert needed <= bound <= needed + 1


@both
@pytest.mark.parametrize("deviations", REACHES)
def test_rows_use_what_they_need(dtype: type, deviations: float) -> None:
    """Together, where the array is as long as the longest row asks for; and where values decide nothing."""
    variance, error = grid(dtype), error_of(dtype)
    reach = (deviations * np.sqrt(variance)).astype(dtype)
    together = place(NUMPY, variance, reach, (1e9, deviations))
    blind = place(UNREAD, variance, reach, (1e9, deviations))
    assert together.used.shape[0] == together.used.sum(axis=0).max()
    assert blind.used.shape[0] == node_bound(error, 1e9, deviations)
    for nodes in (together, blind):
        assert (np.diff(nodes.used, axis=0) <= 0).all()  # the first of each row
        assert (nodes.turns[nodes.used == 1] < 0.5).all()
        assert (nodes.half_cosine[nodes.used == 1] > 0).all()
    size = together.used.shape[0]
    assert (together.used == blind.used[:size]).all()
    assert not blind.used[size:].any()
    sizes = [expected_size(float(v), deviations, error) for v in variance[::40]]
    assert np.abs(together.used.sum(axis=0)[::40] - sizes).max() <= 1  # a node that is on the edge to rounding
    assert (together.used.sum(axis=0)[::40] == sizes).mean() > 0.99


@both
def test_rows_of_hardly_any_variance_have_the_nodes_of_some(dtype: type) -> None:
    variance = np.array([0.0, 1e-20, 0.1, LEAST, np.nan], dtype)
    nodes = place(NUMPY, variance, np.array([0.0, -1.0, 0.0, 0.0, np.nan], dtype), (1.0, 0.25))
    for name in ("turns", "half_sine", "half_cosine", "used", "period"):
        value = getattr(nodes, name)
        assert (value == value[..., :1]).all()
        assert value.dtype == dtype
    assert place(NUMPY, variance[:0], variance[:0], (1.0, 0.25)).used.shape == (1, 0)


@both
@pytest.mark.parametrize("deviations", REACHES)
def test_aliases_of_poisson_rows(dtype: type, deviations: float) -> None:
    """Their tails are the longest: what is N away is below e^−L of what may be there, and with N − 2 it is not."""
    error, worst, less = error_of(dtype), -inf, -inf
    for variance in np.concatenate([np.arange(0.5, 30, 0.05), np.geomspace(30, 1e4, 40)]):
        reach = deviations * sqrt(variance)
        period = float(place(NUMPY, *np.array([[variance], [reach]], dtype), (1e9, deviations)).period[0])
        law = stats.poisson(variance)
        counts = np.arange(ceil(variance - reach), int(variance + reach) + 1)
        most, counts = law.logpmf(int(variance)), counts[counts >= 0]
        if not counts.size:
            continue
        worst, less = (
            max(old, np.logaddexp(law.logpmf(counts + n), law.logpmf(counts - n)).max() - most)
            for old, n in ((worst, period), (less, period - 2))
        )
    assert worst <= -error < less


@both
def test_nodes_that_are_left_out_are_negligible(dtype: type) -> None:
    """Beside the sum of all, |F| being e^−V(1 − cos φ) for rare items; the last that are used are not."""
    variance, error = grid(dtype)[::20].astype(float), error_of(dtype)
    nodes = place(NUMPY, *np.stack([variance, 0.25 * np.sqrt(variance)]).astype(dtype), (1e9, 0.25))
    used, period = nodes.used.sum(axis=0).astype(int), nodes.period.astype(int)
    last = []
    for v, kept, size in zip(variance, used, period, strict=True):
        sizes = np.exp(-v * (1 - np.cos(2 * pi * (np.arange(size // 2) + 0.5) / size)))
        assert sizes[kept:].sum() <= np.exp(-error) * sizes.sum()
        last.append(log(sizes[kept - 1] / sizes.sum()))
    assert min(last) < -error / 2
    assert np.median(last) > -error - 2


@both
def test_the_error_is_below_rounding(dtype: type) -> None:
    assert np.exp(-error_of(dtype)) < np.finfo(dtype).eps / 7 < 3 * np.exp(-error_of(dtype))


def poisson_row(variance: float, dtype: type) -> np.ndarray:
    """The log-odds of 4000 rare items, (n, 1)."""
    p = variance / 4000
    return np.full((4000, 1), log(p / (1 - p)), dtype)


def chance(t: np.ndarray, k: int, changed: int = 0, without: int = 0) -> float:
    """P(S = k) from the rule's nodes, from the nodes of a longer period, or without some of the last."""
    x = items(NUMPY, t)
    sums = totals(NUMPY, x, k)
    found = place(NUMPY, sums.variance, sums.reach, (1e9, 0.25))
    period, size = found.period + changed, int(found.used.sum()) - without
    if changed:
        size = int(period[0]) // 2
    middle = (np.arange(size, dtype=t.dtype) + 0.5)[:, None]
    sides = np.sin(middle * pi / period), np.sin((period / 2 - middle) * pi / period)
    nodes = Nodes(middle / period, *sides, np.ones_like(middle), period)
    form = Direct(NUMPY, x, sums, nodes)
    return float((2 * np.real(form.characteristic() * nodes.turn(NUMPY, form.offset)).sum(axis=0) / period)[0])


@both
@pytest.mark.parametrize("k", [1, 2, 4])
def test_what_shows_and_what_does_not(dtype: type, k: int) -> None:
    """More nodes change nothing, one less does, and so does a period that is shorter by a few."""
    t, eps = poisson_row(k, dtype), float(np.finfo(dtype).eps)
    p = float(items(NUMPY, t.astype(float)).p[0, 0])
    exact = stats.binom(4000, p).pmf(k)
    assert abs(chance(t, k) / exact - 1) < 10 * eps
    assert abs(chance(t, k, changed=2) / chance(t, k) - 1) < 5 * eps
    assert abs(chance(t, k, without=1) / exact - 1) > 100 * eps
    assert abs(chance(t, k, changed=-8) / exact - 1) > 50 * eps


@both
@pytest.mark.parametrize("ops", [NUMPY, UNREAD], ids=["by functions", "by polynomials"])
def test_both_halves_of_the_angle_to_the_last_bit(dtype: type, ops: Ops) -> None:
    """Near π, where a cosine of the angle would keep what rounding left of it, and near 0."""
    variance = np.array([0.5, 3.0, 9.0, 19.0, 1e4], dtype)
    nodes = place(ops, variance, np.zeros(5, dtype), (1e9, 0.25))
    for j, row in np.argwhere(nodes.used == 1):
        with mpmath.workdps(30):
            angle = 2 * mpmath.pi * (int(j) + mpmath.mpf(0.5)) / int(nodes.period[row])
            exact = (
                mpmath.sin(angle / 2),
                mpmath.cos(angle / 2),
                mpmath.cos(angle) - 1,
                mpmath.sin(angle),
                angle / (2 * mpmath.pi),
            )
            found = (x[j, row] for x in (nodes.half_sine, nodes.half_cosine, nodes.fall, nodes.sine, nodes.turns))
            errors = [abs(float(mpmath.mpf(float(x)) / true - 1)) for x, true in zip(found, exact, strict=True)]
        assert max(errors) < 4 * np.finfo(dtype).eps
    assert (nodes.half_cosine[nodes.used == 1]).min() < 0.07


@both
def test_turns(dtype: type, rng: np.random.Generator) -> None:
    """Also by polynomials, in all quarters, at their ends, and after many turns."""
    nodes = place(NUMPY, np.array([2.0, 5.0]), np.zeros(2), (9.0, 0.25))
    np.testing.assert_allclose(nodes.turn(NUMPY, np.array([3.0, -1.5])), np.exp(2j * pi * nodes.turns * [3.0, -1.5]))
    x = np.concatenate([np.arange(-64, 65) / 16, rng.uniform(-1, 1, 10_000), rng.uniform(-99, 99, 1000)]).astype(dtype)
    wide = 2 * np.longdouble(np.pi) * (x - np.rint(x)).astype(np.longdouble)
    for found, exact in zip(turn(UNREAD, x), (np.cos(wide), np.sin(wide)), strict=True):
        np.testing.assert_allclose(found, exact, rtol=0, atol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("ops", [NUMPY, replace(NUMPY, scan=python_scan(np))], ids=["one by one", "a loop"])
def test_functions_of_a_node(ops: Ops, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 5, 3))
    square, sums = at_each(ops, lambda a, b: (a * a, a + b), (x, y))
    np.testing.assert_array_equal(square, x * x)
    np.testing.assert_array_equal(sums, x + y)
    total = total_of_each(ops, lambda a, b: (a * b, a - b), (x, y), (np.ones(3), np.zeros(3)))
    np.testing.assert_allclose(total, [1 + (x * y).sum(axis=0), (x - y).sum(axis=0)])
