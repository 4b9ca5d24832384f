"""The distribution for NumPyro: an observed or a latent site, under jit and vmap, in SVI and MCMC.

`Trace_ELBO` warns that a discrete latent site has no low-variance gradient; this one has, the SIMPLE estimator, through
its samples. Silence that warning where the site is reparametrised by it.
"""

from math import comb
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

import ksubset
from ksubset._call.argument_checks import kind
from ksubset._call.prepare import prepare
from ksubset._engine.ops import Array
from ksubset._law.support import MOST_SUBSETS, subsets


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
    k : int, array of integers or Cardinality
        Size of the subsets, or a weight for every size. Arrays broadcast to the batch shape (...), and are traced by
        ``jit`` and ``vmap``; ints are built into the program.
    validate_args : bool, optional
        As for every distribution of NumPyro.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype. NumPy arrays are taken as JAX arrays are.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    Notes
    -----
    NumPyro enumerates sites whose values are numbers, and its samplers for discrete sites would go from one subset to
    hardly any other. ``has_enumerate_support`` is therefore false, and those samplers refuse the distribution: NUTS
    says that it "does not have enumerate support". Sample such a site by `SubsetMetropolis`.

    Examples
    --------
    >>> import jax
    >>> from ksubset.backends.numpyro import KSubset
    >>> d = KSubset(jax.numpy.array([2.0, 1.0, 0.0, -1.0]), 2)
    >>> d.sample(jax.random.key(0), (3,)).sum(-1)
    Array([2., 2., 2.], dtype=float32)
    """

    __module__ = "ksubset.backends.numpyro"

    arg_constraints: ClassVar[dict[str, Any]] = {"logits": _Logits()}
    pytree_data_fields = ("logits", "_arrays")
    pytree_aux_fields = ("_fixed",)
    support = _Subset()
    has_enumerate_support = False  # lest samplers of NumPyro go from one subset to the next as if they were numbers
    reparametrized_params: ClassVar[list[str]] = ["logits"]

    def __init__(
        self, logits: Array, k: int | Array | ksubset.Cardinality, *, validate_args: bool | None = None
    ) -> None:
        validates = self._validate_args if validate_args is None else validate_args
        logits, (arrays, fixed) = _in_jax(logits), _parts(k)
        if not isinstance(logits, jax.Array):
            raise TypeError(f"logits must be an array of JAX or NumPy; got {kind(logits)}")
        prepare(logits, _size_of(arrays, fixed), None, None if validates else False)
        shape = logits.shape[:-1]
        tails = {"log_weights": (logits.shape[-1] + 1,)}
        self.logits, self._fixed = logits, fixed
        self._arrays = {name: jnp.broadcast_to(x, (*shape, *tails.get(name, ()))) for name, x in arrays.items()}
        super().__init__(shape, logits.shape[-1:], validate_args=validate_args)

    @property
    def k(self) -> Any:
        """``k`` as given, with its arrays in JAX and of the batch shape."""
        return _size_of(self._arrays, self._fixed)

    @property
    def has_rsample(self) -> bool:
        return True

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        return ksubset.rsample(self.logits, self.k, rng=key, sample_shape=tuple(sample_shape))

    def rsample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        return self.sample(key, sample_shape)

    @validate_sample
    def log_prob(self, value: Array, intermediates: Any = None) -> Array:
        return ksubset.log_prob(self.logits, self.k, jnp.asarray(value), validate=False)

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
        n, k = self.event_shape[0], self.k
        if not isinstance(k, int):
            raise NotImplementedError(f"enumerate_support needs one k, an int, for all rows; got {kind(k)}")
        if comb(n, k) > MOST_SUBSETS:
            raise NotImplementedError(f"enumerate_support lists at most {MOST_SUBSETS} subsets; got {comb(n, k)}")
        z = jnp.asarray(subsets(n, k), self.logits.dtype).reshape(-1, *(1,) * len(self.batch_shape), n)
        return jnp.broadcast_to(z, (z.shape[0], *self.batch_shape, n)) if expand else z


def _in_jax(x: Any) -> Any:
    """NumPy's arrays as JAX arrays and its integers as Python's, all else as it is."""
    return jnp.asarray(x) if isinstance(x, np.ndarray) else int(x) if isinstance(x, np.integer) else x


def _parts(k: Any) -> tuple[dict[str, Array], tuple[Any, ...]]:
    """The arrays of k, which programs take as arguments, and the rest of k, which is built into the programs."""
    fields = {name: _in_jax(x) for name, x in (vars(k) if isinstance(k, ksubset.Cardinality) else {"k": k}).items()}
    arrays = {name: x for name, x in fields.items() if isinstance(x, jax.Array)}
    rest = tuple((name, x) for name, x in fields.items() if name not in arrays)
    return arrays, (type(k) if isinstance(k, ksubset.Cardinality) else None, rest)


def _size_of(arrays: dict[str, Array], fixed: tuple[Any, ...]) -> Any:
    """The inverse of `_parts`."""
    of, fields = fixed[0], {**dict(fixed[1]), **arrays}
    if of is None:
        return fields["k"]
    k = of.__new__(of)
    vars(k).update(fields)
    return k


@dist.kl.kl_divergence.register(KSubset, KSubset)
def _kl(p: KSubset, q: KSubset) -> Array:
    if p._fixed != q._fixed:
        raise ValueError(f"KL(KSubset || KSubset) needs the same k; got {p.k} and {q.k}")
    if isinstance(p.k, ksubset.Cardinality) and p._arrays:
        raise NotImplementedError("KL(KSubset || KSubset) takes no potentials with arrays; ksubset.kl_divergence does")
    value = ksubset.kl_divergence(p.logits, q.logits, p.k)
    return jnp.where(p.k == q.k, value, jnp.inf) if p._arrays else value
