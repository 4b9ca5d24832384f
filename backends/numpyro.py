"""The distribution for NumPyro: an observed or a latent site, under jit and vmap, in SVI.

`Trace_ELBO` warns that a discrete latent site has no low-variance gradient; this one has, the SIMPLE estimator, through
its samples. Silence that warning where the site is reparametrised by it.
"""

from math import comb
from typing import Any, ClassVar

import jax.numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

import ksubset
from ksubset._support import MOST_SUBSETS, subsets
from ksubset._typing import Array


class _Logits(constraints.ParameterFreeConstraint):
    """Numbers and infinities along the last axis, but no NaN."""

    event_dim = 1

    def __call__(self, x: Array) -> Array:
        return (x == x).all(axis=-1)

    def feasible_like(self, prototype: Array) -> Array:
        return jnp.zeros_like(prototype)


class _Subset(constraints.ParameterFreeConstraint):
    """0 and 1 along the last axis; their number is the distribution's own affair."""

    is_discrete = True
    event_dim = 1

    def __call__(self, x: Array) -> Array:
        return ((x == 0) | (x == 1)).all(axis=-1)

    def feasible_like(self, prototype: Array) -> Array:
        return jnp.zeros_like(prototype)


class KSubset(dist.Distribution):
    r"""Random subsets of exactly k of n items, :math:`p(z) \propto \exp(\theta \cdot z)`.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int
        Size of the subsets.

    Raises
    ------
    TypeError, ValueError
        As in `ksubset.log_normalizer`.

    Notes
    -----
    NumPyro enumerates sites whose values are numbers, and its samplers for discrete sites would go from one subset to
    hardly any other. ``has_enumerate_support`` is therefore false, and those samplers refuse the distribution.

    Examples
    --------
    >>> import jax
    >>> from ksubset.backends.numpyro import KSubset
    >>> d = KSubset(jax.numpy.array([2.0, 1.0, 0.0, -1.0]), 2)
    >>> d.sample(jax.random.key(0), (3,)).sum(-1)
    Array([2., 2., 2.], dtype=float32)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"logits": _Logits()}
    pytree_data_fields = ("logits",)
    pytree_aux_fields = ("k",)
    support = _Subset()
    has_enumerate_support = False  # lest samplers of NumPyro go from one subset to the next as if they were numbers
    reparametrized_params: ClassVar[list[str]] = ["logits"]

    def __init__(self, logits: Array, k: int, *, validate_args: bool | None = None) -> None:
        if isinstance(k, ksubset.Cardinality):
            raise TypeError("k must be an int; ksubset.KSubset takes a Cardinality")
        self.logits, self.k = logits, k
        super().__init__(jnp.shape(logits)[:-1], jnp.shape(logits)[-1:], validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:
        return True

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        return ksubset.rsample(self.logits, self.k, rng=key, sample_shape=tuple(sample_shape))

    def rsample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        return self.sample(key, sample_shape)

    @validate_sample
    def log_prob(self, value: Array, intermediates: Any = None) -> Array:
        return ksubset.log_prob(self.logits, self.k, value, validate=False)

    @property
    def mean(self) -> Array:
        return ksubset.marginals(self.logits, self.k)

    @property
    def variance(self) -> Array:
        return ksubset.KSubset(self.logits, self.k).variance

    def entropy(self) -> Array:
        return ksubset.entropy(self.logits, self.k)

    @property
    def mode(self) -> Array:
        return ksubset.mode(self.logits, self.k)

    def enumerate_support(self, expand: bool = True) -> Array:
        """All subsets, (subsets, ..., n), at most a million of them. NumPyro itself enumerates numbers only."""
        n = self.event_shape[0]
        if comb(n, self.k) > MOST_SUBSETS:
            raise NotImplementedError(f"enumerate_support lists at most {MOST_SUBSETS} subsets; got {comb(n, self.k)}")
        z = jnp.asarray(subsets(n, self.k), jnp.result_type(self.logits)).reshape(
            comb(n, self.k), *(1,) * len(self.batch_shape), n
        )
        return jnp.broadcast_to(z, (z.shape[0], *self.batch_shape, n)) if expand else z


@dist.kl.kl_divergence.register(KSubset, KSubset)
def _kl(p: KSubset, q: KSubset) -> Array:
    if p.k != q.k:
        raise ValueError(f"KL(KSubset || KSubset) needs the same k; got {p.k} and {q.k}")
    return ksubset.kl_divergence(p.logits, q.logits, p.k)
