"""Estimators that take the loss: unbiased, by z-test and draw by draw, against enumeration."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Target
from oracle import Enumeration
from significance import check_mean
from transforms import Transforms, differentiable

import ksubset
from ksubset import estimators

THETA = np.array([0.3, -1.0, 0.5, 2.0, 0.0])
COST = np.array([1.0, -2.0, 0.7, 0.5, 3.0])
K = 2
TRUTH = Enumeration(THETA, K)
ROWS = 20_000

MEANS: dict[str, Callable[..., Any]] = {
    "exact_gradient": lambda loss, x, k, rng=None: estimators.exact_gradient(loss, x, k),
    "score_function": estimators.score_function,
    "score_function, S=3": lambda loss, x, k, rng: estimators.score_function(loss, x, k, S=3, rng=rng),
    "simple_unbiased": estimators.simple_unbiased,
    "simple_unbiased, S=2": lambda loss, x, k, rng: estimators.simple_unbiased(loss, x, k, S=2, rng=rng),
}


@pytest.fixture
def one_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core's, so that a seed gives the same samples inside and outside of a transformation."""
    monkeypatch.setenv("KSUBSET_FAST", "0")


def quadratic(cost: Any, a: Any = 1.0) -> Callable[[Any], Any]:
    """Not linear in z: a (cost · z)² + cost · z."""

    def loss(z: Any) -> Any:
        return a * (z * cost).sum(-1) ** 2 + (z * cost).sum(-1)

    return loss


VALUES = quadratic(COST)(TRUTH.subsets)
MEAN = TRUTH.probabilities @ VALUES
GRADIENT = (TRUTH.probabilities * (VALUES - MEAN)) @ (TRUTH.subsets - TRUTH.marginals)


def close(found: Any, expected: Any, target: Target, tolerance: float = 1e-12) -> None:
    tolerance = target.tolerance(1e-5, tolerance)
    np.testing.assert_allclose(target.to_numpy(found), expected, rtol=tolerance, atol=tolerance)


@differentiable
@pytest.mark.parametrize("name", MEANS)
def test_unbiased(target: Target, diff: Transforms, name: str) -> None:
    """Value and gradient, each row of a large batch by its own samples."""
    x, loss = target.array(np.tile(THETA, (ROWS, 1))), quadratic(target.array(COST))
    value = MEANS[name](loss, x, K, rng=target.rng(0))
    found = diff.grad(lambda x: MEANS[name](loss, x, K, rng=target.rng(1)).sum())(x)
    if name == "exact_gradient":
        close(value, np.full(ROWS, MEAN), target)
        close(found, np.tile(GRADIENT, (ROWS, 1)), target)
    check_mean(target.to_numpy(value), MEAN)
    check_mean(target.to_numpy(found), GRADIENT)


@pytest.mark.backends("numpy", "torch", "jax")
@pytest.mark.parametrize("name", MEANS)
def test_the_dtype_of_the_losses(target: Target, name: str) -> None:
    """That of the logits where the losses have it, half precision included; a wider one where they are wider."""
    x = target.array(THETA, "float16")
    for dtype in ("float16", "float32"):
        loss = quadratic(target.array(COST, dtype))
        assert MEANS[name](loss, x, K, rng=target.rng(0)).dtype == target.array(COST, dtype).dtype


@differentiable
@pytest.mark.usefixtures("one_sampler")
@pytest.mark.parametrize("S", [1, 3])
def test_score_function_draw_by_draw(target: Target, diff: Transforms, S: int) -> None:
    """With the samples that `sample` draws from the same seed."""
    x, loss = target.array(THETA), quadratic(target.array(COST))
    z = target.to_numpy(ksubset.sample(x, K, rng=target.rng(2), sample_shape=(S,)))
    losses = quadratic(COST)(z)
    baselines = [np.delete(losses, s).mean() if S > 1 else 0.0 for s in range(S)]
    expected = ((losses - baselines)[:, None] * (z - TRUTH.marginals)).mean(axis=0)
    found = diff.grad(lambda x: estimators.score_function(loss, x, K, S=S, rng=target.rng(2)))(x)
    close(found, expected, target)


@differentiable
@pytest.mark.usefixtures("one_sampler")
def test_simple_unbiased_draw_by_draw(target: Target, diff: Transforms) -> None:
    x, loss, mu = target.array(THETA), quadratic(target.array(COST)), TRUTH.marginals
    z = target.to_numpy(ksubset.sample(x, K, rng=target.rng(2), sample_shape=(3,)))
    g = (2 * COST @ mu + 1) * COST
    remainder = quadratic(COST)(z) - quadratic(COST)(mu) - (z - mu) @ g
    expected = TRUTH.covariance @ g + (remainder[:, None] * (z - mu)).mean(axis=0)
    found = diff.grad(lambda x: estimators.simple_unbiased(loss, x, K, S=3, rng=target.rng(2)))(x)
    close(found, expected, target)


@differentiable
def test_simple_unbiased_of_a_linear_loss_has_no_variance(target: Target, diff: Transforms) -> None:
    cost = target.array(COST)
    x = target.array(np.tile(THETA, (10, 1)))
    found = diff.grad(
        lambda x: estimators.simple_unbiased(lambda z: (z * cost).sum(-1), x, K, rng=target.rng(3)).sum()
    )(x)
    close(found, np.tile(TRUTH.covariance @ COST, (10, 1)), target)


@differentiable
@pytest.mark.usefixtures("one_sampler")
@pytest.mark.parametrize("name", MEANS)
def test_gradients_pass_to_what_the_loss_depends_on(target: Target, diff: Transforms, name: str) -> None:
    """d/da of a (cost · z)² + cost · z, at the same samples for every a."""
    x, cost = target.array(THETA), target.array(COST)

    def value(a: Any) -> Any:
        return MEANS[name](quadratic(cost, a), x, K, rng=target.rng(4))

    low, high = (float(target.to_numpy(value(target.array(a)))) for a in (np.array(1.0), np.array(2.0)))
    close(diff.grad(value)(target.array(np.array(1.5))), high - low, target, 1e-10)


@pytest.mark.parametrize("name", MEANS)
def test_value_without_a_gradient(target: Target, name: str) -> None:
    """On every target; a decided row has a certain loss."""
    xp = target.xp
    cost = target.array(COST)
    x = target.array(np.array([[-np.inf, 0.0, -np.inf, 0.0, -np.inf], [np.inf, -400.0, 400.0, -400.0, -400.0]]))
    value = MEANS[name](lambda z: xp.sum(z * cost, axis=-1), x, K, rng=target.rng(5))
    close(value, np.array([-1.5, 1.7]), target)


@differentiable
@pytest.mark.parametrize("name", MEANS)
def test_decided_items_get_no_gradient(target: Target, diff: Transforms, name: str) -> None:
    row, loss = np.array([0.3, -np.inf, 0.5, np.inf, 0.0]), quadratic(target.array(COST))
    x = target.array(np.tile(row, (30, 1)))
    found = target.to_numpy(diff.grad(lambda x: MEANS[name](loss, x, K, rng=target.rng(6)).sum())(x))
    assert (found[:, [1, 3]] == 0).all()
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 0


@pytest.mark.backends("jax")
@pytest.mark.parametrize("name", MEANS)
def test_jit(target: Target, diff: Transforms, name: str) -> None:
    x, loss, key = target.array(THETA), quadratic(target.array(COST)), target.rng(7)

    def value(x: Any, key: Any) -> Any:
        return MEANS[name](loss, x, K, rng=key)

    close(diff.compile(diff.grad(value))(x, key), target.to_numpy(diff.grad(value)(x, key)), target)


@pytest.mark.backends("torch")
@pytest.mark.parametrize("name", MEANS)
def test_backward(target: Target, name: str) -> None:
    """By `Tensor.backward`, to which the loss's parameters belong as well."""
    x, cost = target.array(THETA).requires_grad_(), target.array(COST).requires_grad_()
    MEANS[name](quadratic(cost), x, K, rng=target.rng(8)).backward()
    assert x.grad.abs().max() > 0
    assert cost.grad.abs().max() > 0
