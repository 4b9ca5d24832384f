"""The derivative of the inverse map: J⁺ by enumeration, finite differences, second order, transformations."""

from typing import Any

import numpy as np
import pytest
from conftest import Target
from inverse_cases import centred
from oracle import Enumeration
from transforms import Transforms, differentiable

import ksubset

pytestmark = differentiable
INF = np.inf
LOGITS = np.array([
    [0.3, -0.2, 1.1, -0.9, 0.5],
    [2.0, -3.0, 0.1, 4.0, -1.0],
    [0.0, 0.0, 0.0, 0.0, 0.0],
    [INF, 0.5, -INF, -1.0, 0.2],
    [6.0, -6.0, 5.0, -5.0, 0.0],
])  # fmt: skip
SIZES = np.array([2, 3, 4, 2, 2])
TRUTH = [Enumeration(row, int(k)) for row, k in zip(LOGITS, SIZES, strict=True)]
MU = np.stack([np.where(np.isinf(row.logits), row.logits > 0, row.marginals) for row in TRUTH])
RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(size=LOGITS.shape)
CHANGE = np.where(np.isinf(LOGITS), 0, centred(np.where(np.isinf(LOGITS), INF, WEIGHTS * MU * (1 - MU))))
"""A change of the marginals that keeps their sum."""


def pseudo_inverse(v: np.ndarray) -> np.ndarray:
    return np.stack([np.linalg.pinv(row.covariance, rcond=1e-13) @ x for row, x in zip(TRUTH, v, strict=True)])


def of_no_sum(v: np.ndarray) -> np.ndarray:
    """Gradients less the constant that is arbitrary in them."""
    free = np.isfinite(LOGITS[: len(v)])
    assert (v[~free] == 0).all()
    return np.where(free, centred(np.where(free, v, INF)), 0)


def weighted(target: Target) -> Any:
    """The sum of finite logits, each with a weight."""
    k, w, zero = target.array(SIZES), target.array(WEIGHTS), target.array(np.zeros_like(WEIGHTS))
    infinite = target.array(np.isinf(LOGITS))

    def loss(mu: Any) -> Any:
        theta = ksubset.logits_from_marginals(mu, k)
        return (w * target.xp.where(infinite, zero, theta)).sum()

    return loss


def test_gradient(target: Target, diff: Transforms) -> None:
    found = target.to_numpy(diff.grad(weighted(target))(target.array(MU)))
    np.testing.assert_allclose(of_no_sum(found), pseudo_inverse(WEIGHTS), rtol=1e-9, atol=1e-9)


def test_forward_mode_against_finite_differences(target: Target, diff: Transforms) -> None:
    k = target.array(SIZES)

    def logits(mu: Any) -> Any:
        return ksubset.logits_from_marginals(mu, k, validate=False)

    found = target.to_numpy(diff.jvp(logits, (target.array(MU),), (target.array(CHANGE),))[1])
    np.testing.assert_allclose(found, pseudo_inverse(CHANGE), rtol=1e-9, atol=1e-10)
    step = 1e-4
    ahead, behind = (target.to_numpy(logits(target.array(MU + s * CHANGE))) for s in (step, -step))
    with np.errstate(invalid="ignore"):
        slope = np.where(np.isinf(LOGITS), 0, (ahead - behind) / (2 * step))
    np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-6)


def test_there_and_back_under_compilation(target: Target, diff: Transforms) -> None:
    """The logits of the marginals of θ are θ less its mean."""
    x, w = target.array(LOGITS[:3]), target.array(WEIGHTS[:3])

    def loss(x: Any) -> Any:
        return (w * ksubset.logits_from_marginals(ksubset.marginals(x, 2), 2)).sum()

    if target.backend == "torch":
        leaf = x.clone().requires_grad_()
        diff.compile(loss)(leaf).backward()
        found = leaf.grad
    else:
        found = diff.compile(diff.grad(loss))(x)
    expected = WEIGHTS[:3] - WEIGHTS[:3].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(target.to_numpy(found), expected, atol=1e-11)


def test_over_rows(target: Target, diff: Transforms) -> None:
    """vmap over the marginals and k, of values and of gradients."""
    mu, k = target.array(MU), target.array(SIZES)
    found = target.to_numpy(diff.vmap(ksubset.logits_from_marginals)(mu, k))
    np.testing.assert_allclose(found, centred(LOGITS), rtol=0, atol=1e-11)

    def loss(mu: Any, k: Any, w: Any) -> Any:
        return (w * ksubset.logits_from_marginals(mu, k)).sum()

    rows, w = slice(0, 3), target.array(WEIGHTS[:3])
    found = target.to_numpy(diff.vmap(diff.grad(loss))(mu[rows], k[rows], w))
    np.testing.assert_allclose(of_no_sum(found), pseudo_inverse(WEIGHTS)[rows], rtol=1e-9, atol=1e-9)


MODES = "forward over reverse", "reverse over reverse"


@pytest.mark.backends("torch")
@pytest.mark.parametrize("mode", MODES)
def test_second_order(target: Target, diff: Transforms, mode: str) -> None:
    check_second_order(target, diff, mode)


@pytest.mark.slow
@pytest.mark.backends("jax")
@pytest.mark.parametrize("mode", [*MODES, "forward over forward"])
def test_second_order_in_jax(target: Target, diff: Transforms, mode: str) -> None:
    """Half a minute of XLA's compiler for each."""
    check_second_order(target, diff, mode)


def check_second_order(target: Target, diff: Transforms, mode: str) -> None:
    """Along v the gradient of Σ (θ − mean)³ changes by C · 6 (θ − mean) ⊙ C · v, C the centring."""
    x, v = LOGITS[0], WEIGHTS[0]

    def cubes(x: Any) -> Any:
        return (ksubset.logits_from_marginals(ksubset.marginals(x, 2), 2) ** 3).sum()

    if mode == "forward over reverse":
        found = diff.jvp(diff.grad(cubes), (target.array(x),), (target.array(v),))[1]
    else:
        inner = diff.grad(cubes) if mode == "reverse over reverse" else diff.jacfwd(cubes)
        outer = diff.jacrev if mode == "reverse over reverse" else diff.jacfwd
        found = outer(inner)(target.array(x)) @ target.array(v)
    product = 6 * (x - x.mean()) * (v - v.mean())
    np.testing.assert_allclose(target.to_numpy(found), product - product.mean(), atol=1e-11)


@pytest.mark.backends("torch")
def test_gradcheck(target: Target) -> None:
    """Both orders of the derivative in the coordinates of the plane in which marginals may move."""
    import torch

    basis = np.linalg.svd(np.eye(5) - 0.2)[0][:, :4] * (MU[0] * (1 - MU[0]))[:, None]
    basis, mu = target.array(basis - basis.mean(axis=0)), target.array(MU[0])

    def logits(u: Any) -> Any:
        return ksubset.logits_from_marginals(mu + basis @ u, 2)

    u = target.array(np.zeros(4)).requires_grad_()
    assert torch.autograd.gradcheck(logits, u, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(logits, u)


@pytest.mark.backends("torch")
def test_forward_over_forward_is_refused(target: Target, diff: Transforms) -> None:
    """Torch would drop the outer tangent."""
    with pytest.raises(NotImplementedError, match="reverse mode"):
        diff.jacfwd(diff.jacfwd(lambda mu: ksubset.logits_from_marginals(mu, 2)))(target.array(MU[0]))


def test_small_marginals_keep_their_digits(target: Target, diff: Transforms) -> None:
    """∂θ/∂μ is about 1/μ there. A change in proportion to μ moves logits like log μ by about one."""
    mu = np.array([0.5 - 3e-20, 0.3, 0.2, 1e-20, 2e-20])
    k, change = 1, np.array([-0.1, 0.05, 0.05, 1e-21, 2e-21])
    change[0] = -change[1:].sum()

    def logits(mu: Any) -> Any:
        return ksubset.logits_from_marginals(mu, k)

    found = target.to_numpy(diff.jvp(logits, (target.array(mu),), (target.array(change),))[1])
    expected = change / mu
    np.testing.assert_allclose(found, expected - expected.mean(), rtol=1e-12)


def test_rescaling(target: Target, diff: Transforms) -> None:
    """By finite differences, to the second order; 0 and 1 stay what they are."""
    mu, k, w = np.array([[0.6, 0.3, 0.8, 1.0, 0.0], [0.2, 0.9, 0.1, 0.3, 0.7]]), np.array([3, 2]), WEIGHTS[:2]
    free = (mu > 0) & (mu < 1)

    sizes, weights, inside, zero = (target.array(x) for x in (k, w, free, np.zeros_like(mu)))

    def loss(x: Any) -> Any:
        theta = ksubset.logits_from_marginals(x, sizes, rescale=True, validate=False)
        return (weights * target.xp.where(inside, theta, zero) ** 2).sum()

    def slope(x: Any) -> Any:
        return (diff.grad(loss)(x) * weights * inside).sum()

    for function in (loss, slope):
        found = target.to_numpy(diff.grad(function)(target.array(mu)))
        for place in np.argwhere(free):
            change = np.zeros_like(mu)
            change[tuple(place)] = 1e-5
            ends = [float(function(target.array(mu + sign * change))) for sign in (1, -1)]
            np.testing.assert_allclose(found[tuple(place)], (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(float(diff.compile(loss)(target.array(mu))), float(loss(target.array(mu))), rtol=1e-12)
