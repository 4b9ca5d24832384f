"""Both tails of the number of independent items, and its quantiles: against arithmetic of 400 digits."""

from typing import Any

import numpy as np
import pytest
from conftest import Target
from counts import exact_tails, slopes, truth
from derivatives import DIRECTIONS, LOGITS, ROWS, sigmoid
from transforms import Transforms, differentiable

import ksubset

SIDES = (ksubset.count_log_cdf, ksubset.count_log_sf)
INF = np.inf
INFINITE = np.array([[INF, 0.5, -INF, 1.0], [INF] * 4, [-INF] * 4, [INF, -INF, INF, 3e4], [0.0, 700.0, -700.0, 1.0]])


@pytest.mark.parametrize("n", [3, 40])
def test_both_tails(target: Target, n: int) -> None:
    """Absolute errors of logarithms are relative ones of probabilities; near 0 the logarithm has its own."""
    logits = truth(n)[0]
    x = target.array(logits)
    for side, function in enumerate(SIDES):
        found = target.to_numpy(function(x))
        for row, here in zip(logits, found, strict=True):
            check(target, here, exact_tails(row)[side])


def check(target: Target, found: np.ndarray, expected: np.ndarray) -> None:
    assert ((found == -INF) == (expected == -INF)).all()
    kept = np.isfinite(expected)
    found, expected = found[kept], expected[kept]
    bound = target.tolerance(6e-6, 4e-14) * np.maximum(5, np.abs(expected))
    close = (expected > -0.5) & (expected < -target.tolerance(1e-30, 1e-290))
    bound[close] = target.tolerance(2e-4, 2e-11) * np.abs(expected[close])
    assert (np.abs(found - expected) <= bound).all()
    assert (found <= 0).all()


def test_infinite_logits(target: Target) -> None:
    x = target.array(INFINITE)
    for side, function in enumerate(SIDES):
        found = target.to_numpy(function(x))
        for row, here in zip(INFINITE, found, strict=True):
            check(target, here, exact_tails(row)[side])


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3, 2), (0, 3)])
def test_batches_of_any_rank(target: Target, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    logits = rng.normal(size=shape)
    lower, upper = (np.exp(target.to_numpy(f(target.array(logits)))) for f in SIDES)
    pmf = np.exp(target.to_numpy(ksubset.count_log_pmf(target.array(logits))))
    assert lower.shape == upper.shape == (*shape[:-1], shape[-1] + 1)
    np.testing.assert_allclose(lower, np.cumsum(pmf, axis=-1), rtol=target.tolerance(1e-6, 1e-14))
    np.testing.assert_allclose(lower + upper, np.ones(lower.shape), rtol=target.tolerance(1e-6, 1e-14))
    found = target.to_numpy(ksubset.count_quantile(target.array(logits), 0.3))
    assert found.shape == shape[:-1]
    np.testing.assert_array_equal(found, (lower < 0.3).sum(axis=-1))


def test_results_keep_namespace_device_and_dtype(target: Target) -> None:
    for dtype in target.dtypes:
        x = target.array(np.linspace(-1, 1, 8).reshape(2, 4), dtype)
        for function in SIDES:
            found = function(x)
            assert type(found) is type(x)
            assert found.dtype == x.dtype
            assert getattr(found, "device", None) == getattr(x, "device", None)
        count = ksubset.count_quantile(x, 0.5)
        assert target.xp.isdtype(count.dtype, "integral")
        assert getattr(count, "device", None) == getattr(x, "device", None)


def test_quantiles(target: Target, rng: np.random.Generator) -> None:
    logits = rng.normal(size=(3, 6)) * 3
    lower = np.exp([exact_tails(row)[0] for row in logits])
    q = np.array([[0.0], [1e-6], [0.3], [0.5], [0.9], [1 - 2.0**-12], [1.0]])
    found = target.to_numpy(ksubset.count_quantile(target.array(logits), target.array(q)))
    np.testing.assert_array_equal(found, (lower[None] < q[..., None]).sum(axis=-1).clip(max=6))
    for level, row in zip(q[:, 0], found, strict=True):
        np.testing.assert_array_equal(target.to_numpy(ksubset.count_quantile(target.array(logits), level)), row)
    one = ksubset.count_quantile(target.array(logits[0]), target.array(q[:, 0]))
    np.testing.assert_array_equal(target.to_numpy(one), found[:, 0])


def test_levels_that_are_values_of_the_distribution_function(target: Target) -> None:
    x = target.array(np.zeros(3))
    q = np.array([0.125, 0.5, 0.875, 1.0])
    np.testing.assert_array_equal(target.to_numpy(ksubset.count_quantile(x, target.array(q))), [0, 1, 2, 3])
    above = q[:3] * (1 + target.tolerance(1e-4, 1e-12))
    np.testing.assert_array_equal(target.to_numpy(ksubset.count_quantile(x, target.array(above))), [1, 2, 3])


def test_levels_that_are_values_just_below_a_half(target: Target) -> None:
    """As the library computes them: two roundings lie between, of the exponential and of the logarithm."""
    x = target.array(np.linspace(1e-3, 0.2, 200)[:, None])
    q = target.xp.exp(ksubset.count_log_cdf(x)[:, 0])
    np.testing.assert_array_equal(target.to_numpy(ksubset.count_quantile(x, q)), 0)


@pytest.mark.parametrize("rare", [False, True])
def test_quantiles_in_the_far_tails(target: Target, rare: bool) -> None:
    """Also at the last float below 1."""
    row = np.full(60, -1.0 + 0.25 * rare)
    tiny = float(np.finfo(target.dtypes[-1]).epsneg) if rare else target.tolerance(1e-6, 1e-12)
    (lower, upper), x = exact_tails(row), target.array(row)
    assert int(ksubset.count_quantile(x, tiny)) == (lower < np.log(tiny)).sum()
    assert int(ksubset.count_quantile(x, 1 - tiny)) == (upper > np.log1p(-(1 - tiny))).sum()


def test_quantiles_of_decided_items(target: Target) -> None:
    x = target.array(INFINITE[:3])
    for q, expected in {0.0: [0, 0, 0], 0.5: [2, 4, 0], 1.0: [3, 4, 0]}.items():
        np.testing.assert_array_equal(target.to_numpy(ksubset.count_quantile(x, q)), expected)


def test_bad_input(target: Target) -> None:
    x, bad = target.array([[0.0, 1.0], [3.0, 0.5]]), target.array([[0.0, 1.0], [np.nan, 1.0]])
    for function in (*SIDES, lambda x, **options: ksubset.count_quantile(x, 0.5, **options)):
        with pytest.raises(TypeError, match="logits must have a real floating dtype"):
            function(target.array([1, 2]))
        with pytest.raises(ValueError, match="logits must not contain NaN; got NaN in row 1"):
            function(bad, validate=True)
    for function in SIDES:
        found = target.to_numpy(function(bad, validate=False))
        assert np.isnan(found[1]).all()
        assert np.isfinite(found[0, :2]).all()
    for q, message in (
        (1.5, r"q must be in \[0, 1\]; got 1.5"),
        (np.nan, "got nan"),
        (np.array([0.1, 0.2, 0.3]), "q must broadcast"),
    ):
        with pytest.raises(ValueError, match=message):
            ksubset.count_quantile(x, target.array(q) if isinstance(q, np.ndarray) else q)
    for level in (-0.5, 1.5):
        with pytest.raises(ValueError, match=rf"q must be in \[0, 1\]; got {level} in row 1"):
            ksubset.count_quantile(x, target.array([0.5, level]), validate=True)
    with pytest.raises(TypeError, match="q must be an array of the same framework"):
        ksubset.count_quantile(x, "0.5")
    with pytest.raises(TypeError, match="q must have a real floating dtype"):
        ksubset.count_quantile(x, target.array([1, 0]))


def test_bad_values_that_are_not_looked_at(target: Target) -> None:
    x = target.array([[0.0, 0.0], [np.nan, 1.0]])
    q = target.array([[0.5, 0.5], [1.5, 0.5], [np.nan, 0.5], [-0.5, 0.5]])
    found = ksubset.count_quantile(x, q, validate=False)
    np.testing.assert_array_equal(target.to_numpy(found), [[1, -1], [-1, -1], [-1, -1], [-1, -1]])


def tail_slopes(theta: np.ndarray, side: int) -> np.ndarray:
    """∂ log P(tail) / ∂θ_i, the mean of its counts' slopes."""
    log_pmf, rows = ksubset.count_log_pmf(theta), slopes(theta)
    out, n = np.zeros(rows.shape), len(theta)
    for c in range(n + 1):
        part = slice(c + 1) if side == 0 else slice(c + 1, None)
        most = log_pmf[part].max(initial=-INF)
        if most > -INF:
            weights = np.exp(log_pmf[part] - most)
            out[c] = weights / weights.sum() @ rows[part]
    return out


@differentiable
@pytest.mark.parametrize("side", [0, 1])
def test_gradient(target: Target, diff: Transforms, rng: np.random.Generator, side: int) -> None:
    weights = rng.normal(size=(len(ROWS), LOGITS.shape[1] + 1))
    g = target.array(weights)

    def loss(x: Any) -> Any:
        value = SIDES[side](x)
        return (target.xp.where(target.xp.isfinite(value), value, 0 * g) * g).sum()

    found = target.to_numpy(diff.grad(loss)(target.array(LOGITS)))
    expected = np.stack([w @ tail_slopes(row.logits, side) for w, row in zip(weights, ROWS, strict=True)])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    assert (found[np.isinf(LOGITS)] == 0).all()


@differentiable
def test_forward_mode(target: Target, diff: Transforms) -> None:
    x, v = target.array(LOGITS[:6]), target.array(DIRECTIONS[:6])
    for side, function in enumerate(SIDES):
        found = diff.jvp(function, (x,), (v,))[1]
        expected = np.stack(
            [tail_slopes(row.logits, side) @ np.where(np.isinf(row.logits), 0, row.v) for row in ROWS[:6]]
        )
        np.testing.assert_allclose(target.to_numpy(found), expected, rtol=1e-9, atol=1e-11)


@differentiable
def test_hessian(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    theta = rng.normal(size=4)
    found = target.to_numpy(diff.hessian(lambda x: ksubset.count_log_sf(x)[3])(target.array(theta)))
    p = sigmoid(theta)  # P(S > 3) is that of all four
    np.testing.assert_allclose(found, -np.diag(p * (1 - p)), atol=1e-12)
    found = target.to_numpy(diff.hessian(lambda x: ksubset.count_log_cdf(x)[0])(target.array(theta)))
    np.testing.assert_allclose(found, -np.diag(p * (1 - p)), atol=1e-12)


@differentiable
def test_vmap_and_compilation(target: Target, diff: Transforms) -> None:
    x = target.array(LOGITS[12:17])
    for function in (*SIDES, lambda x: ksubset.count_quantile(x, 0.4)):
        expected = target.to_numpy(function(x))
        for other in (diff.vmap(function), diff.compile(function)):
            np.testing.assert_allclose(target.to_numpy(other(x)), expected, rtol=1e-12, atol=1e-13)
