"""Latent subsets by MCMC: moves of one subset at a time, accepted by the joint density of the whole model."""

from collections.abc import Callable
from copy import copy
from functools import partial
from math import prod
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import random
from numpyro import distributions as dist
from numpyro import handlers
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import log_density
from numpyro.util import is_prng_key, not_jax_tracer

import ksubset
from ksubset._engine.ops import Array
from ksubset.backends.numpyro.distribution import KSubset

Values: TypeAlias = dict[str, Array]
Move: TypeAlias = Callable[[Array, Array], Array]
Carry: TypeAlias = tuple[Values, Array, Array]


class _State(NamedTuple):
    """The subsets by site, the share of the last step's moves that changed one, and the key of the next step."""

    z: Values
    accept_prob: Array
    rng_key: Array


class SubsetMetropolis(MCMCKernel):
    r"""A kernel of NumPyro's MCMC for latent ``KSubset`` sites: swaps of a chosen item for an unchosen one.

    A swap of two items picked uniformly is accepted with probability :math:`\min(1, p(z') / p(z))`, :math:`p` the joint
    density of the model; nothing else of the model is used. Under a `ksubset.Cardinality` every other move flips random
    items instead, so that all sizes are reached. Rows of a batch move one after the other.

    Parameters
    ----------
    model : callable
        A model of NumPyro, whose latent sites are all `KSubset`. In one that has others too, make it a block of
        ``numpyro.infer.Gibbs``, of NumPyro 0.22 or later: ``Gibbs([(SubsetMetropolis(model), ["z"]), (NUTS(model),
        None)])``.
    moves : int, optional
        The number of moves that a step of the chain proposes for each row; by default n/2. Each move evaluates the
        model. About min(k, n − k) accepted swaps renew a row.

    Raises
    ------
    TypeError, ValueError
        If ``moves`` is no positive int; and by ``MCMC.run`` where the model has another latent site or none, where
        ``init_params`` holds a subset that is impossible at its site, and for chains that NumPyro vectorises.

    Notes
    -----
    ``extra_fields=("accept_prob",)`` of ``MCMC.run`` gives the share of moves that changed a subset. From a start of
    density 0 the chain walks at random until it finds another. Where the density is NaN it does not go.

    Examples
    --------
    >>> import jax, numpyro
    >>> from ksubset.backends.numpyro import KSubset, SubsetMetropolis
    >>> def model():
    ...     z = numpyro.sample("z", KSubset(jax.numpy.zeros(5), 2))
    ...     numpyro.sample("y", numpyro.distributions.Normal(z @ jax.numpy.arange(5.0), 0.1), obs=7.0)
    >>> mcmc = numpyro.infer.MCMC(SubsetMetropolis(model), num_warmup=50, num_samples=100, progress_bar=False)
    >>> mcmc.run(jax.random.key(0))
    >>> mcmc.get_samples()["z"].mean(axis=0)
    Array([0., 0., 0., 1., 1.], dtype=float32)
    """

    __module__ = "ksubset.backends.numpyro"

    sample_field = "z"

    def __init__(self, model: Callable[..., Any], *, moves: int | None = None) -> None:
        if moves is not None and (isinstance(moves, bool) or not isinstance(moves, int)):
            raise TypeError(f"moves must be a positive int; got {type(moves).__name__}")
        if moves is not None and moves < 1:
            raise ValueError(f"moves must be a positive int; got {moves}")
        self._model, self._moves = model, moves
        self._sites: dict[str, Move] = {}

    @property
    def model(self) -> Callable[..., Any]:
        """The model."""
        return self._model

    def init(
        self, rng_key: Array, num_warmup: int, init_params: Values | None, model_args: Any, model_kwargs: Any
    ) -> _State:
        """Subsets from ``init_params``, else from their distributions."""
        if not is_prng_key(rng_key):
            raise ValueError("SubsetMetropolis takes one key; for many chains use chain_method 'parallel' or jax.vmap")
        seeded = handlers.seed(self._model, random.fold_in(rng_key, 0))
        trace = handlers.trace(seeded).get_trace(*model_args, **(model_kwargs or {}))
        latent = {name: x for name, x in trace.items() if x["type"] == "sample" and not x["is_observed"]}
        self._sites = {name: _move(name, site["fn"]) for name, site in latent.items()}
        if not latent:
            raise ValueError("SubsetMetropolis needs a model with a latent KSubset site; this one has no latent site")
        z = {name: _start(name, site, (init_params or {}).get(name)) for name, site in latent.items()}
        return _State(z, jnp.zeros(()), random.fold_in(rng_key, 1))

    def sample(self, state: _State, model_args: Any, model_kwargs: Any) -> _State:
        """One step: ``moves`` moves of each row of each site."""
        rng_key, *keys = random.split(state.rng_key, 1 + len(self._sites))
        density = partial(_density, self._model, model_args, model_kwargs or {})
        carry, made = (state.z, density(state.z), jnp.zeros((), int)), 0
        for key, (name, move) in zip(keys, self._sites.items(), strict=True):
            *batch, n = state.z[name].shape
            count = (self._moves or max(n // 2, 1)) * prod(batch) if n else 0
            step = partial(_step, key, name, move, density)
            carry, made = jax.lax.fori_loop(0, count, step, carry) if count else carry, made + count
        return _State(carry[0], carry[2] / max(made, 1), rng_key)

    def get_diagnostics_str(self, state: _State) -> str:
        """The text of the progress bar."""
        return f"moved {state.accept_prob:.2f}"

    def postprocess_fn(self, model_args: Any, model_kwargs: Any) -> Callable[[Values], Values]:
        """Adds the deterministic sites of the model."""

        def complete(z: Values) -> Values:
            model = handlers.condition(self._model, data=z)
            trace = handlers.trace(model).get_trace(*model_args, **(model_kwargs or {}))
            return {**z, **{name: x["value"] for name, x in trace.items() if x["type"] == "deterministic"}}

        return complete

    def refresh(self, state: _State, model_args: Any, model_kwargs: Any) -> _State:
        """Nothing of the state depends on other sites."""
        return state

    def wrap_model(self, wrapper: Callable[[Any], Any]) -> "SubsetMetropolis":
        """The same kernel of another model."""
        kernel = copy(self)
        kernel._model, kernel._sites = wrapper(self._model), {}
        return kernel

    def get_constrain_fn(self, model_args: Any, model_kwargs: Any) -> Callable[[Values], Values]:
        """Subsets are values already."""
        return lambda z: z


def _step(key: Array, name: str, move: Move, density: Callable[[Values], Array], i: Array, carry: Carry) -> Carry:
    """The next row of a site is moved, or left where it is."""
    z, value, changes = carry
    rows = z[name].reshape(-1, z[name].shape[-1])
    row, (propose, accept) = i % len(rows), random.split(random.fold_in(key, i))
    moved = move(propose, rows[row])
    new = {**z, name: rows.at[row].set(moved).reshape(z[name].shape)}
    new_value = density(new)
    taken = value <= new_value + random.exponential(accept, dtype=value.dtype)  # not of NaN; of two impossible
    z, value = jax.tree.map(partial(jnp.where, taken), (new, new_value), (z, value))
    return z, value, changes + (taken & (moved != rows[row]).any())


def _density(model: Callable[..., Any], args: Any, kwargs: Any, z: Values) -> Array:
    """The logarithm of the joint density; XLA takes normalisers that do not change out of the loop."""
    return jnp.asarray(log_density(handlers.condition(model, data=z), args, kwargs, {})[0])


def _move(name: str, fn: Any) -> Move:
    """How subsets of a site move."""
    while isinstance(fn, dist.ExpandedDistribution | dist.Independent | dist.MaskedDistribution):
        fn = fn.base_dist
    if not isinstance(fn, KSubset):
        raise ValueError(
            f"SubsetMetropolis moves KSubset sites alone; site {name!r} is {type(fn).__name__}. Give it a kernel of its"
            " own: numpyro.infer.Gibbs([(SubsetMetropolis(model), sites), (NUTS(model), None)])"
        )
    return _swap_or_flip if isinstance(fn.k, ksubset.Cardinality) else _swap


def _start(name: str, site: Any, given: Any) -> Array:
    """The first subset of a site."""
    value = site["value"]
    if given is None:
        return value
    given = jnp.broadcast_to(jnp.asarray(given, value.dtype), value.shape)
    possible = (site["fn"].log_prob(given) > -jnp.inf).all()
    if not_jax_tracer(possible) and not possible:
        raise ValueError(f"init_params[{name!r}] must be possible under the site's distribution; got {given}")
    return given


def _swap(key: Array, row: Array) -> Array:
    """A chosen item for another; none in rows that hold no items, or all."""
    chosen, other = random.split(key)
    i, j = _pick(chosen, row == 1), _pick(other, row == 0)
    return row.at[i].set(row[j]).at[j].set(row[i])


def _pick(key: Array, which: Array) -> Array:
    """One of these items, all equally likely; the last item where there are none."""
    before = jnp.cumsum(which)
    rank = random.randint(key, (), 0, jnp.maximum(before[-1], 1))
    return jnp.minimum((before <= rank).sum(), which.size - 1)


def _swap_or_flip(key: Array, row: Array) -> Array:
    """Either a swap, or flips of items, whose number is about a random power of n, so that every size is reached."""
    which, power, flip, swap = random.split(key, 4)
    flips = random.bernoulli(flip, row.size ** -random.uniform(power), row.shape)
    return jnp.where(random.bernoulli(which), _swap(swap, row), jnp.where(flips, 1 - row, row))
