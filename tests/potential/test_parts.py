"""Sizes out of the reach of one tilt: none that matters is lost, and no more tilts are tried than are needed."""

from collections.abc import Callable
from itertools import product
from math import comb, log
from typing import Any

import numpy as np
import pytest
from conftest import Target
from ops_variants import own, variants
from potentials import compiled_elsewhere

import ksubset
from ksubset._engine.ops import Ops
from ksubset._engine.potential import each_size, mixture, parts, sizes
from ksubset._law import functions
from ksubset._law.size_weighted import SizeWeighted

pytestmark = compiled_elsewhere
N = 24


def log_sizes(theta: np.ndarray) -> np.ndarray:
    """log e_c(exp θ) of rows (..., n) in extended precision: (..., n + 1)."""
    theta = theta.astype(np.longdouble)
    table = np.zeros((*theta.shape[:-1], 1), np.longdouble)
    for i in range(theta.shape[-1]):
        nothing = np.full_like(table[..., :1], -np.inf)
        chosen = np.concatenate([nothing, table + theta[..., i, None]], axis=-1)
        table = np.logaddexp(np.concatenate([table, nothing], axis=-1), chosen)
    return table


def normalized(log_terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Terms that sum to 1, and the logarithm of what they summed to."""
    total = np.logaddexp.reduce(log_terms, axis=-1)
    return np.exp(log_terms - total[..., None]), total


def core_moments(theta: np.ndarray, omega: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """μ, π and the log-normaliser."""
    counts, log_normalizer = normalized(omega + log_sizes(theta))
    others = log_sizes(np.stack([np.delete(theta, i, axis=-1) for i in range(theta.shape[-1])], axis=-2))
    chosen = theta[..., None] + others + omega[..., None, 1:] - log_normalizer[..., None, None]
    return np.exp(np.logaddexp.reduce(chosen, axis=-1)), counts, log_normalizer


def slopes(theta: np.ndarray, omega: np.ndarray, v: np.ndarray, u: np.ndarray) -> list[np.ndarray]:
    """The derivatives of μ and π along (v, u), by a difference formula of the fourth order."""
    step = np.longdouble(3e-4)
    near, far = ([core_moments(theta + s * step * v, omega + s * step * u) for s in (d, -d)] for d in (1, 2))
    return [(8 * (near[0][i] - near[1][i]) - (far[0][i] - far[1][i])) / (12 * step) for i in (0, 1)]


def rows(spread: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Logits of several scales, and log-weights that make all counts matter alike, but for noise."""
    theta = rng.normal(size=(24, N)) * np.repeat([1, 10, 40, 100], 6)[:, None]
    omega = spread * rng.normal(size=(24, N + 1)) - log_sizes(theta).astype(float)
    return tuple(x.astype(np.float32).astype(float) for x in (theta, omega))


def array(target: Target, x: np.ndarray, dtype: str) -> Any:
    target.require(dtype)
    return target.array(x, dtype)


def allowed(dtype: str, omega: np.ndarray) -> np.ndarray:
    """What rounding of logarithms of this size may do to a probability, for each row."""
    return 20 * np.finfo(dtype).eps * np.maximum(10, np.abs(omega).max(axis=-1, keepdims=True))


def wide_and_narrow(test: Callable[..., None]) -> Callable[..., None]:
    """Both precisions, one of which reaches 24 decades and the other 120; little noise in the weights, and much."""
    for mark in (
        pytest.mark.parametrize("spread", [0.0, 3.0, 100.0]),
        pytest.mark.parametrize("dtype", ["float32", "float64"]),
    ):
        test = mark(test)
    return test


@wide_and_narrow
def test_every_count_matters(target: Target, dtype: str, spread: float, rng: np.random.Generator) -> None:
    theta, omega = rows(spread, rng)
    chosen, counts, log_normalizer = core_moments(theta, omega)
    x, potential = array(target, theta, dtype), ksubset.Cardinality(array(target, omega, dtype))
    with np.errstate(all="ignore"):
        found = mixture.moments(own(target), x, potential.log_weights, 0, N)
    for value, exact in (
        (ksubset.marginals(x, potential), chosen),
        (found.counts, counts),
        (found.chosen + found.unchosen, 1),
        (ksubset.log_normalizer(x, potential)[:, None], log_normalizer[:, None]),
    ):
        assert (np.abs(target.to_numpy(value) - exact) <= allowed(dtype, omega)).all()


@wide_and_narrow
def test_products_over_every_count(target: Target, dtype: str, spread: float, rng: np.random.Generator) -> None:
    theta, omega = rows(spread, rng)
    v, u = rng.normal(size=theta.shape), rng.normal(size=omega.shape)
    x, weights, *directions = (array(target, y, dtype) for y in (theta, omega, v, u))
    with np.errstate(all="ignore"):
        found = mixture.product(own(target), x, weights, 0, N, *directions)
    for image, exact in zip(found, slopes(theta, omega, v, u), strict=True):
        assert (np.abs(target.to_numpy(image) - exact) <= 5 * allowed(dtype, omega) + 1e-11).all()


def count_tilts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A list that grows by one whenever a batch is tilted."""
    calls: list[Any] = []
    original = sizes.tilt
    monkeypatch.setattr(sizes, "tilt", lambda *given: calls.append(given) or original(*given))
    return calls


COUNT = np.arange(N + 1)
QUADRATIC = -((COUNT - 12.0) ** 2)
NEEDED: dict[str, tuple[np.ndarray, np.ndarray, int, int, int]] = {
    "flat": (np.linspace(-3, 3, N), np.zeros(N + 1), 0, N, 6),
    "a flat range": (np.linspace(-3, 3, N), np.where(COUNT > 17, 0, -np.inf), 18, N, 2),
    "at most 3": (np.linspace(-3, 3, N), np.where(COUNT < 4, 0, -np.inf), 0, 3, 2),
    "concave": (np.linspace(-3, 3, N), QUADRATIC, 0, N, 6),
    "three sizes": (np.linspace(-3, 3, N), np.where(abs(COUNT - 12) < 2, 0, -np.inf), 11, 13, 1),
    "one size": (np.linspace(-900, 900, N), np.where(COUNT == 20, 0, -np.inf), 20, 20, 1),
    "counts without a chance": (np.linspace(-900, 900, N), np.zeros(N + 1), 0, N, 11),
    "a long flat range": (np.full(1000, 3.0), np.zeros(1001), 0, 1000, 17),
    "two sizes far apart": (
        np.linspace(-9000, 9000, N),
        np.where(np.isin(COUNT, [4, 12]), -np.cumsum(np.append(0, np.linspace(9000, -9000, N))), -np.inf),
        *(4, 12, 2),
    ),
}
"""Logits, log-weights, the least and largest size, and how many tilts serve them."""


@pytest.mark.parametrize("name", NEEDED)
def test_no_more_tilts_than_needed(target: Target, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, omega, low, high, needed = NEEDED[name]
    x, calls = target.array(logits[None, :]), count_tilts(monkeypatch)
    with np.errstate(all="ignore"):
        mixture.moments(own(target), x, target.array(omega[None, :]), low, high)
    assert len(calls) <= needed


@pytest.mark.parametrize("kind", ["far apart", "near", "in clusters"])
def test_every_size_is_served_in_time(target: Target, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, also where each needs a tilt of its own, but for those without weight."""
    rng, n, seen, visit = np.random.default_rng(4), 60, [], mixture.part_of

    def watched(*given: Any) -> Any:
        seen.append(visit(*given))
        return seen[-1]

    monkeypatch.setattr(mixture, "part_of", watched)
    rows = {"far apart": np.linspace(-6000, 6000, n), "near": rng.normal(size=n) * 3}
    logits = rows.get(kind, np.repeat([-40.0, 0.0, 40.0], n // 3))
    kept = rng.random(n + 1) < 0.5
    kept[[0, n]] = True
    omega = np.where(kept, rng.normal(size=n + 1), -np.inf)
    with np.errstate(all="ignore"):
        mixture.moments(own(target), target.array(logits[None, :]), target.array(omega[None, :]), 0, n)
    done = sum(target.to_numpy(part.done).astype(int) for part in seen)[:, 0]
    weight = np.concatenate([[0], np.cumsum(np.sort(logits)[::-1])]) + omega
    assert (done == (kept & (done | (weight > weight.max() - 100)))).all()
    assert len(seen) <= 2 * kept.sum() + 4


@pytest.mark.parametrize(("low", "high"), [(0, 3), (3, 9), (20, N), (2, N - 2), (0, 0)])
def test_no_more_sizes_than_needed(target: Target, low: int, high: int) -> None:
    x = target.array(np.tile([[0.0]], (3, N)))
    omega = np.zeros((3, N + 1))
    omega[1, low], omega[2] = -np.inf, np.inf
    given = sizes.sizes(own(target), x, target.array(omega), low, high)
    assert given.log_weights.shape == (high - low + 1, 3)
    assert (target.to_numpy(given.count())[:, 0] == np.arange(low, high + 1)).all()
    wanted = target.to_numpy(given.wanted)
    assert wanted[:, 0].all()
    assert (wanted[:, 1] == (np.arange(low, high + 1) != low)).all()
    assert not wanted[:, 2].any()


def test_infinite_logits_rule_sizes_out(target: Target) -> None:
    logits = np.zeros((4, 5))
    logits[0, :2], logits[1, :2], logits[2, 0], logits[2, 1], logits[3, 2] = np.inf, -np.inf, np.inf, -np.inf, np.nan
    given = sizes.sizes(own(target), target.array(logits), target.array(np.zeros((4, 6))), 0, 5)
    expected = [[2, 3, 4, 5], [0, 1, 2, 3], [1, 2, 3, 4], []]
    for wanted, left in zip(target.to_numpy(given.wanted).T, expected, strict=True):
        assert np.flatnonzero(wanted).tolist() == left


def test_the_first_tilt_is_at_a_likely_size(target: Target) -> None:
    """Not the likeliest, but none that is hopeless, however the weights are bent."""
    all_but_one = [-50.0 * (c == COUNT) for c in (20, 8, 0)]
    omega = np.stack(
        [
            0.0 * COUNT,
            np.where(COUNT < 9, 0, -np.inf),
            np.where(COUNT < 20, -np.inf, all_but_one[0]),
            np.where(COUNT > 8, -np.inf, all_but_one[1]),
            -5.0 * np.maximum(13 - COUNT, 0),
            -5.0 * np.maximum(COUNT - 13, 0),
            2.0 * COUNT,
            np.where(COUNT > 20, -np.inf, -0.5 * (COUNT - 6.0) ** 2),
            1000 - 5 * (COUNT - 6.0) ** 2,
            all_but_one[2],
        ]
    )
    theta = np.linspace(-3, 3, N) + np.array([0.25] * 9 + [-8])[:, None]
    x, weights = (target.array(np.asarray(y, float)) for y in (theta, omega))
    with np.errstate(all="ignore"):
        given = sizes.sizes(own(target), x, weights, 0, N)
        found = target.to_numpy(sizes.likely_size(given))
    chances = normalized(omega + log_sizes(theta))[0]
    assert (found[:2] == [13, 8]).all()
    assert (np.take_along_axis(chances, found[:, None], axis=1)[:, 0] > 0.05 * chances.max(axis=1)).all()


@pytest.mark.parametrize("beyond", [0.0, 1.9, 3.0, 40.0])
def test_the_next_tilt_is_near_the_first_size_that_waits(target: Target, beyond: float) -> None:
    """Not above the last."""
    waiting = np.zeros((8, 3), bool)
    waiting[2:5], waiting[7, 1] = True, True
    x = target.array(np.zeros((3, 12)))
    given = sizes.sizes(own(target), x, target.array(np.zeros((3, 13))), 4, 11)
    found = target.to_numpy(given.first(target.array(waiting), target.array(np.full(3, beyond))))
    assert (found == [4 + min(2 + int(beyond), last) for last in (4, 7, 4)]).all()


def test_sizes_under_one_tilt(target: Target, rng: np.random.Generator) -> None:
    """Their probabilities, and which of them it serves: within two deviations, none of them rare."""
    theta = rng.normal(size=(3, N)) * np.array([[0.3], [2.0], [30.0]])
    x, zero = target.array(theta), target.array(np.zeros((3, N + 1)))
    with np.errstate(all="ignore"):
        at = sizes.climb(sizes.sizes(own(target), x, zero, 0, N), target.array([12, 3, 20]))
        part = parts.part_of(at, at.given.wanted)
    t, deviation = target.to_numpy(at.x.t).T, np.sqrt(target.to_numpy(at.totals.variance))
    chances = normalized(log_sizes(t))[0] * np.where(abs(COUNT - [[12], [3], [20]]) <= 2 * deviation[:, None], 1, 0)
    expected = chances > 0.05 * chances.max(axis=1, keepdims=True)
    done, found = target.to_numpy(part.done).T, target.to_numpy(part.sizes).T
    assert (done == expected).all()
    assert (done.sum(axis=1) == [9, 5, 1]).all()
    kept = log_sizes(theta) + np.where(done, 0, -np.inf)
    tolerance = target.tolerance(1e-5, 1e-13)
    np.testing.assert_allclose(found, normalized(kept)[0].astype(float), rtol=tolerance)
    np.testing.assert_allclose(target.to_numpy(part.chosen).T, marginals_of(theta, kept), rtol=tolerance)


def marginals_of(theta: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """μ where the sizes have these weights in all."""
    return core_moments(theta, log_weights - log_sizes(theta))[0].astype(float)


FAR: dict[str, tuple[int, list[int], list[float]]] = {
    "three, out of reach of each other": (4000, [1200, 2000, 2800], [0.3, 0.4, 0.3]),
    "two, of which one is in reach of their mean": (600, [45, 591], [0.533, 0.467]),
}
"""How many items, which counts have a weight, and how likely they are."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FAR)
def test_counts_far_apart(target: Target, dtype: str, name: str) -> None:
    n, counts, chances = FAR[name]
    omega = np.full(n + 1, -np.inf)
    omega[counts] = [log(p) - log(comb(n, c)) - 0.25 * c - 3000 for c, p in zip(counts, chances, strict=True)]
    x, weights = (array(target, y[None, :], dtype) for y in (np.full(n, 0.25), omega))
    u = np.linspace(1, -2, n + 1)
    moved = np.array(chances) * (u[counts] - np.dot(chances, u[counts]))
    given = own(target), x, weights, counts[0], counts[-1]
    with np.errstate(all="ignore"):
        found = mixture.moments(*given)
        images = mixture.product(*given, x * 0, array(target, u[None, :], dtype))
    for value, exact in (
        (target.to_numpy(found.counts)[:, counts], chances),
        (target.to_numpy(found.chosen), np.dot(chances, counts) / n),
        (target.to_numpy(images[0]), np.dot(moved, counts) / n),
        (target.to_numpy(images[1])[:, counts], moved),
    ):
        assert (np.abs(value - exact) <= allowed(dtype, omega[None, counts])).all()


def test_logits_that_the_tilt_cancels(target: Target) -> None:
    """t = 0 is on one side of the tilt wherever it is asked for."""
    x = target.array(np.full((1, N), 3.0))
    ops = own(target)
    for way, low, high in product((mixture, each_size), (0, 1), (N - 1, N)):
        omega = np.where((low <= COUNT) & (high >= COUNT), -50.0 * (COUNT - 12.0) ** 2 - 3.0 * COUNT, -np.inf)
        with np.errstate(all="ignore"):
            found = way.moments(ops, x, target.array(omega[None, :]), low, high)
            slope, t = target.to_numpy(found.slope)[0], target.to_numpy(found.tilted)[0]
        assert (t == 0).all()
        assert (slope == 3.0 * (COUNT - 12)).all()
        assert float(found.lead[0]) == 3.0 * 12
        total = np.logaddexp.reduce(omega + 3.0 * COUNT + [log(comb(N, c)) for c in COUNT]) - 3.0 * 12
        assert float(found.log_partition[0]) == pytest.approx(float(total), rel=target.tolerance(1e-6, 1e-14))
        check_functions(target, np.full(N, 3.0), omega)


@pytest.mark.parametrize("way", [mixture, each_size], ids=["tilts", "a tilt each"])
def test_counts_far_out_cost_no_digits(target: Target, way: Any, rng: np.random.Generator) -> None:
    """The entropy is measured from the tilt of a count that matters."""
    theta = rng.normal(size=N) + np.where(np.arange(N) < N // 2, 0, -1e6)
    theta[-2:] = -np.inf
    x, omega = target.array(theta), target.array(np.zeros(N + 1))
    ops = own(target)
    with np.errstate(all="ignore"):
        solution = way.moments(ops, x, omega, 0, N)
        found = functions.entropy(ops, SizeWeighted(0, N), ops.xp.concat([x, omega]), solution=solution)
    p = 1 / (1 + np.exp(-theta[: N // 2]))
    expected = -(p * np.log(p) + (1 - p) * np.log1p(-p)).sum()
    assert float(found) == pytest.approx(expected, rel=target.tolerance(3e-6, 1e-14))


def check_functions(target: Target, theta: np.ndarray, omega: np.ndarray) -> None:
    """The scalar functions of a row of equal logits, from the probabilities of the counts."""
    x, potential = target.array(theta), ksubset.Cardinality(target.array(omega))
    chosen, counts, log_normalizer = core_moments(theta, omega)
    log_probabilities = omega + theta[0] * COUNT - log_normalizer
    entropy = -np.sum(counts[counts > 0] * log_probabilities[counts > 0])
    independent = log_normalizer - np.logaddexp(0, theta).sum()
    z = np.arange(N) < 12
    for found, expected in (
        (ksubset.log_normalizer(x, potential), log_normalizer),
        (ksubset.log_prob_count(x, potential), independent),
        (ksubset.entropy(x, potential), entropy),
        (ksubset.log_prob(x, potential, target.array(z.astype(float))), log_probabilities[12]),
    ):
        assert float(found) == pytest.approx(float(expected), rel=target.tolerance(3e-6, 1e-14))
    other = theta + np.where(z, 0.5, 0)
    back = core_moments(other, omega)
    gaps = back[2] - log_normalizer - chosen[0] * 6, back[0][:12].sum() * 0.5 - back[2] + log_normalizer
    for one, two, gap in ((theta, other, gaps[0]), (other, theta, gaps[1])):
        found = ksubset.kl_divergence(target.array(one), target.array(two), potential)
        rounding = target.tolerance(2e-7, 1e-15) * np.log(2.0**N)  # of the log-partitions, whose difference it is
        assert float(found) == pytest.approx(float(gap), rel=1e-5, abs=rounding)


@pytest.mark.backends("numpy", "torch", "cupy")
@pytest.mark.parametrize("spread", [0.0, 100.0])
def test_all_ways_agree(target: Target, spread: float, rng: np.random.Generator) -> None:
    """However loops are run and values may be read, and with a tilt for each size."""
    theta, omega = (x[::3] for x in rows(spread, rng))
    v, u = (target.array(rng.normal(size=(8, size))) for size in (N, N + 1))
    for low, high in ((0, N), (3, 9), (20, N)):
        inside = np.where((low <= COUNT) & (high >= COUNT), omega, -np.inf)
        given = target.array(theta), target.array(inside), low, high
        first = answers(mixture, own(target), given, v, u)
        for way, ops in product((mixture, each_size), variants(target).values()):
            for x, y in zip(first, answers(way, ops, given, v, u), strict=True):
                assert (np.abs(target.to_numpy(x - y)) <= 5 * allowed(target.dtypes[-1], omega)).all()


def answers(way: Any, ops: Ops, given: tuple[Any, Any, int, int], v: Any, u: Any) -> list[Any]:
    with np.errstate(all="ignore"):
        found = way.moments(ops, *given)
        return [found.chosen, found.counts, *way.product(ops, *given, v, u)]


@pytest.mark.parametrize("sign", [1, -1])
def test_items_masked_by_the_least_or_largest_float(target: Target, sign: int) -> None:
    """Σθ overflows; the counts for which it does are as good as impossible."""
    mask = float(np.finfo(target.dtypes[-1]).max)
    theta = sign * np.array([1.0, 2.0, 0.0, *[-mask] * 12])
    omega = np.where(np.arange(16)[::sign] > 0, 0.0, -np.inf)
    x = target.array(theta[None, :])
    with np.errstate(all="ignore"):
        found = mixture.moments(own(target), x, target.array(omega[None, :]), 0, 15)
    small = core_moments(np.array([1.0, 2.0, 0.0]), np.array([-np.inf, 0.0, 0.0, 0.0]))[0]
    expected = np.concatenate([small, np.zeros(12)])
    side = found.chosen if sign == 1 else found.unchosen
    np.testing.assert_allclose(target.to_numpy(side)[0], expected, atol=target.tolerance(1e-6, 1e-15))


@pytest.mark.parametrize("n", [0, 1])
def test_no_item_or_one(target: Target, n: int) -> None:
    omega = np.array([0.5, -1.0])[: n + 1]
    x, potential = target.array(np.full((2, n), 0.25)), ksubset.Cardinality(target.array(omega))
    chances = np.exp(omega + np.array([0, 0.25])[: n + 1])
    expected = chances[1:] / chances.sum()
    tolerance = target.tolerance(1e-6, 1e-15)
    found = target.to_numpy(ksubset.marginals(x, potential))
    np.testing.assert_allclose(found, np.broadcast_to(expected, (2, n)), atol=tolerance)
    np.testing.assert_allclose(
        target.to_numpy(ksubset.log_normalizer(x, potential)), np.log(chances.sum()), atol=tolerance
    )
    image = target.to_numpy(ksubset.marginals_jvp(x, potential, target.array(np.ones((2, n)))))
    np.testing.assert_allclose(image, np.broadcast_to(expected * (1 - expected), (2, n)), atol=tolerance)
    assert ksubset.sample(x, potential, rng=target.rng(0)).shape == (2, n)


def test_two_sizes_keep_the_relative_accuracy_of_each(target: Target, rng: np.random.Generator) -> None:
    """The mean of two moments is a sum of positive parts: a small one beside a large one keeps its digits."""
    target.require("float64")
    logits = rng.normal(size=(300, 40)) * rng.choice([1.0, 5.0, 20.0], size=(300, 1))
    sizes = np.argsort(rng.random((300, 41)), axis=-1)[:, :2]
    weights, rows = np.full((300, 41), -np.inf), np.arange(300)[:, None]
    weights[rows, sizes] = 50 * rng.normal(size=(300, 2))
    x, each = target.array(logits), [target.array(k) for k in sizes.T]
    logs = [target.to_numpy(ksubset.log_normalizer(x, k)) for k in each] + weights[rows, sizes].T
    shares = np.exp(logs - np.logaddexp(*logs))[..., None]
    truth = (shares * [target.to_numpy(ksubset.marginals(x, k)) for k in each]).sum(axis=0)
    found = target.to_numpy(ksubset.marginals(x, ksubset.Cardinality(target.array(weights))))
    np.testing.assert_allclose(found, truth, rtol=1e-12)
