"""The log-probability of every count: against 80-digit arithmetic down both tails, and its derivatives."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import Target
from counts import exact, slopes, truth
from derivatives import DIRECTIONS, LOGITS, ROWS, sigmoid
from oracle import Enumeration
from transforms import Transforms, differentiable

import ksubset
from ksubset._engine.potential import parts
from ksubset._law.counts import count_log_pmf
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends import find

TAIL = np.log(1e-300)


@pytest.mark.parametrize("n", [3, 40, 300])
def test_relative_accuracy_in_both_tails(target: Target, n: int) -> None:
    logits, expected = truth(n)
    found = target.to_numpy(ksubset.count_log_pmf(target.array(logits)))
    error = np.abs(found - expected)
    assert (error <= target.tolerance(5e-6, 2e-14) * np.maximum(5, np.abs(expected))).all()
    if target.dtypes[-1] == "float64":
        assert error[expected > TAIL].max() < 1e-10
    assert n < 300 or expected.min() < 100 * TAIL


def test_single_precision(target: Target) -> None:
    logits, expected = truth(40)
    found = target.to_numpy(ksubset.count_log_pmf(target.array(logits, "float32")))
    assert (np.abs(found - expected) <= 5e-6 * np.maximum(5, np.abs(expected))).all()


def test_it_is_log_prob_count_for_every_size(target: Target, rng: np.random.Generator) -> None:
    logits = target.array(rng.normal(size=(2, 9)) * 5)
    found = target.to_numpy(ksubset.count_log_pmf(logits))
    for c in range(10):
        one = target.to_numpy(ksubset.log_prob_count(logits, target.array([c, c])))
        np.testing.assert_allclose(
            found[:, c], one, rtol=target.tolerance(2e-6, 1e-14), atol=target.tolerance(1e-6, 1e-14)
        )


def test_infinite_logits_rule_counts_out(target: Target) -> None:
    inf = np.inf
    rows = np.array([[inf, 0.5, -inf, 1.0], [inf, inf, inf, inf], [-inf, -inf, -inf, -inf], [inf, -inf, inf, 3e4]])
    expected = np.stack([exact(row) for row in rows])
    x = target.array(rows)
    ways = [ksubset.count_log_pmf(x)]
    if target.backend != "jax":  # which would compile it operation by operation
        with np.errstate(all="ignore"):
            ways.append(count_log_pmf(replace(find(x, "x").ops(x), sweeps=False), SizeWeighted(0, x.shape[-1]), x))
    for found in map(target.to_numpy, ways):
        check_impossible(target, found, expected)


def check_impossible(target: Target, found: np.ndarray, expected: np.ndarray) -> None:
    assert ((found == -np.inf) == (expected == -np.inf)).all()
    kept = np.isfinite(expected)
    np.testing.assert_allclose(found[kept], expected[kept], rtol=1e-6, atol=target.tolerance(1e-6, 1e-14))


@pytest.mark.backends("numpy", "torch")
def test_integrals_in_the_place_of_products(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for rows of more items than the products are for; rows of small and of large variance."""
    rng = np.random.default_rng(3)
    monkeypatch.setenv("KSUBSET_FAST", "0")
    monkeypatch.setattr(parts, "LONGEST_PRODUCT", 0)
    normal, apart = rng.normal(size=(3, 14)), np.where(np.arange(14) < 5, 25.0, -25.0)
    rows = np.concatenate([normal, 8 * normal, apart + normal, normal - 30])
    found = target.to_numpy(ksubset.count_log_pmf(target.array(rows)))
    expected = np.stack([exact(row) for row in rows])
    np.testing.assert_allclose(found, expected, rtol=target.tolerance(5e-6, 2e-14), atol=target.tolerance(1e-5, 2e-13))


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3, 2), (0, 3)])
def test_batches_of_any_rank(target: Target, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    logits = rng.normal(size=shape)
    found = target.to_numpy(ksubset.count_log_pmf(target.array(logits)))
    assert found.shape == (*shape[:-1], shape[-1] + 1)
    expected = np.array([exact(logits[i]) for i in np.ndindex(shape[:-1])]).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=target.tolerance(2e-6, 1e-14))


def test_results_keep_namespace_device_and_dtype(target: Target) -> None:
    for dtype in target.dtypes:
        x = target.array(np.linspace(-1, 1, 8).reshape(2, 4), dtype)
        found = ksubset.count_log_pmf(x)
        assert type(found) is type(x)
        assert found.dtype == x.dtype
        assert getattr(found, "device", None) == getattr(x, "device", None)


def test_bad_input(target: Target) -> None:
    with pytest.raises(TypeError, match="logits must have a real floating dtype"):
        ksubset.count_log_pmf(target.array([1, 2]))
    with pytest.raises(ValueError, match="logits must have shape"):
        ksubset.count_log_pmf(target.array(1.0))
    bad = target.array([[0.0, 1.0], [np.nan, 1.0], [2.0, 0.0]])
    with pytest.raises(ValueError, match="logits must not contain NaN; got NaN in row 1"):
        ksubset.count_log_pmf(bad, validate=True)
    found = target.to_numpy(ksubset.count_log_pmf(bad, validate=False))
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


@pytest.mark.backends("numpy", "strict", "torch", "cupy")  # under JAX it would be compiled operation by operation
def test_both_ways_to_tilt_agree(target: Target) -> None:
    one_row = [x[0] for x in truth(3)]
    for logits, expected in (one_row, truth(3), truth(40)):
        x = target.array(logits)
        ops = find(x, "x").ops(x)
        with np.errstate(all="ignore"):
            ways = (
                count_log_pmf(replace(ops, sweeps=sweeps), SizeWeighted(0, x.shape[-1]), x) for sweeps in (True, False)
            )
            one, two = map(target.to_numpy, ways)
        bound = target.tolerance(5e-6, 2e-14) * np.maximum(5, np.abs(expected))
        assert (np.abs(one - expected) <= bound).all()
        assert (np.abs(two - expected) <= bound).all()


@differentiable
def test_gradient(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    weights = rng.normal(size=(len(ROWS), LOGITS.shape[1] + 1))
    g = target.array(weights)

    def loss(x: Any) -> Any:
        value = ksubset.count_log_pmf(x)
        return (target.xp.where(target.xp.isfinite(value), value, 0 * g) * g).sum()

    found = target.to_numpy(diff.grad(loss)(target.array(LOGITS)))
    expected = np.stack([w @ slopes(row.logits) for w, row in zip(weights, ROWS, strict=True)])
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    assert (found[np.isinf(LOGITS)] == 0).all()


@differentiable
def test_forward_mode(target: Target, diff: Transforms) -> None:
    found = diff.jvp(ksubset.count_log_pmf, (target.array(LOGITS),), (target.array(DIRECTIONS),))[1]
    expected = np.stack([slopes(row.logits) @ np.where(np.isinf(row.logits), 0, row.v) for row in ROWS])
    np.testing.assert_allclose(target.to_numpy(found), expected, rtol=1e-11, atol=1e-12)


@differentiable
def test_hessian(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    theta, weights = rng.normal(size=4) * 3, rng.normal(size=5)
    g = target.array(weights)
    found = diff.hessian(lambda x: (ksubset.count_log_pmf(x) * g).sum())(target.array(theta))
    p = sigmoid(theta)
    expected = sum(w * (Enumeration(theta, c).covariance - np.diag(p * (1 - p))) for c, w in enumerate(weights))
    np.testing.assert_allclose(target.to_numpy(found), expected, rtol=1e-10, atol=1e-12)


@differentiable
def test_gradient_where_every_count_has_a_tilt_of_its_own(target: Target, diff: Transforms) -> None:
    n = 12
    theta = 800.0 * (np.arange(n) - 4)
    found = diff.jacrev(ksubset.count_log_pmf)(target.array(theta))
    np.testing.assert_allclose(target.to_numpy(found), slopes(theta), atol=1e-12)


@differentiable
def test_vmap_and_compilation(target: Target, diff: Transforms) -> None:
    x = target.array(LOGITS[12:17])
    expected = target.to_numpy(ksubset.count_log_pmf(x))
    for function in (diff.vmap(ksubset.count_log_pmf), diff.compile(ksubset.count_log_pmf)):
        np.testing.assert_allclose(target.to_numpy(function(x)), expected, rtol=1e-12, atol=1e-13)
