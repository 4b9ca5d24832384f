"""The tilt settles: |Σp − k| within a quarter of a standard deviation, for every family and within its steps."""

import numpy as np
import pytest
from oracle import families

from ksubset._layout import orient
from ksubset._tilt import STEPS, _step, tilt
from ksubset._typing import State, Step
from ksubset.backends.array_api import NUMPY


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


def test_rows_stay_as_they_settled(rng: np.random.Generator) -> None:
    """A row's tilt does not depend on its neighbours, nor on how often the step runs after it has settled."""
    import dataclasses

    def always(step: Step, state: State, limit: int) -> State:
        for _ in range(limit):
            state = step(state)
        return state

    logits = np.stack(list(families(200, rng).values()))
    together = tilt(NUMPY, orient(NUMPY, logits, 30, 30))
    alone = [tilt(NUMPY, orient(NUMPY, row[None], 30, 30))[0] for row in logits]
    forced = tilt(dataclasses.replace(NUMPY, repeat=always), orient(NUMPY, logits, 30, 30))
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert (together == forced).all()
    assert STEPS >= 8


def test_a_step_that_would_leave_the_bracket_bisects_it(rng: np.random.Generator) -> None:
    """A safeguard that none of 60,000 rows of random clusters needed, so it is tested by itself."""
    odds, ones = np.exp(rng.normal(size=(9, 1))), np.ones(1)
    state = (np.zeros(1), np.array([-0.5]), np.array([0.5]), np.array([False]))
    above = (odds > 1).astype(float)
    shift, low, high, settled = _step(NUMPY, odds, above, above.sum(axis=0) - 1e-6, 1e-6 * ones, 9, state)
    assert (low, high) == (-0.5, 0.0)
    assert shift == -0.25
    assert not settled
