"""Latent subsets by MCMC: chains that are independent of one another end in the distribution that enumeration has."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import Target
from significance import check_binomial, check_frequencies

import ksubset

numpyro = pytest.importorskip("numpyro", reason="NumPyro is not installed in this environment")
pytestmark = pytest.mark.backends("jax")
LOGITS = np.random.default_rng(8).normal(size=5)
WEIGHTS = np.array([1.0, -1.0, 2.0, 0.5, -2.0])
EVERY = np.array(list(product([0, 1], repeat=5)))
CHAINS = 4000


def ends(model: Callable[..., Any], *args: Any, steps: int = 40, **settings: Any) -> dict[str, np.ndarray]:
    """Where chains from the prior are after some steps, each by one compiled program."""
    import jax

    from ksubset.backends.numpyro import SubsetMetropolis

    kernel = SubsetMetropolis(model, **settings)

    def chain(key: Any, *args: Any) -> Any:
        state = kernel.init(key, 0, None, args, {})
        return jax.lax.fori_loop(0, steps, lambda _, state: kernel.sample(state, args, {}), state).z

    chains = jax.vmap(chain, in_axes=(0, *(None for _ in args)))
    found = jax.jit(chains)(jax.random.split(jax.random.key(1), CHAINS), *args)
    return {name: np.asarray(z) for name, z in found.items()}


def check(z: np.ndarray, subsets: np.ndarray, scores: np.ndarray) -> None:
    """The frequencies of subsets (..., n) given flat, whose log-probabilities are known up to a constant."""
    same = (z.reshape(len(z), 1, -1) == subsets.reshape(len(subsets), -1)).all(-1)
    assert (same.sum(axis=1) == 1).all()
    weights = np.exp(scores - scores.max())
    check_frequencies(same.sum(axis=0), weights / weights.sum())


def likelihood(z: Any) -> None:
    numpyro.sample("y", numpyro.distributions.Normal(z @ WEIGHTS, 1.0), obs=1.5)


def likelihood_score(z: np.ndarray) -> np.ndarray:
    return -0.5 * (1.5 - z @ WEIGHTS) ** 2


@pytest.mark.parametrize("observed", [False, True])
def test_one_size(target: Target, observed: bool) -> None:
    from ksubset.backends.numpyro import KSubset

    def model() -> None:
        z = numpyro.sample("z", KSubset(target.array(LOGITS), 2))
        if observed:
            likelihood(z)

    z, subsets = ends(model)["z"], EVERY[EVERY.sum(-1) == 2]
    check(z, subsets, subsets @ LOGITS + observed * likelihood_score(subsets))
    if not observed:
        check_binomial(z.sum(axis=0), CHAINS, np.asarray(ksubset.marginals(LOGITS, 2)))


@pytest.mark.parametrize("potential", ["at_most", "even"])
def test_a_potential(target: Target, potential: str) -> None:
    from ksubset.backends.numpyro import KSubset

    log_weights = np.where([True, True, True, True, False, False], 0, -np.inf)
    if potential == "even":
        log_weights = np.array([0.0, -np.inf, 1.0, -np.inf, -1.0, -np.inf])
    k = ksubset.at_most(3) if potential == "at_most" else ksubset.Cardinality(log_weights)

    def model() -> None:
        likelihood(numpyro.sample("z", KSubset(target.array(LOGITS), k)))

    subsets = EVERY[log_weights[EVERY.sum(-1)] > -np.inf]
    check(ends(model)["z"], subsets, subsets @ LOGITS + likelihood_score(subsets) + log_weights[subsets.sum(-1)])


def test_rows_of_a_plate(target: Target) -> None:
    """Of different sizes, none and all included, with an impossible item; the likelihood ties them together."""
    from ksubset.backends.numpyro import KSubset

    k, logits = np.array([0, 1, 2, 5]), np.tile(LOGITS, (4, 1))
    logits[1, 2] = -np.inf

    def model(logits: Any, k: Any) -> None:
        with numpyro.plate("rows", 4):
            z = numpyro.sample("z", KSubset(logits, k))
        likelihood(z.sum(axis=0))

    choices = [
        EVERY[(EVERY.sum(-1) == size) & (EVERY @ np.isinf(row) == 0)] for size, row in zip(k, logits, strict=True)
    ]
    subsets = np.array(list(product(*choices)))
    scores = np.where(subsets == 1, logits, 0).sum(axis=(1, 2)) + likelihood_score(subsets.sum(axis=1))
    check(ends(model, target.array(logits), target.array(k), moves=3)["z"], subsets, scores)


def test_two_sites_one_of_them_masked_and_in_events(target: Target) -> None:
    """The second depends on the first, whose normaliser therefore takes part."""
    from ksubset.backends.numpyro import KSubset

    x = target.array(LOGITS)

    def model() -> None:
        a = numpyro.sample("a", KSubset(x[:3], 1).expand((1,)).to_event(1))[0]
        numpyro.sample("b", KSubset(x[:3] * (1 + a[0]), 2).mask(True))

    found, one, two = ends(model), np.eye(3), 1 - np.eye(3)
    z = np.stack([found["a"][:, 0], found["b"]], axis=1)
    subsets = np.array(list(product(one, two)))
    normalizers = np.log(np.exp(LOGITS[:3] * np.array([[1], [2]]) @ two.T).sum(axis=1))
    first = subsets[:, 0, 0].astype(int)
    scores = subsets[:, 0] @ LOGITS[:3] + (1 + first) * (subsets[:, 1] @ LOGITS[:3]) - normalizers[first]
    check(z, subsets, scores)


@pytest.mark.skipif(not hasattr(numpyro.infer, "Gibbs"), reason="Gibbs came with NumPyro 0.22")
def test_beside_nuts(target: Target) -> None:
    """With a continuous site beside the subset; the subset's law is a known integral over it."""
    import jax
    from numpyro import infer

    from ksubset.backends.numpyro import KSubset, SubsetMetropolis

    def model(y: Any) -> None:
        z = numpyro.sample("z", KSubset(target.array(LOGITS), 2))
        shift = numpyro.sample("shift", numpyro.distributions.Normal(0.0, 1.0))
        numpyro.deterministic("size", z.sum())
        numpyro.sample("y", numpyro.distributions.Normal(z @ WEIGHTS + shift, 1.0), obs=y)

    kernel = infer.Gibbs([(SubsetMetropolis(model, moves=10), ["z"]), (infer.NUTS(model), None)])
    mcmc = infer.MCMC(kernel, num_warmup=300, num_samples=8000, thinning=4, progress_bar=False)
    mcmc.run(jax.random.key(0), 1.5)
    found, subsets = mcmc.get_samples(), EVERY[EVERY.sum(-1) == 2]
    check(np.asarray(found["z"]), subsets, subsets @ LOGITS + likelihood_score(subsets) / 2)
    assert (found["size"] == 2).all()


def test_a_run(target: Target) -> None:
    """Deterministic sites, the share of moves that changed something, chains, and where they start."""
    import jax
    from numpyro.infer import MCMC

    from ksubset.backends.numpyro import KSubset, SubsetMetropolis

    def model(size: int) -> None:
        z = numpyro.sample("z", KSubset(target.array(LOGITS), size))
        numpyro.deterministic("first", z[0])

    for size, method in ((2, "sequential"), (5, jax.vmap)):
        mcmc = MCMC(
            SubsetMetropolis(model), num_warmup=0, num_samples=50, num_chains=2, chain_method=method, progress_bar=False
        )
        extra = () if method is jax.vmap else ("accept_prob",)
        mcmc.run(jax.random.key(0), size, extra_fields=extra)
        found = mcmc.get_samples()
        assert (found["z"].sum(axis=-1) == size).all()
        np.testing.assert_array_equal(found["first"], found["z"][:, 0])
        assert not extra or 0.2 < mcmc.get_extra_fields()["accept_prob"].mean() < 0.9
    for start in EVERY[EVERY.sum(-1) == 2]:
        state = SubsetMetropolis(model).init(jax.random.key(0), 0, {"z": start}, (2,), None)
        np.testing.assert_array_equal(state.z["z"], start)


def test_from_an_impossible_start(target: Target) -> None:
    """What the likelihood rules out is left, and never returned to; where it is NaN no chain goes."""
    from ksubset.backends.numpyro import KSubset

    def model() -> None:
        import jax

        z = numpyro.sample("z", KSubset(target.array(LOGITS), 2))
        numpyro.factor("only", jax.numpy.where(z[0] + z[1] == 2, 0, -jax.numpy.inf))
        numpyro.factor("nowhere", jax.numpy.where(z[2] + z[4] == 2, jax.numpy.nan, 0))

    z = ends(model)["z"]
    begun_there = (z[:, 2] + z[:, 4]) == 2
    check_binomial(begun_there.sum(), CHAINS, np.exp(ksubset.log_prob(LOGITS, 2, EVERY[5])))
    assert (z[~begun_there, :2] == 1).all()


def test_what_it_does_not_take(target: Target) -> None:
    import jax
    from numpyro import distributions as dist
    from numpyro.infer import MCMC

    from ksubset.backends.numpyro import KSubset, SubsetMetropolis

    def model(others: int = 0) -> None:
        if others < 2:
            numpyro.sample("z", KSubset(target.array(LOGITS), 2))
        if others == 1:
            numpyro.sample("shift", dist.Normal(0.0, 1.0))

    def run(others: int, **settings: Any) -> None:
        parallel = {key: settings.pop(key) for key in ("num_chains", "chain_method") if key in settings}
        mcmc = MCMC(SubsetMetropolis(model), num_warmup=1, num_samples=1, progress_bar=False, **parallel)
        mcmc.run(jax.random.key(0), others, **settings)

    with pytest.raises(ValueError, match=r"site 'shift' is Normal.*Gibbs\(\[\(SubsetMetropolis"):
        run(1)
    with pytest.raises(ValueError, match="has no latent site"):
        run(2)
    with pytest.raises(ValueError, match=r"init_params\['z'\] must be possible"):
        run(0, init_params={"z": np.array([1, 1, 1, 0, 0])})
    with pytest.raises(ValueError, match="takes one key"):
        run(0, num_chains=2, chain_method="vectorized")
    for moves, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="moves must be a positive int"):
            SubsetMetropolis(model, moves=moves)
