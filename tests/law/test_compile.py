"""jit and torch.compile(fullgraph=True), forward and backward."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from capabilities import needs
from conftest import Target
from derivatives import DIRECTIONS, LOGITS
from transforms import Transforms

import ksubset

pytestmark = needs("jit or compile")
X = LOGITS[12:17]


def same(target: Target, found: Any, expected: Any) -> None:
    np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["marginals", "log_normalizer", "log_prob_count", "entropy", "covariance", "mode"])
def test_values(target: Target, diff: Transforms, name: str) -> None:
    x, function = target.array(X), getattr(ksubset, name)
    same(target, diff.compile(lambda x: function(x, 3))(x), function(x, 3))


def test_distribution_object(target: Target, diff: Transforms) -> None:
    def function(x: Any) -> Any:
        d = ksubset.KSubset(x, 3)
        return d.variance + d.mean * d.entropy()[:, None]

    x = target.array(X)
    same(target, diff.compile(function)(x), function(x))


def test_traced_k_with_a_bound(target: Target, diff: Transforms) -> None:
    x, k = target.array(X), target.array([1, 2, 3, 2, 1])
    same(target, diff.compile(lambda x, k: ksubset.marginals(x, k, max_k=3))(x, k), ksubset.marginals(x, k))


def test_bad_rows_give_nan(target: Target, diff: Transforms) -> None:
    bad = X.copy()
    bad[1, 2] = np.nan
    bad[3, :6] = -np.inf
    found = target.to_numpy(diff.compile(lambda x: ksubset.marginals(x, 3))(target.array(bad)))
    assert np.isnan(found[[1, 3]]).all()
    good = target.to_numpy(ksubset.marginals(target.array(X[[0, 2, 4]]), 3))
    np.testing.assert_allclose(found[[0, 2, 4]], good, rtol=1e-11)


@pytest.mark.backends("jax")
def test_gradient_of_rsample_in_jax(target: Target, diff: Transforms) -> None:
    x, g = target.array(X), target.array(DIRECTIONS[:5])
    found = diff.compile(diff.grad(lambda x, key: (ksubset.rsample(x, 3, rng=key) * g).sum()))(x, target.rng(0))
    same(target, found, ksubset.marginals_jvp(x, 3, g))


@pytest.mark.backends("torch")
def test_gradient_of_rsample_in_torch(target: Target, diff: Transforms) -> None:
    import torch

    x, g = target.array(X).requires_grad_(), target.array(DIRECTIONS[:5])
    z = target.array((np.median(X, axis=1, keepdims=True) < X).astype(float))

    def loss(x: Any) -> Any:
        linear = (ksubset.rsample(x, 3) * g).sum()
        return (
            linear + ksubset.entropy(x, 3).sum() + ksubset.log_prob(x, 3, z).sum() + ksubset.kl_to_uniform(x, 3).sum()
        )

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    compiled(x).backward()
    plain = x.detach()
    expected = ksubset.marginals_jvp(plain, 3, g) + z - ksubset.marginals(plain, 3)
    same(target, x.grad, expected)


@pytest.mark.backends("torch")
def test_gradient_of_rsample_of_several_sizes_in_torch(target: Target, diff: Transforms) -> None:
    x, g = target.array(X).requires_grad_(), target.array(DIRECTIONS[:5])
    diff.compile(lambda x: (ksubset.rsample(x, ksubset.at_most(3)) * g).sum())(x).backward()
    same(target, x.grad, ksubset.marginals_jvp(x.detach(), ksubset.at_most(3), g))


def test_asking_for_values_that_are_not_there(target: Target, diff: Transforms) -> None:
    """jax.jit passes the error on; torch.compile wraps it in one of its own that shows it."""
    for k in (3, ksubset.at_most(3)):
        with pytest.raises(Exception, match="validate=True needs values that can be read; got a"):
            diff.compile(lambda x, k=k: ksubset.marginals(x, k, validate=True))(target.array(X))


@pytest.mark.backends("jax")
def test_no_retrace_on_new_values(target: Target) -> None:
    import jax

    traces = []

    @jax.jit
    def function(x: Any, k: Any, key: Any) -> Any:
        traces.append(1)
        return ksubset.rsample(x, k, rng=key, max_k=4) + ksubset.marginals(x, k, max_k=4)

    for seed in range(3):
        function(target.array(X) * (seed + 1), target.array([1, 2, 3, 4, seed]), jax.random.key(seed))
    assert len(traces) == 1


def test_vmap_inside(target: Target, diff: Transforms) -> None:
    """Over rows, beside subsets that all rows share, and with uniforms for each."""
    x, z = target.array(X), ksubset.mode(target.array(X), 3)
    functions = [lambda row: ksubset.marginals(row, 3), lambda row: ksubset.log_prob(row, 3, z), ksubset.count_log_pmf]
    for function in functions:
        mapped = diff.vmap(function)
        np.testing.assert_allclose(target.to_numpy(diff.compile(mapped)(x)), target.to_numpy(mapped(x)), rtol=1e-12)
    if target.backend == "torch":
        draws = diff.compile(diff.vmap(lambda row: ksubset.sample(row, 3, sample_shape=(2,))))(x)
        assert tuple(draws.shape) == (len(X), 2, X.shape[1])
        assert (draws.sum(-1) == 3).all()


@pytest.mark.backends("torch")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_two_arrays_in_half_precision(target: Target, diff: Transforms, dtype: str) -> None:
    import torch

    x = target.array(X, "float32").to(getattr(torch, dtype))
    z = ksubset.mode(x, 3)
    for second in (z, z.float()):
        for function in (lambda x, y: ksubset.log_prob(x, 3, y), lambda x, y: ksubset.kl_divergence(x, y, 3)):
            found, expected = diff.compile(function)(x, second), function(x, second)
            assert found.dtype == expected.dtype == torch.promote_types(x.dtype, second.dtype)
            torch.testing.assert_close(found, expected)


@pytest.mark.backends("torch")
def test_parameters_of_modules(target: Target, diff: Transforms) -> None:
    import torch

    fixed = partial(torch.nn.Parameter, requires_grad=False)
    x, k, w = (
        fixed(target.array(X)),
        fixed(target.array([1, 2, 3, 4, 5])),
        fixed(target.array(np.arange(X.shape[1] + 1.0))),
    )
    z = fixed(ksubset.mode(x, k))

    def function() -> Any:
        return ksubset.log_prob(x, k, z) + ksubset.entropy(x, ksubset.Cardinality(w))

    torch.testing.assert_close(diff.compile(function)(), function())
