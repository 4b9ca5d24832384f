"""vmap over logits, over k, over subsets and over random numbers, alone and composed."""

from typing import Any

import numpy as np
import pytest
from capabilities import needs
from conftest import Target
from derivatives import DIRECTIONS, LOGITS, SIZES
from transforms import Transforms

import ksubset

pytestmark = needs("vmap")
X = LOGITS[12:18]


def same(target: Target, found: Any, expected: Any) -> None:
    np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["marginals", "log_normalizer", "entropy", "mode", "covariance", "kl_to_uniform"])
def test_over_logits(target: Target, diff: Transforms, name: str) -> None:
    x, function = target.array(X), getattr(ksubset, name)
    same(target, diff.vmap(lambda row: function(row, 3))(x), function(x, 3))
    nested = diff.vmap(diff.vmap(lambda row: function(row, 3)))(x.reshape((2, 3, 7)))
    same(target, nested, function(x.reshape((2, 3, 7)), 3))


def test_over_k(target: Target, diff: Transforms) -> None:
    x, k = target.array(X[0]), target.array([1, 2, 5])
    same(target, diff.vmap(lambda k: ksubset.marginals(x, k))(k), ksubset.marginals(x[None, :] + 0 * k[:, None], k))
    rows, sizes = target.array(LOGITS), target.array(SIZES)
    same(target, diff.vmap(lambda row, k: ksubset.entropy(row, k))(rows, sizes), ksubset.entropy(rows, sizes))


def test_over_companions(target: Target, diff: Transforms) -> None:
    x, v = target.array(X[0]), target.array(DIRECTIONS[:4])
    same(target, diff.vmap(lambda v: ksubset.marginals_jvp(x, 3, v))(v), ksubset.marginals_jvp(x, 3, v))
    z = ksubset.sample(x, 3, rng=target.rng(0), sample_shape=(4,))
    same(target, diff.vmap(lambda z: ksubset.log_prob(x, 3, z))(z), ksubset.log_prob(x, 3, z))
    same(target, diff.vmap(lambda v: ksubset.kl_divergence(v, x, 3))(v), ksubset.kl_divergence(v, x, 3))


@pytest.mark.parametrize("name", ["log_prob", "marginals_jvp", "kl_divergence"])
def test_of_companions_with_a_dimension_of_their_own(target: Target, diff: Transforms, name: str) -> None:
    """Four companions for every row, whose number the rows do not know."""
    x, v = target.array(X[:3]), target.array(DIRECTIONS[:4])
    second = ksubset.mode(v, 3) if name == "log_prob" else v

    def function(row: Any, k: Any) -> Any:
        given = (second, k) if name == "kl_divergence" else (k, second)
        return getattr(ksubset, name)(row, *given)

    rows, sizes = x[:, None, :] + 0 * v, target.array([1, 3, 3])
    same(target, diff.vmap(lambda row: function(row, 3))(x), function(rows, 3))
    same(target, diff.vmap(function)(x, sizes), function(rows, target.array(np.tile([[1], [3], [3]], 4))))


def test_over_another_axis(target: Target, diff: Transforms) -> None:
    x = target.array(X)
    found = diff.vmap(lambda row: ksubset.marginals(row, 2), in_axes=1) if target.backend == "jax" else None
    found = found or diff.vmap(lambda row: ksubset.marginals(row, 2), in_dims=1)
    same(target, found(x), ksubset.marginals(x.T, 2))


@pytest.mark.parametrize("name", ["log_normalizer", "entropy"])
def test_of_derivatives(target: Target, diff: Transforms, name: str) -> None:
    x, function = target.array(X), getattr(ksubset, name)
    slope = diff.grad(lambda x: function(x, 3).sum())(x)
    same(target, diff.vmap(diff.grad(lambda row: function(row, 3)))(x), slope)
    curvature = diff.vmap(diff.hessian(lambda row: function(row, 3)))(x)
    same(target, curvature[1], diff.hessian(lambda row: function(row, 3))(x[1]))


def test_draws_differ_between_rows(target: Target, diff: Transforms) -> None:
    if target.backend == "jax":
        import jax

        draw = diff.vmap(lambda key: ksubset.rsample(target.array(np.zeros(7)), 3, rng=key, sample_shape=(2,)))
        z = target.to_numpy(draw(jax.random.split(jax.random.key(0), 20)))
    else:
        draw = diff.vmap(lambda row: ksubset.rsample(row, 3, sample_shape=(2,)))
        z = target.to_numpy(draw(target.array(np.zeros((20, 7)))))
    assert z.shape == (20, 2, 7)
    assert (z.sum(axis=-1) == 3).all()
    assert len(np.unique(z.reshape(40, 7), axis=0)) > 10


def test_gradient_of_draws(target: Target, diff: Transforms) -> None:
    """The gradient of a linear loss is J · g whatever was drawn, also when each row has its own randomness."""
    x, g = target.array(X), target.array(DIRECTIONS[:6])
    if target.backend == "jax":
        import jax

        keys = jax.random.split(jax.random.key(0), 6)
        found = diff.vmap(diff.grad(lambda row, g, key: (ksubset.rsample(row, 3, rng=key) * g).sum()))(x, g, keys)
    else:
        found = diff.vmap(diff.grad(lambda row, g: (ksubset.rsample(row, 3) * g).sum()))(x, g)
    same(target, found, ksubset.marginals_jvp(x, 3, g))
