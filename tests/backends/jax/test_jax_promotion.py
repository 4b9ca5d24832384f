"""Where JAX refuses to promote ranks and dtypes, which shows when a function is traced, without a compiler."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="a test of JAX's adapter")
import jax
import jax.numpy as jnp
from conftest import Target

import ksubset

pytestmark = pytest.mark.backends("jax")
X, OTHER = np.random.default_rng(0).normal(size=(2, 2, 3, 7))
WEIGHTS = np.random.default_rng(1).normal(size=(3, 8))
SIZES = {
    "int": lambda: 3,
    "array": lambda: jnp.asarray([0, 3, 6]),
    "potential": lambda: ksubset.at_most(4),
    "weights": lambda: ksubset.Cardinality(jnp.asarray(WEIGHTS)),
}
each = pytest.mark.parametrize("size", [pytest.param(x, marks=[pytest.mark.slow] * (x == "weights")) for x in SIZES])
OF_SIZES: dict[str, Callable[[Any, Any], Any]] = {
    "marginals": ksubset.marginals,
    "marginals in another dtype": lambda x, k: ksubset.marginals(x, k, dtype=jnp.float32),
    "marginals_jvp": lambda x, k: ksubset.marginals_jvp(x, k, jnp.asarray(OTHER)),
    "covariance": ksubset.covariance,
    "entropy": ksubset.entropy,
    "log_normalizer": ksubset.log_normalizer,
    "kl_divergence": lambda x, k: ksubset.kl_divergence(x, jnp.asarray(OTHER), k),
    "kl_to_uniform": ksubset.kl_to_uniform,
    "mode": ksubset.mode,
    "log_prob": lambda x, k: ksubset.log_prob(x, k, ksubset.mode(x, k)),
    "log_prob of draws": lambda x, k: ksubset.log_prob(x, k, jnp.stack([ksubset.mode(x, k)] * 2)),
    "log_prob of one subset": lambda x, k: ksubset.log_prob(x, k, ksubset.mode(x, k)[0, 0]),
    "log_prob_count": ksubset.log_prob_count,
    "log_prob_indices": lambda x, k: ksubset.log_prob_indices(x, k, ksubset.mode_indices(x, k, max_k=max_k(k))),
    "sample_indices": lambda x, k: ksubset.sample_indices(x, k, rng=0, max_k=max_k(k)),
    "rsample": lambda x, k: ksubset.rsample(x, k, rng=0, sample_shape=(2,)),
    "sample_with_marginals": lambda x, k: ksubset.sample_with_marginals(x, k, rng=0)[1],
    "the object's mean": lambda x, k: ksubset.KSubset(x, k).mean,
    "the object's variance": lambda x, k: ksubset.KSubset(x, k).variance,
    "the object's entropy": lambda x, k: ksubset.KSubset(x, k).entropy(),
}
WITHOUT_SIZES: dict[str, Callable[[Any], Any]] = {
    "logits_from_marginals": lambda x: ksubset.logits_from_marginals(ksubset.marginals(x, 3), 3),
    "count_log_pmf": ksubset.count_log_pmf,
    "count_log_cdf": ksubset.count_log_cdf,
    "count_log_sf": ksubset.count_log_sf,
    "count_quantile": lambda x: ksubset.count_quantile(x, jnp.asarray(0.3)),
}


def max_k(k: Any) -> int | None:
    """A bound on sizes that a traced program cannot read."""
    return 6 if isinstance(k, jax.Array) else None


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


def trace(function: Callable[[Any], Any], x: Any) -> None:
    """Trace a function and its gradient."""
    jax.eval_shape(jax.grad(lambda x: jnp.sum(jnp.astype(function(x), x.dtype))), x)


@pytest.mark.parametrize("fast", ["0", "1"])
@each
@pytest.mark.parametrize("name", OF_SIZES)
def test_of_sizes(target: Target, monkeypatch: pytest.MonkeyPatch, name: str, size: str, fast: str) -> None:
    monkeypatch.setenv("KSUBSET_FAST", fast)
    trace(lambda x: OF_SIZES[name](x, SIZES[size]()), target.array(X))


@pytest.mark.parametrize("name", WITHOUT_SIZES)
def test_without_sizes(target: Target, name: str) -> None:
    trace(WITHOUT_SIZES[name], target.array(X))
