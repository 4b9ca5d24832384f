"""The NumPyro distribution: its contract, and an inference that recovers inclusion probabilities."""

from typing import Any

import numpy as np
import pytest
from conftest import Target
from oracle import Enumeration
from significance import check_binomial

import ksubset

numpyro = pytest.importorskip("numpyro", reason="NumPyro is not installed in this environment")
pytestmark = [
    pytest.mark.backends("jax"),
    pytest.mark.filterwarnings("ignore:Currently, SVI with Trace_ELBO loss"),
]
LOGITS = np.random.default_rng(8).normal(size=(3, 5))


def make(target: Target) -> Any:
    from ksubset.backends.numpyro import KSubset

    return KSubset(target.array(LOGITS), 2)


def test_shapes_support_and_pytree(target: Target) -> None:
    import jax

    d = make(target)
    assert (d.batch_shape, d.event_shape) == ((3,), (5,))
    z = d.sample(jax.random.key(0), (4,))
    assert z.shape == (4, 3, 5)
    assert d.support(z).all()
    support = d.enumerate_support()
    np.testing.assert_allclose(np.exp(d.log_prob(support)).sum(axis=0), 1)
    leaves, tree = jax.tree_util.tree_flatten(d)
    again = jax.tree_util.tree_unflatten(tree, leaves)
    np.testing.assert_allclose(again.mean, d.mean)
    assert d.expand((2, 3)).sample(jax.random.key(1)).shape == (2, 3, 5)


def test_moments_and_divergence(target: Target) -> None:
    import jax
    from numpyro.distributions import kl_divergence

    from ksubset.backends.numpyro import KSubset

    d, truth = make(target), [Enumeration(row, 2) for row in LOGITS]
    np.testing.assert_allclose(d.entropy(), [row.entropy for row in truth])
    np.testing.assert_allclose(d.variance, [np.diag(row.covariance) for row in truth])
    check_binomial(np.asarray(d.sample(jax.random.key(3), (20_000,)).sum(axis=0)), 20_000, np.asarray(d.mean))
    other = KSubset(target.array(LOGITS * 2), 2)
    np.testing.assert_allclose(kl_divergence(d, other), ksubset.kl_divergence(d.logits, other.logits, 2))


def test_under_jit_vmap_and_grad(target: Target) -> None:
    import jax

    from ksubset.backends.numpyro import KSubset

    x, g = target.array(LOGITS), target.array(np.arange(5.0))
    keys = jax.random.split(jax.random.key(0), 3)
    slope = jax.jit(jax.vmap(jax.grad(lambda row, key: KSubset(row, 2).rsample(key) @ g)))(x, keys)
    np.testing.assert_allclose(slope, ksubset.marginals_jvp(x, 2, g), atol=1e-12)
    np.testing.assert_allclose(jax.vmap(lambda d: d.entropy())(make(target)), make(target).entropy())


def test_masked_logits(target: Target) -> None:
    """Infinities are no invalid logits; NaN is."""
    from ksubset.backends.numpyro import KSubset

    logits = LOGITS.copy()
    logits[0, 1], logits[1, 2] = -np.inf, np.inf
    d = KSubset(target.array(logits), 2, validate_args=True)
    np.testing.assert_allclose(d.mean, ksubset.marginals(logits, 2), atol=1e-12)
    logits[2, 0] = np.nan
    with pytest.raises(ValueError, match="invalid logits"):
        KSubset(target.array(logits), 2, validate_args=True)


def test_observed_site_recovers_inclusion_probabilities(target: Target) -> None:
    import jax
    from jax.example_libraries.optimizers import adam
    from numpyro.infer import SVI, Trace_ELBO

    from ksubset.backends.numpyro import KSubset

    data = KSubset(target.array(LOGITS[0]), 2).sample(jax.random.key(1), (4000,))

    def model(data: Any) -> None:
        logits = numpyro.param("logits", jax.numpy.zeros(5))
        with numpyro.plate("rows", len(data)):
            numpyro.sample("z", KSubset(logits, 2), obs=data)

    svi = SVI(model, lambda data: None, adam(0.05), Trace_ELBO())
    found = svi.run(jax.random.key(2), 300, data, progress_bar=False)
    assert np.isfinite(found.losses).all()
    np.testing.assert_allclose(ksubset.marginals(found.params["logits"], 2), np.asarray(data).mean(axis=0), atol=0.01)


def test_latent_site_finds_the_posterior(target: Target) -> None:
    """Two of five weights are used; a guide over subsets finds which, by the SIMPLE gradient of the ELBO."""
    import jax
    from jax.example_libraries.optimizers import adam
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO

    from ksubset.backends.numpyro import KSubset

    truth = jax.numpy.array([0.0, 1.0, 0.0, 1.0, 0.0])
    x = jax.random.normal(jax.random.key(0), (200, 5))
    y = x @ truth + 0.5 * jax.random.normal(jax.random.key(1), (200,))

    def model() -> None:
        z = numpyro.sample("z", KSubset(jax.numpy.zeros(5), 2))
        numpyro.sample("y", dist.Normal(x @ z, 0.5).to_event(1), obs=y)

    def guide() -> None:
        numpyro.sample("z", KSubset(numpyro.param("logits", jax.numpy.zeros(5)), 2))

    found = SVI(model, guide, adam(0.05), Trace_ELBO()).run(jax.random.key(2), 300, progress_bar=False)
    np.testing.assert_array_equal(ksubset.mode(found.params["logits"], 2), truth)


@pytest.mark.parametrize("name", ["DiscreteHMCGibbs", "MixedHMC", "NUTS"])
def test_samplers_that_would_not_mix_say_so(target: Target, name: str) -> None:
    """They go through the support as if it were that of a number: one subset in 2,000 draws."""
    import jax
    import numpyro
    from numpyro import infer

    def model() -> None:
        z = numpyro.sample("z", make(target))
        numpyro.sample("y", numpyro.distributions.Normal(z.sum(), 1.0), obs=2.0)

    inner = (infer.HMC if name == "MixedHMC" else infer.NUTS)(model)
    kernel = inner if name == "NUTS" else getattr(infer, name)(inner)
    with pytest.raises((ValueError, RuntimeError), match=r"owns no sites|discrete"):
        infer.MCMC(kernel, num_warmup=1, num_samples=1, progress_bar=False).run(jax.random.key(0))
