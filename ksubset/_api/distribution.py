"""The distribution as an object."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, Generic

from ksubset._api import covariance, information, sampling
from ksubset._api.indices import draw_indices, likeliest_indices, score_indices
from ksubset._call.backend import Known
from ksubset._call.cardinality import Cardinality
from ksubset._call.prepare import at_once, prepare
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array, T
from ksubset._law import functions


class KSubset(Generic[T]):
    r"""The distribution of a random subset of exactly k of n items, :math:`p(z) \propto \exp(\theta \cdot z)`.

    The arguments are checked once, here. Computations that several methods share run once, when the first of these
    methods is called. Before that, `mean` and `variance` come directly from the CPU fast path, where it applies. The
    object keeps copies of its arrays, through which derivatives pass, so that a later change in place, by an optimiser
    for instance, does not affect it.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Attributes
    ----------
    batch_shape, event_shape : tuple of int
        (...) and (n,).
    mean, variance : array, shape (..., n)
        Of each item's indicator.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> d = ksubset.KSubset(np.array([2.0, 1.0, 0.0, -1.0]), 2)
    >>> d.mean.round(4)
    array([0.8808, 0.6944, 0.3056, 0.1192])
    >>> d.sample(rng=0, sample_shape=(3,)).shape
    (3, 4)

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> d = ksubset.KSubset(logits, 2)
    >>> (d.rsample() @ cost - d.entropy()).backward()
    >>> logits.grad
    tensor([ 0.2592, -0.2357,  0.3150, -0.3385])
    """

    __module__ = "ksubset"

    def __init__(self, logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None) -> None:
        logits, self._given, k = _own(logits), k, _own(k)
        self._call = prepare(logits, k, max_k, validate)
        self._solved: Known = None
        self._most = max_k
        self._again = partial(type(self), max_k=max_k, validate=validate)
        self.logits: T = logits
        self.k: int | Array = k
        if not isinstance(k, Cardinality):
            self.k = self._call.k
        self.batch_shape: tuple[int, ...] = tuple(logits.shape[:-1])
        self.event_shape: tuple[int, ...] = tuple(logits.shape[-1:])

    def __repr__(self) -> str:
        return f"KSubset(batch_shape={self.batch_shape}, event_shape={self.event_shape})"

    def __reduce__(self) -> tuple[Callable[..., "KSubset[T]"], tuple[T, int | Array]]:
        return self._again, (self.logits, self.k)

    @property
    def _solution(self) -> Known:
        if self._solved is None:  # not a cached_property, which before Python 3.12 has one lock for all objects
            self._solved = self._call.moments()
        return self._solved

    def _known(self, function: Callable[..., Array]) -> Known:
        """The shared passes, unless they have not run and a kernel of its own computes the function."""
        law, ask = self._call.problem.law, (functions.has_own_kernel, functions.asks_kernels)
        own = self._solved is None and any(kernels(function, law) for kernels in ask)
        path = self._call.path(function.__name__) if own else ""
        alone = not isinstance(path, str) and not path.solves
        return None if alone else self._solution

    @property
    def mean(self) -> T:
        """The marginals, (..., n): the probability of each item to be in the subset, as `marginals` gives them."""
        known = self._known(functions.marginals)
        return self._call.value(functions.marginals, solution=known)

    @property
    def variance(self) -> T:
        """The variance of each item's indicator, (..., n): μ (1 − μ), accurate at both ends."""
        known = [self._known(side) for side in SIDES]
        return self._call.run(partial(_variance, known), tail=self.event_shape)

    def log_normalizer(self) -> T:
        """The log-normaliser A(θ) = log Σ exp(θ · z), shape (...), as `log_normalizer` gives it."""
        return self._call.value(functions.log_normalizer, solution=self._known(functions.log_normalizer))

    def log_prob_count(self) -> T:
        """The log-probability that independent items add up to k, shape (...), as `log_prob_count` gives it."""
        return self._call.value(functions.log_prob_count, solution=self._solution)

    def marginals_jvp(self, v: Array) -> T:
        """The covariance times a vector, J · v, (..., n), as `marginals_jvp` gives it.

        Parameters
        ----------
        v : array, shape (..., n)
            Broadcasts against the logits.
        """
        return covariance.jacobian_times(self._call, v)

    def covariance(self) -> T:
        """The covariance matrix of the items, (..., n, n), as `covariance` gives it."""
        return self._call.run(covariance.all_products, tail=self.event_shape * 2)

    def entropy(self) -> T:
        """The Shannon entropy in nats, shape (...), as `entropy` gives it."""
        return self._call.value(functions.entropy, solution=self._known(functions.entropy))

    def kl_to_uniform(self) -> T:
        """The divergence to the uniform distribution in nats, shape (...), as `kl_to_uniform` gives it."""
        return self._call.value(functions.kl_to_uniform, solution=self._known(functions.kl_to_uniform))

    def kl_divergence(self, other: "KSubset[T]") -> T:
        """The divergence from this distribution to another in nats, shape (...), as `kl_divergence` gives it.

        Parameters
        ----------
        other : KSubset
            With the same k: an equal int, or one and the same `Cardinality`.
        """
        if not isinstance(other, KSubset):
            raise TypeError(f"other must be a KSubset; got {type(other).__name__}")
        ours, theirs = self.k, other.k
        if isinstance(ours, Cardinality) and isinstance(theirs, Cardinality) and self._given is other._given:
            if not ours.has_arrays_of(theirs, self._call.problem.backend):
                raise ValueError("other must have the same k; the log-weights were changed after one of them was made")
        elif not (isinstance(ours, int) and isinstance(theirs, int) and ours == theirs):
            known = f"{theirs} beside {ours}"
            raise ValueError(f"other must have the same k, an int or one and the same Cardinality object; got {known}")
        value = at_once(functions.kl_divergence, self.logits, ours, None, None, other.logits)
        if value is not None:
            return value
        return information.divergence(self._call, other.logits, self._known(functions.kl_divergence))

    def log_prob(self, z: Array) -> T:
        """The log-probability of a subset, shape (...), as `log_prob` gives it.

        Parameters
        ----------
        z : array, shape (..., n)
            0 and 1, of any real dtype; broadcasts against the logits.
        """
        value = at_once(functions.log_prob, self.logits, self.k, None, None, z)
        return information.score(self._call, z, self._known(functions.log_prob)) if value is None else value

    def mode(self) -> T:
        """The most likely subset, (..., n), 0 and 1, as `mode` gives it."""
        return self._call.value(functions.mode)

    def sample(self, *, rng: object = None, sample_shape: tuple[int, ...] = ()) -> T:
        """Exact samples without a gradient, sample_shape + (..., n), as `sample` draws them.

        Parameters
        ----------
        rng : generator, key or int, optional
            The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`,
            `cupy.random.Generator` or JAX key. An int seeds one. None takes torch's global generator, a fresh generator
            in NumPy and CuPy, and is an error in JAX. Dask arrays take the same as NumPy arrays, or a
            `numpy.random.SeedSequence`: each chunk has a stream of its own, found from the seed and its position.
        sample_shape : tuple of int, optional
            Shape of the draws from each row, which share all work that depends on the logits alone.
        """
        return sampling.draw(self._call, rng, sample_shape, functions.sample)

    def rsample(self, *, rng: object = None, sample_shape: tuple[int, ...] = ()) -> T:
        """Exact samples with the SIMPLE gradient, sample_shape + (..., n), as `rsample` draws them.

        Parameters
        ----------
        rng : generator, key or int, optional
            The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`,
            `cupy.random.Generator` or JAX key. An int seeds one. None takes torch's global generator, a fresh generator
            in NumPy and CuPy, and is an error in JAX. Dask arrays take the same as NumPy arrays, or a
            `numpy.random.SeedSequence`: each chunk has a stream of its own, found from the seed and its position.
        sample_shape : tuple of int, optional
            Shape of the draws from each row, which share all work that depends on the logits alone.
        """
        return sampling.draw(self._call, rng, sample_shape, functions.rsample)

    def sample_with_marginals(self, *, rng: object = None, sample_shape: tuple[int, ...] = ()) -> tuple[T, T]:
        """Exact samples with the SIMPLE gradient, and the marginals, as `sample_with_marginals` gives them.

        Parameters
        ----------
        rng : generator, key or int, optional
            The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`,
            `cupy.random.Generator` or JAX key. An int seeds one. None takes torch's global generator, a fresh generator
            in NumPy and CuPy, and is an error in JAX. Dask arrays take the same as NumPy arrays, or a
            `numpy.random.SeedSequence`: each chunk has a stream of its own, found from the seed and its position.
        sample_shape : tuple of int, optional
            Shape of the draws from each row, which share all work that depends on the logits alone.
        """
        z = sampling.draw(self._call, rng, sample_shape, functions.sample)
        return sampling.with_derivative(self._call, z, self.mean)

    def sample_indices(self, *, rng: object = None, sample_shape: tuple[int, ...] = ()) -> T:
        """The items of exact samples, sample_shape + (..., places), as `sample_indices` draws them.

        Parameters
        ----------
        rng : generator, key or int, optional
            The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`,
            `cupy.random.Generator` or JAX key. An int seeds one. None takes torch's global generator, a fresh generator
            in NumPy and CuPy, and is an error in JAX. Dask arrays take the same as NumPy arrays, or a
            `numpy.random.SeedSequence`: each chunk has a stream of its own, found from the seed and its position.
        sample_shape : tuple of int, optional
            Shape of the draws from each row, which share all work that depends on the logits alone.
        """
        return draw_indices(self._call, rng, sample_shape, self._most)

    def mode_indices(self) -> T:
        """The items of the most likely subset, (..., places), as `mode_indices` gives them."""
        return likeliest_indices(self._call, self._most)

    def log_prob_indices(self, indices: Array) -> T:
        """The log-probability of subsets given by their items, shape (...), as `log_prob_indices` gives it.

        Parameters
        ----------
        indices : integer array, shape (..., places)
            Items in any order; −1 stands for none. The batch broadcasts against that of the logits.
        """
        return score_indices(self._call, indices, self._known(functions.log_prob))


SIDES = (functions.marginals, functions.unchosen)


def _variance(known: list[Known], problem: Problem) -> Array:
    """The product of both sides, rounded once to the dtype of the results."""
    wide = replace(problem, dtype=problem.logits.dtype)
    chosen, unchosen = (wide.value(side, solution=solution) for side, solution in zip(SIDES, known, strict=True))
    return problem.cast(chosen * unchosen)


def _own(x: Any) -> Any:
    """A copy of an array, or of a `Cardinality` with its arrays, that has the derivative of the original."""
    if isinstance(x, Cardinality):
        kept = copy(x)
        vars(kept).update({name: _own(value) for name, value in vars(x).items()})
        return kept
    is_array = hasattr(x, "__array_namespace__") or hasattr(x, "grad_fn")
    return x + 0 if is_array and "bool" not in str(x.dtype) else x  # truth values are refused, their sums would not be
