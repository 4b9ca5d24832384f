"""Rows of small variance: what is unlikely has its relative accuracy, and so has J · v, however small the variance."""

from math import log
from typing import Any

import numpy as np
import pytest
from conftest import Target
from ops_variants import core_moments, own, product
from oracle import Enumeration, recursion

from ksubset._engine.exchange import EXCHANGED, Exchanges, serves
from ksubset._engine.inference import jacobian_product, moments
from ksubset._engine.items import Totals, centred, items, totals
from ksubset._engine.ops import Ops
from ksubset.backends.array_api import NUMPY

TINY = {"float32": 1e-32, "float64": 1e-280}
"""What is smaller may be subnormal."""


def grid(t: np.ndarray) -> np.ndarray:
    """Log-odds that float32 has, so that all error is that of what is done with them."""
    return np.round(t * 2.0**10) / 2.0**10


def exchanged(ops: Ops, t: Any, v: Any) -> tuple[Any, Any, Any]:
    """log Σ A_s B_s, the marginals of the less likely sides, and J · v, of log-odds (n, rows)."""
    x = items(ops, t)
    found = Exchanges(ops, x, x.odds)
    return *found.moments(), found.product(centred(ops, x.odds, v, t))


def rows(variance: float, rng: np.random.Generator) -> list[tuple[np.ndarray, int]]:
    """Log-odds with Σpq near ``variance``, and how many are above 0: like ones, a range of them, one-sided, few."""
    made = []
    for likely, unlikely, scale in ((4, 6, 0.0), (10, 3, 2.0), (1, 25, 0.5), (30, 30, 1.0), (1, 1, 0.0)):
        size = likely + unlikely
        t = max(0.1, log(size / variance)) + scale * rng.exponential(size=size)
        made.append((grid(np.where(np.arange(size) < likely, t, -t)), likely))
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("exponent", [0, -1, -2, -4, -6, -8, -12, -16, -20])
def test_relative_accuracy(target: Target, dtype: str, exponent: int, rng: np.random.Generator) -> None:
    """Of given log-odds, against the 80-bit recursion: a few roundings."""
    target.require(dtype)
    if target.backend == "jax":
        pytest.skip("see test_through_the_tilt, which compiles less")
    eps = np.finfo(dtype).eps
    for t, k in rows(0.5 * 10.0**exponent, rng):
        for shift in (0, 1000):
            v = (rng.normal(size=t.shape).astype(np.float32) + np.float32(shift)).astype(float)
            truth = recursion(t, k, v)
            given = target.array(t[:, None], dtype), target.array(v[:, None], dtype)
            log_partition, side, image = (target.to_numpy(x)[..., 0] for x in exchanged(own(target), *given))
            unlikely = np.where(t > 0, truth.unchosen, truth.chosen)
            if unlikely.max() < TINY[dtype]:
                continue
            matters = unlikely > TINY[dtype]
            assert np.abs(side / unlikely - 1)[matters].max() < 8 * eps
            assert np.linalg.norm((image - truth.jvp).astype(float)) < 8 * eps * np.linalg.norm(truth.jvp.astype(float))
            assert abs(log_partition / partition(t) - 1) < 8 * eps


def partition(t: np.ndarray) -> np.longdouble:
    """log Σ A_s B_s, the symmetric functions as the coefficients of a product."""
    sides = []
    for part in (t[t <= 0], t[t > 0]):
        found = np.ones(1, np.longdouble)
        for odds in np.exp(-np.abs(part.astype(np.longdouble))):
            found = np.append(found, 0) + odds * np.append(0, found)
        sides.append(found)
    size = min(map(len, sides))
    return np.log1p((sides[0][1:size] * sides[1][1:size]).sum())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_through_the_tilt(target: Target, dtype: str, rng: np.random.Generator) -> None:
    """The whole way from logits: the rounding of θ + λ is all that is added."""
    target.require(dtype)
    n, k, eps = 20, 8, np.finfo(dtype).eps
    exponents, scales = np.repeat([-1, -3, -6, -10, -15, -20], 3)[:, None], np.tile([0.0, 1.0, 3.0], 6)[:, None]
    gap = scales * rng.exponential(size=(18, n)) + log(n / 0.5) - exponents * log(10)
    logits = np.where(np.arange(n) < k, gap, -gap).astype(np.float32).astype(float) + 0.25
    v = rng.normal(size=(18, n)).astype(np.float32).astype(float)
    truth = [recursion(*row) for row in zip(logits, [k] * 18, v, strict=True)]
    x, direction = target.array(logits, dtype), target.array(v, dtype)
    sides = core_moments(target, own(target), x, k)[1:]
    image = product(target, own(target), x, k, direction)
    for i, row in enumerate(truth):
        bound = (8 + 2 * np.abs(logits[i]).max()) * eps
        for side, exact in ((sides[0][i], row.chosen), (sides[1][i], row.unchosen)):
            matters = exact > TINY[dtype]
            assert np.abs(side / exact - 1)[matters].max() < bound
        size = np.linalg.norm(row.jvp.astype(float))
        assert size < TINY[dtype] or np.linalg.norm((image[i] - row.jvp).astype(float)) < bound * size


def near_one(likely: int, unlikely: int) -> np.ndarray:
    """Log-odds of a row of variance just below 1, the sums of both sides' odds alike."""
    low, high = -20.0, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        sides = np.exp(middle), np.exp(middle) * likely / unlikely
        spread = sum(size * w / (1 + w) ** 2 for size, w in zip((likely, unlikely), sides, strict=True))
        low, high = (middle, high) if spread < 0.99 else (low, middle)
    return grid(np.repeat([-low, low + log(likely / unlikely)], [likely, unlikely]))


def error(t: np.ndarray, dtype: type) -> float:
    """Of the unlikely sides, in units of rounding."""
    truth = recursion(t, int((t > 0).sum()))
    side = exchanged(NUMPY, t.astype(dtype)[:, None], np.zeros((len(t), 1), dtype))[1][:, 0]
    return float(np.abs(side / np.where(t > 0, truth.unchosen, truth.chosen) - 1).max() / np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_enough_are_exchanged(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the largest variance: one is to spare, and three fewer show."""
    bits, shapes = np.finfo(dtype).bits, [(4, 4), (6, 6), (20, 20), (3, 60), (1, 300), (400, 400)]
    worst = []
    for _ in range(4):
        worst.append(max(error(near_one(*shape), dtype) for shape in shapes))
        monkeypatch.setitem(EXCHANGED, bits, EXCHANGED[bits] - 1)
    assert max(worst[:2]) < 4
    assert worst[3] > 100


def settled(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Log-odds whose probabilities sum to a whole number within a quarter of a deviation, most of small variance."""
    while True:
        n = int(rng.integers(1, 12))
        t = rng.normal(size=n) * 10 ** rng.uniform(-2, 1) + rng.choice([-1, 1], n) * rng.uniform(0, 6)
        if rng.random() < 0.5:
            t[: min(n, 2)] = -(10 ** rng.uniform(-4, 0, min(n, 2))) * rng.choice([1, -1])
        p = 1 / (1 + np.exp(-t))
        k = int(np.round(p.sum()))
        if (p.sum() - k) ** 2 <= (p * (1 - p)).sum() / 16:
            return t, k


def test_which_rows_are_served(rng: np.random.Generator) -> None:
    """Every settled row of variance below 0.4, where no other count of likely items is possible; none from 1 on."""
    kinds, smallest = {(False, False): 0, (False, True): 0, (True, True): 0}, 1.0
    for _ in range(20_000):
        t, k = settled(rng)
        sums = totals(NUMPY, items(NUMPY, t[:, None]), k)
        variance, served = float(sums.variance[0]), bool(serves(NUMPY, sums)[0])
        assert served or variance >= 0.4
        assert served == (variance < 1 and (t > 0).sum() == k)
        kinds[served, variance < 1] += 1
        smallest = smallest if served else min(smallest, variance)
    assert min(kinds.values()) > 100
    assert smallest < 0.49  # the contour is asked about less than half of an item's choice


def test_a_row_that_has_not_settled_is_not_served() -> None:
    """Its number of likely items is another than k: exchanges keep it."""
    counts = np.array([0.0, 1.0, -1.0, 0.0])
    small = np.array([0.3, 0.3, 0.3, 1.0])
    assert serves(NUMPY, Totals(small, counts, counts, abs(counts), 0.25)).tolist() == [True, False, False, False]


def test_nothing_overflows_beside_rows_of_large_variance() -> None:
    """Whose odds have sums that float32 cannot raise to the sixth power twice."""
    n = 20_000
    logits = np.stack([np.where(np.arange(n) % 2, -t, t) for t in (0.01, 20.0)]).astype(np.float32)
    v = np.arange(2 * n).reshape(2, n).astype(np.float32) % 7
    with np.errstate(over="raise", invalid="raise"):
        chosen = moments(NUMPY, logits, n // 2).chosen
        image = jacobian_product(NUMPY, logits, n // 2, v)
    assert abs(chosen[0] - 0.5).max() < 0.003
    assert np.isfinite(image).all()


def test_a_constant_is_mapped_to_nothing(rng: np.random.Generator) -> None:
    for t, _ in rows(0.1, rng):
        image = exchanged(NUMPY, t[:, None], np.full((len(t), 1), 1000.0))[2]
        assert np.abs(image).max() < 1e-13


def test_against_enumeration(rng: np.random.Generator) -> None:
    """Every number of likely items, none and all of them included."""
    for k in range(8):
        t = np.where(np.arange(7) < k, 1, -1) * (2.5 + rng.exponential(size=7) * np.array(3.0))
        v, truth = rng.normal(size=7), Enumeration(t, k)
        log_partition, side, image = (x[..., 0] for x in exchanged(NUMPY, t[:, None], v[:, None]))
        np.testing.assert_allclose(side, np.where(t > 0, truth.unchosen, truth.marginals), rtol=1e-14)
        np.testing.assert_allclose(image, truth.jvp(v), rtol=1e-12, atol=1e-17)
        np.testing.assert_allclose(log_partition, float(truth.log_weight), rtol=1e-13, atol=1e-17)
