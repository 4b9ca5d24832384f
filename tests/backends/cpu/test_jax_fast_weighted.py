"""Cardinality potentials by kernels inside JAX's programs: the answers of NumPy, under every transformation."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
pytest.importorskip("jax", reason="a test of JAX's adapter")
import jax
from conftest import Target
from oracle import Enumeration
from significance import check_frequencies

import ksubset
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cpu import dispatch_weighted

pytestmark = pytest.mark.backends("jax")
N = 9
X = np.random.default_rng(0).normal(size=(2, 3, N))
V = np.random.default_rng(1).normal(size=X.shape)
POTENTIALS = {"few": ksubset.at_most(3), "many": ksubset.at_least(7), "some": ksubset.between(2, 5)}
FAR = np.where(np.arange(N) < 4, -700.0, 700.0) + X[0]
"""Rows whose sizes 0 and n, made equally likely, are beyond the reach of one tilt."""
ENDS = np.where(np.arange(N + 1) == 0, FAR.sum(-1)[0], np.where(np.arange(N + 1) == N, 0, -np.inf))


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSUBSET_FAST", raising=False)


def check(found: Any, expected: Any, dtype: str = "float64") -> None:
    np.testing.assert_allclose(
        found, expected, rtol={"float32": 1e-5, "float64": 1e-13}[dtype], atol=1e-7 if dtype == "float32" else 1e-15
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", POTENTIALS)
def test_agrees_with_enumeration(target: Target, name: str, dtype: str) -> None:
    k, x, v = POTENTIALS[name], X.astype(dtype), V.astype(dtype)
    given, along = target.array(x, dtype), target.array(v, dtype)
    expected = ksubset.marginals(X, k)
    check(jax.jit(lambda x: ksubset.marginals(x, k))(given), expected, dtype)
    gradient = jax.jit(jax.grad(lambda x: (ksubset.marginals(x, k) * along).sum()))(given)
    check(gradient, ksubset.marginals_jvp(X, k, V), dtype)
    _, tangent = jax.jvp(lambda x: ksubset.marginals(x, k), (given,), (along,))
    check(tangent, ksubset.marginals_jvp(X, k, V), dtype)


@pytest.mark.parametrize("name", POTENTIALS)
def test_gradients_of_log_weights(target: Target, name: str) -> None:
    omega = np.where(np.arange(N + 1) % 3 == 1, -np.inf, np.random.default_rng(2).normal(size=N + 1))
    x, v = target.array(X), target.array(V)

    def value(omega: Any) -> Any:
        return (ksubset.marginals(x, ksubset.Cardinality(omega)) * v).sum()

    step, gradient = 1e-6, jax.grad(value)(target.array(omega))
    for size in (0, 2, 5):
        moved = [omega + sign * step * (np.arange(N + 1) == size) for sign in (1, -1)]
        up, down = ((ksubset.marginals(X, ksubset.Cardinality(w)) * V).sum() for w in moved)
        assert float(gradient[size]) == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-8)


def test_rows_that_no_kernel_serves(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's core computes them while the program waits, and they alone."""
    mixed = np.stack([FAR, X[1]])
    k = [ksubset.Cardinality(wrap(ENDS)) for wrap in (target.array, np.asarray)]
    served = (
        dispatch_weighted.KernelRows(
            np.concatenate([mixed, np.broadcast_to(ENDS, (2, 3, N + 1))], -1), SizeWeighted(0, N)
        )
        .moments(1)
        .served
    )
    assert 0 < served.sum() < served.size
    found = jax.jit(lambda x: ksubset.marginals(x, k[0]))(target.array(mixed))
    check(found, ksubset.marginals(mixed, k[1]))
    z = jax.jit(lambda x: ksubset.sample(x, k[0], rng=0, sample_shape=(500,)))(target.array(mixed))
    assert set(np.unique(np.asarray(z).sum(-1))) <= {0, N}
    assert abs(np.asarray(z).mean(0) - ksubset.marginals(mixed, k[1])).max() < 0.15


def test_vmap(target: Target) -> None:
    k, x = POTENTIALS["few"], target.array(X)
    check(jax.vmap(jax.vmap(lambda x: ksubset.marginals(x, k)))(x), ksubset.marginals(X, k))
    keys = jax.random.split(jax.random.key(0), 4)
    together = jax.vmap(lambda key: ksubset.sample(x, k, rng=key, sample_shape=(2,)))(keys)
    each = np.stack([ksubset.sample(x, k, rng=key, sample_shape=(2,)) for key in keys])
    np.testing.assert_array_equal(together, each)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_law_of_samples(target: Target, dtype: str) -> None:
    """The probabilities of all subsets of each size that is allowed."""
    theta, draws = X[0, 0, :6], 20_000
    z = np.asarray(ksubset.sample(target.array(theta, dtype), ksubset.at_most(2), rng=3, sample_shape=(draws,)))
    subsets = np.concatenate([Enumeration(theta, k).subsets for k in (0, 1, 2)])
    weights = np.exp(subsets @ theta)
    places = 2 ** np.arange(6)
    observed = np.bincount((z @ places).astype(int), minlength=64)[(subsets @ places).astype(int)]
    assert observed.sum() == draws
    check_frequencies(observed, weights / weights.sum())


def test_a_gradient_of_samples(target: Target) -> None:
    k, x, v = POTENTIALS["few"], target.array(X), target.array(V)
    gradient = jax.jit(jax.grad(lambda x: (ksubset.rsample(x, k, rng=0) * v).sum()))(x)
    check(gradient, ksubset.marginals_jvp(X, k, V))


def test_a_bad_row_is_nan_alone(target: Target) -> None:
    bad = np.where(np.arange(3)[:, None] == 1, np.nan, X[0])
    found = np.asarray(jax.jit(lambda x: ksubset.marginals(x, ksubset.at_most(3)))(target.array(bad)))
    assert np.isnan(found[1]).all()
    check(found[[0, 2]], ksubset.marginals(X[0][[0, 2]], ksubset.at_most(3)))
