"""The tilt settles: |Σp − k| within a quarter of a standard deviation, for every family and within its steps."""

import math
from dataclasses import replace

import numpy as np
import pytest
from oracle import families
from scipy.optimize import brentq
from scipy.special import expit

from ksubset._engine.ops import Array, Ops, State, Step
from ksubset._engine.tilt import NARROW, NEAR, STEPS, Tilt, _step, tilt
from ksubset.backends.array_api import NUMPY

nan, inf = np.nan, np.inf
RANKED = replace(NUMPY, sweeps=False)
"""Begins between order statistics whatever the logits are."""


def excess(ops: Ops, logits: np.ndarray, k: int) -> np.ndarray:
    """|Σp − k| of rows (rows, n) in standard deviations, or in fifths of an item where hardly anything is random."""
    t = tilt(ops, logits.T, k).apply(logits.T).astype(np.float64)
    p, q = expit(t), expit(-t)
    gap = np.where(t > 0, -q, p).sum(axis=0) + (t > 0).sum(axis=0) - k
    return np.abs(gap) / np.maximum(np.sqrt((p * q).sum(axis=0)), 0.2)


def hard(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return families(n, rng) | {"exponential": rng.exponential(size=n) * 50, "two": np.arange(n) % 2 * 1e4}


def sizes(n: int) -> list[int]:
    return sorted({1, n // 100 + 1, n // 3 + 1, n // 2, n - 1})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 3, 10, 100, 2000, 50_000])
def test_settles(n: int, dtype: type, rng: np.random.Generator) -> None:
    """Together they begin between order statistics; alone, most between the ends of their range."""
    logits = np.stack(list(hard(n, rng).values())).astype(dtype)
    for k in sizes(n):
        assert (excess(NUMPY, logits, k) <= 0.26).all()
        assert all(excess(NUMPY, row[None], k) <= 0.26 for row in logits)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "most"), [(2, 1), (3, 2), (10, 2), (100, 3), (2000, 5)])
def test_newton_steps_are_few(n: int, most: int, dtype: type, rng: np.random.Generator) -> None:
    """Bisection alone would settle too, in more; and a wrong step is put right by it, so that results do not tell."""
    rows, ks = np.stack(list(families(n, rng).values())).astype(dtype), sorted({1, n // 100 + 1, n // 3 + 1, n // 2})
    ranked, ends = ([steps(ops, row, k) for row in rows for k in ks] for ops in (RANKED, NUMPY))
    assert max(ranked) <= most
    assert max(ends) <= 5
    assert np.mean(ends) < 2.6


def test_rows_of_every_kind_settle(rng: np.random.Generator) -> None:
    """Well within the steps that are allowed: clusters, tails and gaps of any size."""
    for _ in range(1000):
        n, centres = int(rng.integers(2, 300)), rng.normal(size=3) * 10 ** rng.uniform(0, 2)
        rows = rng.choice(centres, n), rng.standard_cauchy(n) * 10, -rng.exponential(size=n) * 30, rng.random(n) ** 9
        for row in rows:
            assert steps(NUMPY, row, int(rng.integers(1, n))) <= 10 < STEPS


def steps(ops: Ops, row: np.ndarray, k: int) -> int:
    """How many steps settle a row (n,)."""
    taken = [0]

    def count(step: Step, state: State, limit: int) -> State:
        while not state[-1].all():
            state, taken[0] = step(state), taken[0] + 1
        return state

    tilt(replace(ops, repeat=count), row[:, None], k)
    return taken[0]


def first_bracket(ops: Ops, logits: np.ndarray, k: int) -> tuple[float, float, float]:
    """Where the search begins, and where λ − start must be, of a row (n,)."""
    seen: list[tuple[float, float, float]] = []

    def look(step: Step, state: State, limit: int) -> State:
        seen.append(tuple(float(x[0]) for x in state[:3]))
        return NUMPY.repeat(step, state, limit)

    tilt(replace(ops, repeat=look), logits[:, None], k)
    return seen[0]


@pytest.mark.parametrize("ratio", [1e-9, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 5, 50, 99])
def test_the_bracket_holds_the_root(k: int, ratio: float) -> None:
    """λ − start is largest where all items beside the gap are at its edges, e^−gap = ``ratio``, and there is none."""
    gap = np.repeat([0.0, math.log(ratio)], [k, 100 - k])
    for ops in (NUMPY, RANKED):
        guess, low, high = first_bracket(ops, gap, k)
        start = float(tilt(ops, gap[:, None], k).start[0])
        root = brentq(lambda shift, start=start: expit(gap + start + shift).sum() - k, -30, 30)
        assert low + NEAR < root < high - NEAR
        assert low < guess < high


@pytest.mark.parametrize("k", [1, 30, 99])
@pytest.mark.parametrize("end", [0, 99])
def test_the_bracket_between_the_ends_holds_the_root(k: int, end: int) -> None:
    """λ is farthest from the middle of the range where all items but one are at one of its ends."""
    logits = np.where(np.arange(100) == end, NARROW - 1, 0.0) * (1 if end else -1)
    _, low, high = first_bracket(NUMPY, logits, k)
    start = float(tilt(NUMPY, logits[:, None], k).start[0])
    assert start == -(logits.max() + logits.min()) / 2
    assert low < brentq(lambda shift: expit(logits + start + shift).sum() - k, -60, 60) < high


def test_one_wide_row_brings_order_statistics_to_all(rng: np.random.Generator) -> None:
    """Rows of narrow range need none; what they are given instead settles too."""
    sorts: list[int] = []
    ops = replace(NUMPY, sort=lambda x: sorts.append(1) or np.sort(x))
    narrow = rng.uniform(0, NARROW, (50, 3))
    tilt(ops, narrow, 7)
    assert not sorts
    for k in (0, 50):
        tilt(ops, narrow, k)
    tilt(ops, narrow * np.array([1, 1, 3]), 7)
    tilt(ops, narrow, np.array([7, 0, 50]))
    assert len(sorts) == 4


def test_feasible_rows_alone_have_a_tilt() -> None:
    logits = np.array(
        [
            [0, 1, 2, nan, 4],
            [-inf, -inf, -inf, -inf, 4],
            [-inf, -inf, -inf, 3, 4],
            [inf, inf, inf, 0, 0],
            [inf, inf, 0, 0, 0],
            [inf, inf, -inf, -inf, -inf],
        ]
    ).T
    expected = np.array([True, True, False, True, False, False])
    for k in (2, np.full(6, 2)):
        with np.errstate(invalid="ignore"):
            assert (np.isnan(tilt(NUMPY, logits, k).shift) == expected).all()
    with np.errstate(all="ignore"):
        found = tilt(NUMPY, np.zeros((5, 4)), np.array([0, 5, 6, -1])).shift
    assert (np.isnan(found) == [False, False, True, True]).all()


def test_items_that_infinity_decides_have_no_chance() -> None:
    logits = np.array([[inf, 0.5, -inf, 1.0, 0.0], [inf, inf, -inf, -inf, 5.0], [0.0, 1.0, 2.0, 3.0, -inf]]).T
    for k in (2, np.array([2, 2, 4])):
        rows = slice(None) if isinstance(k, np.ndarray) else slice(2)
        t = tilt(NUMPY, logits[:, rows], k).apply(logits[:, rows])
        assert (t[np.isinf(logits[:, rows])] == logits[:, rows][np.isinf(logits[:, rows])]).all()
    assert (np.abs(tilt(NUMPY, logits[:, 1:2], 2).apply(logits[:, 1:2])) >= 90).all()
    assert (tilt(NUMPY, logits[:, 2:], 4).apply(logits[:, 2:])[:4] >= 90).all()


@pytest.mark.parametrize("counts", [3, np.array([0, 1, 2, 3, 4, 5, 6, 7, 20, 9])])
def test_order_statistics_of_the_framework_take_the_place_of_a_sort(
    counts: int | np.ndarray, rng: np.random.Generator
) -> None:
    def ranked(x: Array, count: int | Array) -> tuple[Array, Array]:
        ordered, index = -np.sort(-x, axis=0), np.broadcast_to(count, x.shape[1])[None]
        pair = [np.take_along_axis(ordered, np.clip(i, 0, len(x) - 1), axis=0)[0] for i in (index - 1, index)]
        return pair[0], pair[1]

    logits = rng.normal(size=(20, 10)) * 50
    logits[4, 3] = nan
    found, expected = (tilt(ops, logits, counts) for ops in (replace(NUMPY, ranked=ranked), NUMPY))
    np.testing.assert_array_equal(found.start, expected.start)
    np.testing.assert_array_equal(found.shift, expected.shift)


def test_rows_stay_as_they_settled(rng: np.random.Generator) -> None:
    """A row's tilt does not depend on its neighbours, nor on how often the step runs after it has settled."""

    def always(step: Step, state: State, limit: int) -> State:
        for _ in range(limit):
            state = step(state)
        return state

    logits = np.stack(list(families(200, rng).values())).T
    together = tilt(RANKED, logits, 30).shift
    alone = [tilt(RANKED, row[:, None], 30).shift[0] for row in logits.T]
    forced = tilt(replace(RANKED, repeat=always), logits, 30).shift
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert (together == forced).all()
    assert STEPS >= 8


def test_a_step_that_would_leave_the_bracket_bisects_it(rng: np.random.Generator) -> None:
    """A safeguard that none of 60,000 rows of random clusters needed, so it is tested by itself."""
    odds, ones = np.exp(rng.normal(size=(9, 1)) - 4), np.ones(1)
    state = (np.full(1, 0.125), np.array([-0.5]), np.array([0.5]), np.array([False]))
    shift, low, high, settled = _step(NUMPY, odds, 1e-6 * ones, state)
    assert (low, high) == (-0.5, 0.125)
    assert shift == -0.1875
    assert not settled


def test_the_two_parts_are_never_added_up() -> None:
    """Equal logits of a million in float32: the tilt is their negative and log(k/(n − k)), which a sum would lose."""
    logits = np.full((7, 1), 1e6 + 0.25, np.float32)
    found = tilt(NUMPY, logits, 2)
    np.testing.assert_allclose(found.apply(logits), math.log(2 / 5), rtol=1e-6)
    tilts = Tilt(np.float32(-1e6), np.float32(math.log(2 / 5)))
    assert abs(float(tilts.times(np.float32(3))) - 3 * (-1e6 + math.log(2 / 5))) < 0.25
    assert Tilt(np.array(2.0**53), np.array(0.96875)).times(np.array(3.0)) == 3 * 2.0**53 + 4


def test_no_items_and_no_rows() -> None:
    assert tilt(NUMPY, np.zeros((0, 3)), 0).shift.shape == (3,)
    assert tilt(NUMPY, np.zeros((5, 0)), 2).shift.shape == (0,)
    assert tilt(NUMPY, np.zeros(5), 2).shift.shape == ()
