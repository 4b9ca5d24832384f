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
    with pytest.raises(ValueError, match="must not contain NaN"):
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


ROWS, FALLING = np.array([1, 2, 3]), np.log(np.arange(6.0, 0.0, -1.0))
IN_PLACE_OF_K = {
    "int": lambda array: 2,
    "rows": lambda array: array(ROWS),
    "at_most": lambda array: ksubset.at_most(3),
    "at_least": lambda array: ksubset.at_least(array(ROWS)),
    "weights": lambda array: ksubset.Cardinality(array(FALLING)),
}


@pytest.mark.parametrize("name", IN_PLACE_OF_K)
def test_what_may_stand_for_k(target: Target, name: str) -> None:
    """Under jit, where one program serves, under vmap, expanded, and in a plate; all arrays are NumPy's."""
    import jax
    from numpyro.infer.util import log_density

    from ksubset.backends.numpyro import KSubset

    z, k = np.eye(5)[:3] + np.eye(5)[1:4], IN_PLACE_OF_K[name](np.asarray)
    expected, mean = ksubset.log_prob(LOGITS, k, z), ksubset.marginals(LOGITS, k)

    @jax.jit
    def compiled(d: Any, z: Any) -> Any:
        return d.log_prob(z), jax.vmap(lambda d, z: d.log_prob(z))(d, z), d.mean, d.sample(jax.random.key(0), (7,))

    for _ in range(2):
        d = KSubset(LOGITS, IN_PLACE_OF_K[name](np.asarray))
        found, mapped, again, draws = compiled(d, z)
        np.testing.assert_allclose([found, mapped], [expected, expected])
        np.testing.assert_allclose(again, mean)
        assert draws.shape == (7, 3, 5)
    assert compiled._cache_size() == 1
    np.testing.assert_allclose(d.expand((2, 3)).log_prob(np.stack([z, z])), [expected, expected])

    def model(z: Any = None) -> Any:
        with numpyro.plate("more", 2, dim=-2), numpyro.plate("rows", 3, dim=-1):
            return numpyro.sample("z", d, obs=z)

    drawn = np.asarray(numpyro.handlers.seed(model, 0)())
    assert drawn.shape == (2, 3, 5)
    np.testing.assert_allclose(log_density(model, (drawn,), {}, {})[0], d.log_prob(drawn).sum())


def test_other_sizes_are_no_other_program(target: Target) -> None:
    import jax

    from ksubset.backends.numpyro import KSubset

    compiled, x = jax.jit(lambda d: d.mean), target.array(LOGITS)
    for k in ([1, 2, 3], [0, 5, 4]):
        np.testing.assert_allclose(compiled(KSubset(x, np.array(k))).sum(axis=-1), k, atol=1e-12)
    assert compiled._cache_size() == 1
    for k in (1, 2):
        np.testing.assert_allclose(compiled(KSubset(x, k)).sum(axis=-1), k)
    assert compiled._cache_size() == 3


def test_divergence_between_sizes(target: Target) -> None:
    from numpyro.distributions import kl_divergence

    from ksubset.backends.numpyro import KSubset

    x, y, k = target.array(LOGITS), target.array(LOGITS * 2), np.array([1, 2, 3])
    found = kl_divergence(KSubset(x, k), KSubset(y, np.array([1, 3, 3])))
    np.testing.assert_allclose(found, [*ksubset.kl_divergence(LOGITS, LOGITS * 2, k)[:1], np.inf, found[2]])
    np.testing.assert_allclose(found[2], ksubset.kl_divergence(LOGITS, LOGITS * 2, k)[2])
    few = ksubset.at_most(2)
    np.testing.assert_allclose(
        kl_divergence(KSubset(x, few), KSubset(y, ksubset.at_most(2))), ksubset.kl_divergence(x, y, few)
    )
    with pytest.raises(ValueError, match="needs the same k; got 2 and 3"):
        kl_divergence(KSubset(x, 2), KSubset(y, 3))
    potential = ksubset.at_most(k)
    with pytest.raises(NotImplementedError, match="no potentials with arrays"):
        kl_divergence(KSubset(x, potential), KSubset(y, potential))


def test_validation(target: Target) -> None:
    """NumPyro's own is on; impossible and certain items pass it, and what is wrong is named where it is given."""
    import jax

    from ksubset.backends.numpyro import KSubset

    with numpyro.validation_enabled():
        d = KSubset(target.array([0.0, -np.inf, np.inf, 0.0]), 2)
        np.testing.assert_allclose(d.mean, [0.5, 0, 1, 0.5])
        np.testing.assert_allclose(d.log_prob(np.array([1, 0, 1, 0])), np.log(0.5))
        assert d.log_prob(np.array([1, 1, 0, 0])) == -np.inf
        with pytest.warns(UserWarning, match="Out-of-support"):
            assert d.log_prob(np.array([0.5, 0.5, 1, 0])) == -np.inf
        with pytest.raises(ValueError, match="logits must not contain NaN"):
            KSubset(target.array([0.0, np.nan]), 1)
        with pytest.raises(ValueError, match=r"k must be in \[0, 4\]; got 5 in row 1"):
            KSubset(np.zeros((2, 4)), np.array([1, 5]))
        assert jax.jit(lambda x: KSubset(x, 1).mean)(target.array([0.0, np.nan])).shape == (2,)
    assert KSubset(np.array([0.0, np.nan]), 1, validate_args=False).batch_shape == ()
    for logits, k, message in (
        ([0.0, 1.0], 1, "logits must be an array of JAX or NumPy; got list"),
        (np.zeros(3, int), 1, "logits must have a real floating dtype"),
        (np.zeros(3), [1], "k must be an int or an integer array; got list"),
        (np.zeros(3), np.array(1.0), "k must have an integer dtype"),
    ):
        with pytest.raises(TypeError, match=message):
            KSubset(logits, k)
    assert KSubset(LOGITS, np.int64(2)).enumerate_support().shape == (10, 3, 5)
    with pytest.raises(NotImplementedError, match="needs one k, an int, for all rows"):
        KSubset(LOGITS, np.array([1, 2, 3])).enumerate_support()


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
