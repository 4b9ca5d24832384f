"""Settings by which JAX finds faults in a user's program: none is found in the library."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="a test of JAX's adapter")
import jax
import jax.numpy as jnp
from conftest import Target

import ksubset
from ksubset import estimators
from ksubset.estimators import AIMLEState, Gumbel, SumOfGamma

pytestmark = pytest.mark.backends("jax")
X, V = np.random.default_rng(0).normal(size=(2, 3, 7))
SIZES = {"int": 3, "array": np.array([0, 3, 7]), "potential": ksubset.at_most(4)}


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What may be done but is not by itself an error."""
    monkeypatch.setenv("KSUBSET_FAST", "0")
    with jax.numpy_rank_promotion("raise"), jax.debug_nans(True), jax.numpy_dtype_promotion("strict"):
        yield


def functions(k: Any) -> dict[str, Callable[[Any], Any]]:
    v = jnp.asarray(V)
    return {
        "marginals": lambda x: ksubset.marginals(x, k),
        "marginals_jvp": lambda x: ksubset.marginals_jvp(x, k, v),
        "log_prob": lambda x: ksubset.log_prob(x, k, ksubset.mode(x, k)),
        "rsample": lambda x: ksubset.rsample(x, k, rng=0, sample_shape=(2,)),
    }


FAST = (("marginals", "int"), ("log_prob", "potential"))
CASES = [
    pytest.param(name, size, marks=() if (name, size) in FAST else pytest.mark.slow)
    for name in functions(3)
    for size in SIZES
]


@pytest.mark.parametrize(("name", "size"), CASES)
def test_functions_and_their_gradients(target: Target, name: str, size: str) -> None:
    k, x = SIZES[size], target.array(X)
    function = functions(jnp.asarray(k) if size == "array" else k)[name]
    value, gradient = jax.value_and_grad(lambda x: function(x).sum())(x)
    assert jnp.isfinite(value)
    later = jax.grad(lambda x: jax.jit(function)(x).sum())(x)
    np.testing.assert_allclose(gradient, later, atol=1e-12)


def test_the_inverse_and_the_law_of_a_count(target: Target) -> None:
    mu = target.array([[0.5, 0.5, 0.5, 0.5], [1.0, 0.0, 0.5, 0.5]])
    theta = ksubset.logits_from_marginals(mu, 2)
    assert np.isinf(np.asarray(theta)).sum() == 2
    assert jnp.isfinite(jax.grad(lambda x: ksubset.logits_from_marginals(x, 2).sum())(mu[:1])).all()
    assert jnp.isfinite(ksubset.count_log_pmf(target.array(X))).all()
    assert jnp.isfinite(jax.grad(lambda x: ksubset.count_log_cdf(x).sum())(target.array(X))).all()
    q = target.array(np.full((3, *(1,) * (X.ndim - 1)), 0.3))
    assert ksubset.count_quantile(target.array(X), q).shape == (3, *X.shape[:-1])


def loss(z: Any) -> Any:
    return (z * jnp.broadcast_to(jnp.asarray(V), z.shape)).sum(axis=-1)


DRAWN = {"rng": 0, "sample_shape": (2,)}
ESTIMATORS: dict[str, Callable[[Any], Any]] = {
    "simple": lambda x: estimators.simple(x, 3, **DRAWN),
    "simple_f": lambda x: estimators.simple_f(x, 3, lambda_=0.7, **DRAWN),
    "simple_b": lambda x: estimators.simple_b(x, 3, noise=SumOfGamma(), **DRAWN),
    "simple_b difference": lambda x: estimators.simple_b(x, 3, noise=Gumbel(), lambda_=0.7, **DRAWN),
    "gumbel_topk_st": lambda x: estimators.gumbel_topk_st(x, 3, **DRAWN),
    "softsub": lambda x: estimators.softsub(x, 3, **DRAWN),
    "l2x": lambda x: estimators.l2x(x, 3, **DRAWN),
    "imle": lambda x: estimators.imle(x, 3, lambda_=0.7, S=2, **DRAWN),
    "aimle": lambda x: estimators.aimle(x, 3, AIMLEState.start(jnp.asarray(0.5)).beta, symmetric=True, **DRAWN),
    "score_function": lambda x: estimators.score_function(loss, x, 3, S=2, rng=0),
    "simple_unbiased": lambda x: estimators.simple_unbiased(loss, x, 3, S=2, rng=0),
    "exact_gradient": lambda x: estimators.exact_gradient(loss, x, 3),
}


QUICK = ("gumbel_topk_st", "softsub", "l2x", "imle")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", [pytest.param(x, marks=() if x in QUICK else pytest.mark.slow) for x in ESTIMATORS])
def test_estimators_and_their_gradients(target: Target, name: str, masked: bool) -> None:
    x = target.array(X).at[0, 1].set(-jnp.inf if masked else 0.0)
    value, pullback = jax.vjp(ESTIMATORS[name], x)
    (gradient,) = pullback(jnp.ones_like(value))
    assert jnp.isfinite(value).all()
    assert jnp.isfinite(gradient).all()


def test_the_settings_hold_in_a_loss(target: Target) -> None:
    """Which is the user's own."""
    with pytest.raises(ValueError, match="rank_promotion"):
        estimators.score_function(lambda z: (z * jnp.asarray(V[0])).sum(axis=-1), target.array(X), 3, rng=0)
