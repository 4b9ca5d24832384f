"""Estimators that return samples: their law, and their gradient against its definition."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from conftest import Target
from estimated import COST, THETA, K, close, noise_of, top
from oracle import Enumeration
from significance import check_frequencies, check_mean
from transforms import Transforms, differentiable

import ksubset
from ksubset import estimators
from ksubset.estimators import Gumbel, SumOfGamma

TRUTH = Enumeration(THETA, K)
DRAWS = 20_000

SAMPLES: dict[str, Callable[..., Any]] = {
    "simple": estimators.simple,
    "simple_f": lambda x, k, **kw: estimators.simple_f(x, k, lambda_=0.7, **kw),
    "simple_b": estimators.simple_b,
    "simple_b difference": lambda x, k, **kw: estimators.simple_b(x, k, lambda_=0.7, **kw),
    "gumbel_topk_st": estimators.gumbel_topk_st,
    "softsub": estimators.softsub,
    "l2x": estimators.l2x,
    "imle": lambda x, k, **kw: estimators.imle(x, k, lambda_=0.7, S=2, **kw),
    "imle Gumbel": lambda x, k, **kw: estimators.imle(x, k, lambda_=0.7, noise=Gumbel(0.5), **kw),
    "aimle": lambda x, k, beta, **kw: estimators.aimle(x, k, beta, **kw),
}
RELAXED = ("softsub", "l2x")


def sampler(target: Target, name: str, dtype: str | None = None) -> Callable[..., Any]:
    """An estimator for K items, of logits alone."""
    extra = {"beta": target.array(np.array(0.5), dtype)} if name == "aimle" else {}
    return lambda x, **kwargs: SAMPLES[name](x, K, **extra, **kwargs)


def gradient(target: Target, diff: Transforms, function: Callable[..., Any], seed: int = 0, **kwargs: Any) -> Any:
    """Of the linear loss COST · z."""
    cost = target.array(COST)
    return diff.grad(lambda x: (function(x, K, rng=target.rng(seed), **kwargs) * cost).sum())(target.array(THETA))


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def without_replacement() -> np.ndarray:
    """The law of Gumbel top-k on `TRUTH.subsets`: drawn one after the other, in any order."""
    p = softmax(THETA)
    chosen = [np.flatnonzero(z) for z in TRUTH.subsets]
    return np.array([sum(p[i] * p[j] / (1 - p[i]) for i, j in permutations(c)) for c in chosen])


def counts(z: np.ndarray) -> np.ndarray:
    return (z[:, None, :] == TRUTH.subsets).all(axis=-1).sum(axis=0)


@pytest.mark.parametrize("name", SAMPLES)
def test_shape_dtype_and_size(target: Target, name: str) -> None:
    dtype = target.dtypes[0]
    rows = target.array(np.stack([THETA, -THETA]), dtype)
    z = sampler(target, name, dtype)(rows, rng=target.rng(0), sample_shape=(3,))
    assert z.dtype == rows.dtype
    assert z.shape == (3, 2, 5)
    z = target.to_numpy(z)
    if name not in RELAXED:
        assert np.isin(z, (0, 1)).all()
    if name == "l2x":
        assert (z.sum(axis=-1) <= K + 1e-3).all()
    else:
        np.testing.assert_allclose(z.sum(axis=-1), K, rtol=5e-3 if dtype == "float16" else 1e-5)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in (*RELAXED, "aimle")])
@pytest.mark.parametrize("k", [0, 5])
def test_no_choice(target: Target, name: str, k: int) -> None:
    z = SAMPLES[name](target.array(THETA), k, rng=target.rng(0), sample_shape=(2,))
    assert (target.to_numpy(z) == (k > 0)).all()


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("size", [1.0, 1e308])
def test_masked_and_huge_logits(target: Target, name: str, size: float) -> None:
    """NumPy would warn of what is not a number on the way."""
    dtype = "float64" if "float64" in target.dtypes else "float32"
    row = np.array([0.9, -0.9, -np.inf, 0.0, 0.8]) * min(size, 3e38 if dtype == "float32" else size)
    z = target.to_numpy(sampler(target, name, dtype)(target.array(row, dtype), rng=target.rng(0), sample_shape=(3,)))
    assert np.isfinite(z).all()
    assert (z[:, 2] == 0).all()
    if name != "l2x":
        np.testing.assert_allclose(z.sum(axis=-1), K, rtol=1e-5)


@pytest.mark.parametrize("name", RELAXED)
def test_nothing_to_choose(target: Target, name: str) -> None:
    assert (target.to_numpy(SAMPLES[name](target.array(THETA), 0, rng=target.rng(0))) == 0).all()


@differentiable
def test_nothing_to_choose_has_a_gradient(target: Target, diff: Transforms) -> None:
    slope = diff.grad(lambda x: estimators.softsub(x, 0, rng=target.rng(0)).sum())(target.array(THETA))
    assert (target.to_numpy(slope) == 0).all()


@differentiable
@pytest.mark.parametrize("name", ["gumbel_topk_st", "softsub", "l2x", "imle"])
def test_a_row_without_items(target: Target, diff: Transforms, name: str) -> None:
    """All of them masked, as in a batch of rows of different lengths."""
    x = target.array(np.full((2, 3), -np.inf))
    assert (target.to_numpy(SAMPLES[name](x, 0, rng=target.rng(0))) == 0).all()
    slope = diff.grad(lambda x: SAMPLES[name](x, 0, rng=target.rng(0)).sum())(x)
    assert (target.to_numpy(slope) == 0).all()


def test_simple_is_rsample() -> None:
    assert estimators.simple is ksubset.rsample


def test_simple_f_is_exact(target: Target) -> None:
    z = estimators.simple_f(target.array(THETA), K, lambda_=1.0, rng=target.rng(1), sample_shape=(DRAWS,))
    check_frequencies(counts(target.to_numpy(z)), TRUTH.probabilities)


@pytest.mark.parametrize("name", ["gumbel_topk_st", "simple_b", "imle"])
def test_gumbel_samples_are_drawn_without_replacement(target: Target, name: str) -> None:
    arguments = {"gumbel_topk_st": {}, "simple_b": {"noise": Gumbel()}, "imle": {"noise": Gumbel(), "lambda_": 1.0}}
    function = getattr(estimators, name)
    z = function(target.array(THETA), K, rng=target.rng(2), sample_shape=(DRAWS,), **arguments[name])
    check_frequencies(counts(target.to_numpy(z)), without_replacement())


def test_gumbel_noise(target: Target) -> None:
    """exp(−exp(−G)) is uniform, also after a change of scale."""
    u = np.exp(-np.exp(-noise_of(target, Gumbel(0.5), (DRAWS,)) / 0.5))
    check_frequencies(np.histogram(u, 50, (0, 1))[0], np.full(50, 0.02))


@pytest.mark.parametrize(("kappa", "s", "tau"), [(2.0, 10, 1.0), (5.0, 3, 0.5)])
def test_sum_of_gamma_noise(target: Target, kappa: float, s: int, tau: float) -> None:
    """The Fourier transform of its definition."""
    e = noise_of(target, SumOfGamma(kappa, s, tau), (DRAWS, 1)) / tau
    i, w = np.arange(1, s + 1), np.array([3.0, 6.0, 9.0])
    transform = s ** (-1j * w / kappa) * np.prod((1 - 1j * w[:, None] / i) ** (-1 / kappa), axis=1)
    values = np.concatenate([np.cos(w * e), np.sin(w * e)], axis=1)
    check_mean(values, np.concatenate([transform.real, transform.imag]))


def test_sum_of_gamma_takes_k_as_kappa(target: Target) -> None:
    np.testing.assert_array_equal(*(noise_of(target, SumOfGamma(kappa), (9,)) for kappa in (None, 2.0)))


@differentiable
def test_simple_f_has_the_mean_of_a_finite_difference(target: Target, diff: Transforms) -> None:
    step, cost = 0.5, target.array(COST)
    x = target.array(np.tile(THETA, (DRAWS, 1)))

    def loss(x: Any) -> Any:
        return (estimators.simple_f(x, K, lambda_=step, rng=target.rng(3)) * cost).sum()

    expected = (TRUTH.marginals - Enumeration(THETA - step * COST, K).marginals) / step
    check_mean(target.to_numpy(diff.grad(loss)(x)), expected)


@differentiable
def test_simple_f_draws_the_second_sample_anew(target: Target, diff: Transforms) -> None:
    """Where g = 0, z and z' differ as often as two independent subsets do."""
    x = target.array(np.tile(THETA, (DRAWS, 1)))
    found = diff.grad(lambda x: 0 * estimators.simple_f(x, K, lambda_=1.0, rng=target.rng(3)).sum())(x)
    differ = (target.to_numpy(found) != 0).any(axis=-1, keepdims=True).astype(float)
    check_mean(differ, np.array([1 - (TRUTH.probabilities**2).sum()]))


@differentiable
def test_simple_f_tends_to_j_g(target: Target, diff: Transforms) -> None:
    x, cost = target.array(np.tile(THETA, (DRAWS, 1))), target.array(COST)
    found = diff.grad(lambda x: (estimators.simple_f(x, K, lambda_=0.05, rng=target.rng(0)) * cost).sum())(x)
    check_mean(target.to_numpy(found), TRUTH.covariance @ COST)


@differentiable
def test_simple_b_sends_g_through_the_marginals(target: Target, diff: Transforms) -> None:
    b, x = target.array(COST), target.array(THETA)
    z = target.to_numpy(estimators.simple_b(x, K, rng=target.rng(4), sample_shape=(3,)))

    def loss(x: Any) -> Any:
        return ((estimators.simple_b(x, K, rng=target.rng(4), sample_shape=(3,)) - b) ** 2).sum()

    close(diff.grad(loss)(x), TRUTH.covariance @ (2 * (z - COST)).sum(axis=0), target)


@differentiable
@pytest.mark.parametrize("step", [1e-5, 1.0])
def test_simple_b_by_finite_difference(target: Target, diff: Transforms, step: float) -> None:
    found = gradient(target, diff, estimators.simple_b, lambda_=step, sample_shape=(3,))
    difference = (TRUTH.marginals - Enumeration(THETA - step * COST, K).marginals) / step
    close(found, 3 * difference, target, 1e-9)
    if step < 1e-3:
        close(found, 3 * TRUTH.covariance @ COST, target, 1e-3)


@differentiable
def test_gumbel_topk_st_has_the_gradient_of_a_softmax(target: Target, diff: Transforms) -> None:
    p = softmax((THETA + noise_of(target, Gumbel(), (5,))) / 0.5)
    expected = (np.diag(p) - np.outer(p, p)) @ COST / 0.5
    close(gradient(target, diff, estimators.gumbel_topk_st, tau=0.5), expected, target)


def test_softsub_adds_up_softmaxes(target: Target) -> None:
    keys, total = THETA + noise_of(target, Gumbel(), (4, 5)), 0.0
    for _ in range(3):
        a = softmax(keys / 0.5)
        total, keys = total + a, keys + np.log1p(-a)
    z = estimators.softsub(target.array(THETA), 3, t=0.5, rng=target.rng(0), sample_shape=(4,))
    close(z, total, target, 1e-10)


@differentiable
@pytest.mark.parametrize("t", [1e-3, 0.1])
def test_softsub_stays_finite_when_cold(target: Target, diff: Transforms, t: float) -> None:
    """1 − a rounds to 0; the sample is all but hard, and an item is not chosen twice."""
    x, cost = target.array(np.tile(40 * THETA, (20, 1))), target.array(COST)
    z = target.to_numpy(estimators.softsub(x, K, t=t, rng=target.rng(0)))
    assert (z <= 1 + 1e-6).all()
    d = diff.grad(lambda x: (estimators.softsub(x, K, t=t, rng=target.rng(0)) * cost).sum())(x)
    assert np.isfinite(target.to_numpy(d)).all()


def test_l2x_takes_the_largest_of_k_softmaxes(target: Target) -> None:
    soft = softmax((THETA + noise_of(target, Gumbel(), (K, 4, 5))) / 0.5)
    z = estimators.l2x(target.array(THETA), K, tau=0.5, rng=target.rng(0), sample_shape=(4,))
    close(z, soft.max(axis=0), target)


@differentiable
@pytest.mark.parametrize(("name", "temperature"), [("softsub", "t"), ("l2x", "tau")])
def test_relaxations_have_their_own_derivative(target: Target, diff: Transforms, name: str, temperature: str) -> None:
    """Central differences with the same noise."""
    function, step = getattr(estimators, name), 1e-5
    moved = THETA + step * np.concatenate([np.eye(5), -np.eye(5)])

    def loss(row: np.ndarray) -> float:
        z = function(target.array(row), K, rng=target.rng(6), **{temperature: 0.6})
        return float(target.to_numpy(z) @ COST)

    losses = np.array([loss(row) for row in moved])
    found = gradient(target, diff, function, 6, **{temperature: 0.6})
    close(found, (losses[:5] - losses[5:]) / (2 * step), target, 1e-7)


@differentiable
@pytest.mark.parametrize("noise", [Gumbel(0.8), SumOfGamma(), SumOfGamma(5.0, 4, 0.7)], ids=str)
def test_imle_against_its_definition(target: Target, diff: Transforms, noise: Any) -> None:
    step, perturbed = 0.9, THETA + noise_of(target, noise, (3, 6, 5))
    change = top(perturbed, K) - top(perturbed - step * COST, K)
    found = gradient(target, diff, estimators.imle, noise=noise, S=3, lambda_=step, sample_shape=(6,))
    close(found, change.mean(axis=0).sum(axis=0) / step, target)
    z = estimators.imle(target.array(THETA), K, noise=noise, S=3, lambda_=step, sample_shape=(6,), rng=target.rng(0))
    close(z, top(perturbed[0], K), target)


@differentiable
def test_imle_with_gumbel_noise_and_one_item_is_a_difference_of_softmaxes(target: Target, diff: Transforms) -> None:
    step, cost = 0.5, target.array(COST)

    def loss(x: Any) -> Any:
        return (estimators.imle(x, 1, lambda_=step, noise=Gumbel(), rng=target.rng(7)) * cost).sum()

    found = target.to_numpy(diff.grad(loss)(target.array(np.tile(THETA, (3 * DRAWS, 1)))))
    check_mean(found, (softmax(THETA) - softmax(THETA - step * COST)) / step)


@differentiable
@pytest.mark.parametrize("name", ["simple_f", "simple_b", "simple_b difference", "imle", "aimle"])
def test_decided_items_get_no_gradient(target: Target, diff: Transforms, name: str) -> None:
    x, cost = target.array([0.3, -np.inf, 0.5, np.inf, 0.0]), target.array(COST)
    draw = sampler(target, name)

    def loss(x: Any) -> Any:
        return (draw(x, rng=target.rng(0), sample_shape=(300,)) * cost).sum()

    found = target.to_numpy(diff.grad(loss)(x))
    assert (found[[1, 3]] == 0).all()
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 0


@differentiable
def test_sizes_may_differ_from_row_to_row(target: Target, diff: Transforms) -> None:
    """Also where they are mapped over."""
    rows, sizes, cost = target.array(np.stack([THETA, -THETA])), np.array([1, 3]), target.array(COST)
    noise, step = SumOfGamma(2.0), 0.7
    e = noise_of(target, noise, (1, 2, 5))[0]
    perturbed = np.stack([THETA, -THETA]) + e
    expected = [top(p, k) - top(p - step * COST, k) for p, k in zip(perturbed, sizes, strict=True)]

    def loss(x: Any) -> Any:
        z = estimators.imle(x, target.array(sizes), noise=noise, lambda_=step, rng=target.rng(0))
        return (z * cost).sum()

    close(diff.grad(loss)(rows), np.stack(expected) / step, target)


@pytest.mark.backends("jax")
@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "simple"])
def test_jit(target: Target, diff: Transforms, name: str) -> None:
    cost, draw = target.array(COST), sampler(target, name)

    def loss(x: Any, key: Any) -> Any:
        return (draw(x, rng=key, sample_shape=(20,)) * cost).sum()

    x, key = target.array(THETA), target.rng(0)
    expected = target.to_numpy(diff.grad(loss)(x, key))
    close(diff.compile(diff.grad(loss))(x, key), expected, target)
    assert np.abs(expected).max() > 0


@pytest.mark.backends("torch")
@pytest.mark.parametrize("name", SAMPLES)
def test_compile_without_a_graph_break(target: Target, diff: Transforms, name: str) -> None:
    """The random numbers differ from eager ones, so that gradients need only be finite and balanced."""
    import torch

    torch._dynamo.reset()
    x, cost, draw = target.array(THETA).requires_grad_(), target.array(COST), sampler(target, name)
    loss = diff.compile(lambda x: (draw(x, sample_shape=(20,)) * cost).sum())
    loss(x).backward()
    assert abs(float(x.grad.sum())) < 1e-10
    assert x.grad.abs().max() > 0
    with torch.no_grad():
        assert torch.isfinite(loss(x))


@differentiable
@pytest.mark.parametrize("name", ["simple_f", "simple_b", "softsub", "imle"])
def test_vmap(target: Target, diff: Transforms, name: str) -> None:
    """Decided rows, so that random numbers do not matter to samples; gradients need only be finite."""
    rows, cost = target.array(np.stack([200 * THETA, -200 * THETA])), target.array(COST)
    # under vmap JAX takes its keys from the mapped arguments, torch draws anew for each row
    rng = None if target.backend == "torch" else target.rng(0)
    draw = sampler(target, name)

    def loss(x: Any) -> Any:
        return (draw(x, rng=rng) * cost).sum()

    values = target.to_numpy(diff.vmap(loss)(rows))
    expected = top(np.stack([THETA, -THETA]), K) @ COST
    np.testing.assert_allclose(values, expected, rtol=1e-3)
    assert np.isfinite(target.to_numpy(diff.vmap(diff.grad(loss))(rows))).all()
