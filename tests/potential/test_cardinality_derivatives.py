"""Derivatives under a cardinality potential, in the logits and in the log-weights, against enumeration."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Target
from derivatives import sigmoid
from potentials import Potential, rows
from transforms import Transforms, differentiable

import ksubset

pytestmark = differentiable

N = 4
ROWS = rows(N, 3)
LOGITS = np.stack([row.logits for row in ROWS])
WEIGHTS = np.stack([row.log_weights for row in ROWS])
FINITE = np.isfinite(np.concatenate([LOGITS, WEIGHTS], axis=1))
DIRECTIONS = np.random.default_rng(4).normal(size=FINITE.shape) * FINITE
Function = Callable[..., Any]


def cut(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What concerns the logits, and what the log-weights."""
    return x[..., :N], x[..., N:]


def close(target: Target, found: Any, expected: np.ndarray) -> None:
    """Both gradients, to a rounding of the largest number in each row."""
    both = np.concatenate([target.to_numpy(x) for x in found], axis=-1)
    scale = np.maximum(1, np.abs(expected).max(axis=-1, keepdims=True))
    size = np.maximum(1, [[np.abs(row.parameters).max()] for row in ROWS])
    assert (np.abs(both - expected) <= 2e-14 * scale * size).all()


def gradient(row: Potential, name: str) -> np.ndarray:
    """Of a function of a row in (θ, ω)."""
    if name == "log_normalizer":
        return row.mean
    if name == "log_prob_count":
        return row.mean - np.append(sigmoid(row.logits), np.zeros(N + 1))
    return -row.covariance @ row.parameters


@pytest.mark.parametrize("name", ["log_normalizer", "log_prob_count", "entropy"])
def test_functions_of_a_row(target: Target, diff: Transforms, name: str) -> None:
    def function(x: Any, w: Any) -> Any:
        return getattr(ksubset, name)(x, ksubset.Cardinality(w))

    x, w = target.array(LOGITS), target.array(WEIGHTS)
    expected = np.stack([gradient(row, name) for row in ROWS])
    close(target, diff.grad(lambda x, w: function(x, w).sum(), (0, 1))(x, w), expected)
    along = diff.jvp(function, (x, w), tuple(map(target.array, cut(DIRECTIONS))))[1]
    np.testing.assert_allclose(target.to_numpy(along), (expected * DIRECTIONS).sum(axis=1), rtol=1e-9, atol=1e-9)


def test_a_row_alone(target: Target, diff: Transforms) -> None:
    row = ROWS[2]
    slope = diff.grad(lambda x, w: ksubset.log_prob_count(x, ksubset.Cardinality(w)), (0, 1))
    found = [target.to_numpy(x) for x in slope(target.array(row.logits), target.array(row.log_weights))]
    np.testing.assert_allclose(np.concatenate(found), gradient(row, "log_prob_count"), atol=1e-12)


def test_variance_of_the_distribution_object(target: Target, diff: Transforms) -> None:
    row = ROWS[2]
    slope = diff.grad(lambda x, w: ksubset.KSubset(x, ksubset.Cardinality(w)).variance.sum(), (0, 1))
    found = [target.to_numpy(x) for x in slope(target.array(row.logits), target.array(row.log_weights))]
    expected = row.covariance[:, :N] @ (1 - 2 * row.mean[:N])
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-12)


def test_functions_of_an_item(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    g = np.concatenate([rng.normal(size=LOGITS.shape), np.zeros(WEIGHTS.shape)], axis=1)
    weights = target.array(cut(g)[0])
    expected = np.stack([row.covariance @ y for row, y in zip(ROWS, g, strict=True)]) * FINITE
    functions: list[Function] = [ksubset.marginals, lambda x, k: ksubset.rsample(x, k, rng=target.rng(0))]
    for function in functions:
        found = diff.grad(lambda x, w, f=function: (f(x, ksubset.Cardinality(w)) * weights).sum(), (0, 1))
        close(target, found(target.array(LOGITS), target.array(WEIGHTS)), expected)


def test_samples_have_no_gradient(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    def loss(x: Any) -> Any:
        return (ksubset.sample(x, ksubset.at_most(2), rng=target.rng(0)) * 2 + 0 * x).sum()

    assert (target.to_numpy(diff.grad(loss)(target.array(rng.normal(size=N)))) == 0).all()


def test_log_prob(target: Target, diff: Transforms) -> None:
    z = np.stack([row.subsets[-1] for row in ROWS])
    seen = np.stack([row.statistics[-1] for row in ROWS])

    def total(x: Any, w: Any, z: Any) -> Any:
        return ksubset.log_prob(x, ksubset.Cardinality(w), z).sum()

    found = diff.grad(total, (0, 1, 2))(target.array(LOGITS), target.array(WEIGHTS), target.array(z))
    close(target, found[:2], seen - np.stack([row.mean for row in ROWS]))
    np.testing.assert_allclose(target.to_numpy(found[2]), np.where(np.isinf(LOGITS), 0, LOGITS), rtol=1e-12)


def test_kl_divergence(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    other = LOGITS + rng.normal(size=LOGITS.shape)
    etas = [Potential(eta, row.log_weights) for row, eta in zip(ROWS, other, strict=True)]

    def total(x: Any, y: Any, w: Any) -> Any:
        return ksubset.kl_divergence(x, y, ksubset.Cardinality(w)).sum()

    found = diff.grad(total, (0, 1, 2))(target.array(LOGITS), target.array(other), target.array(WEIGHTS))
    here = np.stack([r.covariance @ (r.parameters - e.parameters) for r, e in zip(ROWS, etas, strict=True)])
    there = np.stack([e.mean - r.mean for r, e in zip(ROWS, etas, strict=True)])
    close(target, (found[0], found[2]), here + np.concatenate([0 * cut(there)[0], cut(there)[1]], axis=1))
    np.testing.assert_allclose(target.to_numpy(found[1]), cut(there)[0], atol=1e-11)


@pytest.mark.parametrize("logits", [rows(4, 5)[2].logits, np.zeros(4), np.array([-1.0, 0.75, 0.75, 1.5])])
def test_marginals_jvp(target: Target, diff: Transforms, rng: np.random.Generator, logits: np.ndarray) -> None:
    """The derivative of J · v in (θ, ω) is the third cumulant, for equal logits too."""
    row = Potential(logits, rows(4, 5)[2].log_weights)
    v, g = rng.normal(size=4), rng.normal(size=4)
    direction, weights = target.array(v), target.array(g)

    def total(x: Any, w: Any) -> Any:
        return (ksubset.marginals_jvp(x, ksubset.Cardinality(w), direction) * weights).sum()

    found = diff.grad(total, (0, 1))(target.array(row.logits), target.array(row.log_weights))
    expected = np.einsum("ijk,j,k->i", row.third_cumulant[:, :4, :4], v, g)
    np.testing.assert_allclose(np.concatenate([target.to_numpy(x) for x in found]), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["log_normalizer", "log_prob_count", "entropy"])
def test_hessian_of_equal_logits(target: Target, diff: Transforms, name: str) -> None:
    """By forward mode within forward mode, which in torch goes through the core's own array code."""
    row, k = Potential(np.zeros(4), np.zeros(5)), ksubset.at_least(0)
    x, v = target.array(row.logits), target.array(np.array([0.3, -1.0, 0.5, 2.0]))

    def slope(x: Any) -> Any:
        return diff.jvp(lambda x: getattr(ksubset, name)(x, k), (x,), (v,))[1]

    curvature = {"log_normalizer": row.covariance, "entropy": -row.covariance}.get(name, 0 * row.covariance)[:4, :4]
    found = float(diff.jvp(slope, (x,), (v,))[1])
    assert found == pytest.approx(target.to_numpy(v) @ curvature @ target.to_numpy(v), abs=1e-12)


def test_hessian_where_one_size_is_possible(target: Target, diff: Transforms) -> None:
    x, only = target.array(LOGITS[0]), ksubset.between(2, 2)

    def slope(x: Any) -> Any:
        return diff.jvp(lambda x: ksubset.log_normalizer(x, only), (x,), (x,))[1]

    found, expected = diff.jvp(slope, (x,), (x,))[1], x @ ksubset.covariance(x, 2) @ x + x @ ksubset.marginals(x, 2)
    assert float(found) == pytest.approx(float(expected), abs=1e-12)


def test_hessian_in_the_log_weights(target: Target, diff: Transforms) -> None:
    """Of the entropy: −(J + K · (θ, ω)), K the third cumulant; zeros among the weights have no part in it."""
    row = next(r for r in rows(3, 7) if np.isinf(r.log_weights).any() and np.isfinite(r.logits).all())
    x = target.array(row.logits)
    found = diff.hessian(lambda w: ksubset.entropy(x, ksubset.Cardinality(w)))(target.array(row.log_weights))
    expected = -(row.covariance + row.third_cumulant @ row.parameters)[3:, 3:]
    np.testing.assert_allclose(target.to_numpy(found), expected, atol=1e-12)


def test_vmap_and_compilation(target: Target, diff: Transforms) -> None:
    x, w = target.array(LOGITS[:4]), target.array(WEIGHTS[:4])

    def function(x: Any, w: Any) -> Any:
        return ksubset.marginals(x, ksubset.Cardinality(w))

    expected = target.to_numpy(function(x, w))
    np.testing.assert_allclose(target.to_numpy(diff.vmap(function)(x, w)), expected, atol=1e-13)
    np.testing.assert_allclose(target.to_numpy(diff.compile(function)(x, w)), expected, atol=1e-13)


def test_vmap_over_log_weights_alone(target: Target, diff: Transforms) -> None:
    """Whose values cannot be read, while the logits' values can."""
    x, w = target.array(LOGITS[0]), target.array(WEIGHTS[:4])
    found = diff.vmap(lambda w: ksubset.marginals(x, ksubset.Cardinality(w)))(w)
    expected = ksubset.marginals(target.array(np.stack([LOGITS[0]] * 4)), ksubset.Cardinality(w))
    np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), atol=1e-13)


def test_draws_under_vmap(target: Target, diff: Transforms) -> None:
    x = target.array(LOGITS[:4])
    if target.backend == "jax":
        import jax

        draw = diff.vmap(lambda x, key: ksubset.sample(x, ksubset.at_most(2), rng=key))
        z = draw(x, jax.random.split(jax.random.key(0), 4))
    else:
        z = diff.vmap(lambda x: ksubset.sample(x, ksubset.at_most(2)))(x)
    assert (target.to_numpy(z).sum(axis=-1) <= 2).all()
    assert tuple(z.shape) == (4, N)
