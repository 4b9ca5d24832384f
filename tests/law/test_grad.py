"""Reverse mode, first order: every function, every k, against enumeration; exactly 0 where an item is decided."""

from typing import Any

import numpy as np
import pytest
from conftest import Target
from derivatives import DIRECTIONS, LOGITS, ROWS, SCALARS, SIZES, gradient
from oracle import Enumeration
from significance import check_mean
from transforms import Transforms, differentiable

import ksubset

pytestmark = differentiable


def close(found: Any, expected: Any, target: Target, tolerance: float = 1e-12) -> None:
    found = target.to_numpy(found)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", SCALARS)
def test_functions_of_a_row(target: Target, diff: Transforms, name: str) -> None:
    k = target.array(SIZES)
    found = diff.grad(lambda x: SCALARS[name](x, k).sum())(target.array(LOGITS))
    expected = np.stack([gradient(name, row) for row in ROWS])
    close(found, expected, target)
    if name in ("entropy", "kl_to_uniform"):
        assert (target.to_numpy(found)[np.isinf(LOGITS)] == 0).all()


def test_marginals(target: Target, diff: Transforms) -> None:
    k, v = target.array(SIZES), target.array(DIRECTIONS)
    found = diff.grad(lambda x: (ksubset.marginals(x, k) * v).sum())(target.array(LOGITS))
    close(found, np.stack([row.truth.covariance @ row.v for row in ROWS]), target)
    assert (target.to_numpy(found)[np.isinf(LOGITS)] == 0).all()


def test_marginals_jvp_in_both_arguments(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    w = rng.normal(size=LOGITS.shape)
    k, weights = target.array(SIZES), target.array(w)

    def loss(x: Any, v: Any) -> Any:
        return (ksubset.marginals_jvp(x, k, v) * weights).sum()

    x, v = target.array(LOGITS), target.array(DIRECTIONS)
    close(diff.grad(loss, 1)(x, v), np.stack([r.truth.covariance @ y for r, y in zip(ROWS, w, strict=True)]), target)
    expected = np.stack([r.truth.third_cumulant @ r.v @ y for r, y in zip(ROWS, w, strict=True)])
    found = diff.grad(loss, 0)(x, v)
    close(found, expected, target)
    assert (target.to_numpy(found)[np.isinf(LOGITS)] == 0).all()


def test_log_prob_in_logits_and_subset(target: Target, diff: Transforms) -> None:
    z = np.stack([row.truth.subsets[-1] for row in ROWS])
    k = target.array(SIZES)

    def loss(x: Any, z: Any) -> Any:
        return ksubset.log_prob(x, k, z).sum()

    found = [diff.grad(loss, i)(target.array(LOGITS), target.array(z)) for i in (0, 1)]
    close(found[0], np.stack([y - row.truth.marginals for row, y in zip(ROWS, z, strict=True)]), target)
    close(found[1], np.stack([row.finite for row in ROWS]), target)
    assert (target.to_numpy(found[0])[np.isinf(LOGITS)] == 0).all()


def test_log_prob_of_many_subsets_of_one_row(target: Target, diff: Transforms) -> None:
    row = ROWS[13]
    z = target.array(row.truth.subsets)
    found = diff.grad(lambda x: ksubset.log_prob(x, row.k, z).sum())(target.array(row.logits))
    close(found, (row.truth.subsets - row.truth.marginals).sum(axis=0), target)


def test_kl_divergence(target: Target, diff: Transforms) -> None:
    other = np.where(np.isinf(LOGITS), LOGITS, DIRECTIONS)
    k = target.array(SIZES)

    def loss(x: Any, y: Any) -> Any:
        return ksubset.kl_divergence(x, y, k).sum()

    found = [diff.grad(loss, i)(target.array(LOGITS), target.array(other)) for i in (0, 1)]
    etas = [Enumeration(eta, row.k) for eta, row in zip(other, ROWS, strict=True)]
    forth = [r.truth.covariance @ (r.finite - eta.finite) for r, eta in zip(ROWS, etas, strict=True)]
    close(found[0], np.stack(forth), target)
    close(found[1], np.stack([e.marginals - r.truth.marginals for r, e in zip(ROWS, etas, strict=True)]), target)


def test_covariance(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    row, weights = ROWS[13], rng.normal(size=(7, 7))
    w = target.array(weights)
    found = diff.grad(lambda x: (ksubset.covariance(x, row.k) * w).sum())(target.array(row.logits))
    close(found, np.einsum("ijk,ij->k", row.truth.third_cumulant, weights), target)


def test_distribution_object(target: Target, diff: Transforms) -> None:
    row = ROWS[13]
    z = target.array(row.truth.subsets[0])

    def loss(x: Any) -> Any:
        d = ksubset.KSubset(x, row.k)
        return d.entropy() + d.log_normalizer() + d.log_prob(z) + (d.mean * z).sum() + d.variance.sum()

    truth = row.truth
    expected = -truth.covariance @ row.finite + truth.subsets[0] + truth.covariance @ truth.subsets[0]
    expected = expected + truth.covariance @ (1 - 2 * truth.marginals)
    close(diff.grad(loss)(target.array(row.logits)), expected, target)


def test_sample_and_mode_have_no_gradient(target: Target, diff: Transforms) -> None:
    x = target.array(ROWS[13].logits)
    for function in (lambda x: ksubset.sample(x, 2, rng=target.rng(0)), lambda x: ksubset.mode(x, 2)):
        assert (target.to_numpy(diff.grad(lambda x, f=function: (f(x) * 2 + 0 * x).sum())(x)) == 0).all()


def test_rsample_of_a_linear_loss_is_j_g_at_every_draw(target: Target, diff: Transforms) -> None:
    k, g = target.array(SIZES), target.array(DIRECTIONS)
    expected = np.stack([row.truth.covariance @ row.v for row in ROWS])
    for seed in range(3):
        found = diff.grad(lambda x, s=seed: (ksubset.rsample(x, k, rng=target.rng(s)) * g).sum())(target.array(LOGITS))
        close(found, expected, target)


def test_rsample_sums_over_draws(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    row, g = ROWS[13], rng.normal(size=(5, 7))
    weights = target.array(g)

    def loss(x: Any) -> Any:
        return (ksubset.rsample(x, row.k, rng=target.rng(0), sample_shape=(5,)) * weights).sum()

    close(diff.grad(loss)(target.array(row.logits)), row.truth.covariance @ g.sum(axis=0), target)


def test_rsample_of_a_quadratic_loss_has_the_stated_mean(
    target: Target, diff: Transforms, rng: np.random.Generator
) -> None:
    """J · E[∇ℓ(z)] for ℓ = ‖z − b‖², over 200,000 draws."""
    row, b, draws = ROWS[13], rng.normal(size=7), 200_000
    shift = target.array(b)
    x = target.array(np.tile(row.logits, (draws, 1)))
    found = diff.grad(lambda x: ((ksubset.rsample(x, row.k, rng=target.rng(1)) - shift) ** 2).sum())(x)
    check_mean(target.to_numpy(found), row.truth.covariance @ (2 * (row.truth.marginals - b)))


def test_pathwise_gradient_of_the_divergence(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    """E[log p_θ(z) − log p_η(z)] through z and θ has the gradient of `kl_divergence`, its summand being linear in z."""
    row, eta = ROWS[13], target.array(rng.normal(size=7))

    def pathwise(x: Any) -> Any:
        z = ksubset.rsample(x, row.k, rng=target.rng(2))
        return (ksubset.log_prob(x, row.k, z) - ksubset.log_prob(eta, row.k, z)).sum()

    exact = diff.grad(lambda x: ksubset.kl_divergence(x, eta, row.k))(target.array(row.logits))
    found = diff.grad(pathwise)(target.array(np.tile(row.logits, (40_000, 1))))
    check_mean(target.to_numpy(found), target.to_numpy(exact))
