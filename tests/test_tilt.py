"""The tilt settles: |Σp − k| within a quarter of a standard deviation, for every family and within its steps."""

import math
from dataclasses import replace

import numpy as np
import pytest
from oracle import families
from scipy.optimize import brentq
from scipy.special import expit

from ksubset._layout import orient
from ksubset._tilt import NEAR, STEPS, _step, tilt
from ksubset._typing import Array, State, Step
from ksubset.backends.array_api import NUMPY

nan, inf = np.nan, np.inf


def excess(logits: np.ndarray, k: int) -> np.ndarray:
    """|Σp − k| in standard deviations, or in fifths of an item where hardly anything is random."""
    rows = orient(NUMPY, logits, k, min(k, logits.shape[1] - k))
    t = (rows.logits + tilt(NUMPY, rows)).astype(np.float64)
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-t))
    return np.abs(p.sum(axis=0) - rows.count) / np.maximum(np.sqrt((p * (1 - p)).sum(axis=0)), 0.2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 3, 10, 100, 2000, 50_000])
def test_settles(n: int, dtype: type, rng: np.random.Generator) -> None:
    rows = families(n, rng) | {"exponential": rng.exponential(size=n) * 50, "two": np.arange(n) % 2 * 1e4}
    logits = np.stack(list(rows.values())).astype(dtype)
    for k in sorted({1, n // 100 + 1, n // 3 + 1, n // 2, n - 1}):
        assert (excess(logits, k) <= 0.26).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 3, 10, 100, 2000])
def test_newton_steps_are_few(n: int, dtype: type, rng: np.random.Generator) -> None:
    """Bisection alone would settle too, in more; and a wrong step is put right by it, so that results do not tell."""
    taken: list[int] = []

    def count(step: Step, state: State, limit: int) -> State:
        for i in range(limit):
            state = step(state)
            if state[-1].all():
                taken.append(i + 1)
                break
        return state

    ops, logits = replace(NUMPY, repeat=count), np.stack(list(families(n, rng).values())).astype(dtype)
    ks = sorted({1, n // 100 + 1, n // 3 + 1, n // 2})
    for k in ks:
        tilt(ops, orient(NUMPY, logits, k, k))
    assert len(taken) == len(ks)
    assert max(taken) <= (5 if n > 100 else 4 if n > 10 else 2)


@pytest.mark.parametrize("ratio", [1e-9, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 5, 50, 99])
def test_the_bracket_holds_the_root(k: int, ratio: float) -> None:
    """λ − λ₀ is largest where all items beside the gap are at its edges, e^−gap = ``ratio``, and where there is none."""

    def look(step: Step, state: State, limit: int) -> State:
        brackets.append((state[1][0], state[2][0]))
        return NUMPY.repeat(step, state, limit)

    brackets: list[tuple[float, float]] = []
    gap = np.repeat([0.0, math.log(ratio)], [k, 100 - k])
    rows = orient(NUMPY, gap[None], k, min(k, 100 - k))
    tilt(replace(NUMPY, repeat=look), rows)
    start = -(np.sort(rows.logits[:, 0])[[100 - rows.count, 99 - rows.count]].mean())
    root = brentq(lambda shift: expit(rows.logits + start + shift).sum() - rows.count, -20, 20)
    assert brackets[0][0] + NEAR < root < brackets[0][1] - NEAR


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
    )
    expected = np.array([True, True, False, True, False, False])
    assert (np.isnan(tilt(NUMPY, orient(NUMPY, logits, 2, 2))) == expected).all()
    counts = np.full(6, 2)
    assert (np.isnan(tilt(NUMPY, orient(NUMPY, logits, counts, 2))) == expected).all()
    with np.errstate(all="ignore"):
        found = tilt(NUMPY, orient(NUMPY, np.zeros((4, 5)), np.array([0, 5, 6, -1]), 2))
    assert (np.isnan(found) == [False, False, True, True]).all()


@pytest.mark.parametrize("counts", [3, np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])])
def test_order_statistics_of_the_framework_take_the_place_of_a_sort(
    counts: int | np.ndarray, rng: np.random.Generator
) -> None:
    def ranked(x: Array, count: int | Array) -> tuple[Array, Array]:
        ordered, index = -np.sort(-x, axis=-1), np.broadcast_to(count, len(x))[:, None]
        pair = [np.take_along_axis(ordered, np.maximum(i, 0), axis=-1)[:, 0] for i in (index - 1, index)]
        return pair[0], pair[1]

    logits = rng.normal(size=(10, 20)) * 5
    logits[3, 4] = nan
    rows = orient(NUMPY, logits, counts, 10)
    np.testing.assert_array_equal(tilt(replace(NUMPY, ranked=ranked), rows), tilt(NUMPY, rows))


def test_rows_stay_as_they_settled(rng: np.random.Generator) -> None:
    """A row's tilt does not depend on its neighbours, nor on how often the step runs after it has settled."""

    def always(step: Step, state: State, limit: int) -> State:
        for _ in range(limit):
            state = step(state)
        return state

    logits = np.stack(list(families(200, rng).values()))
    together = tilt(NUMPY, orient(NUMPY, logits, 30, 30))
    alone = [tilt(NUMPY, orient(NUMPY, row[None], 30, 30))[0] for row in logits]
    forced = tilt(replace(NUMPY, repeat=always), orient(NUMPY, logits, 30, 30))
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert (together == forced).all()
    assert STEPS >= 8


def test_a_step_that_would_leave_the_bracket_bisects_it(rng: np.random.Generator) -> None:
    """A safeguard that none of 60,000 rows of random clusters needed, so it is tested by itself."""
    odds, ones = np.exp(rng.normal(size=(9, 1)) - 4), np.ones(1)
    state = (np.full(1, 0.125), np.array([-0.5]), np.array([0.5]), np.array([False]))
    above = (odds > 1).astype(float)
    shift, low, high, settled = _step(NUMPY, odds, above, above.sum(axis=0) - 1e-6, 1e-6 * ones, 9, state)
    assert (low, high) == (-0.5, 0.125)
    assert shift == -0.1875
    assert not settled
