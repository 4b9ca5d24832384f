"""The distribution as an object."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, Generic

from ksubset._api import indices, information, marginals, sampling
from ksubset._call.backend import Known
from ksubset._call.cardinality import Cardinality
from ksubset._call.prepare import prepare
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array, T
from ksubset._law import functions


class KSubset(Generic[T]):
    r"""The distribution of a random subset of exactly k of n items, :math:`p(z) \propto \exp(\theta \cdot z)`.

    Computations that several methods share run once, when the first of these methods is called. Before that, `mean` and
    `variance` come directly from the CPU fast path, where it applies. The object keeps copies of its arrays, through
    which derivatives pass, so that a later change in place, by an optimiser for instance, does not affect it.

    Parameters
    ----------
    logits, k, max_k, validate
        As in `log_normalizer`; validated here, once.

    Attributes
    ----------
    batch_shape, event_shape : tuple of int
        (...) and (n,).
    mean, variance : array, shape (..., n)
        Of each item's indicator.

    Raises
    ------
    TypeError, ValueError
        As in `log_normalizer`.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> d = ksubset.KSubset(np.array([2.0, 1.0, 0.0, -1.0]), 2)
    >>> d.mean.round(4)
    array([0.8808, 0.6944, 0.3056, 0.1192])
    >>> d.sample(rng=0, sample_shape=(3,)).shape
    (3, 4)
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
        """The shared passes, unless they have not run and a kernel of its own computes this side of the marginals."""
        path = self._call.path(function.__name__) if self._solved is None else ""
        alone = not isinstance(path, str) and not path.solves
        return None if alone else self._solution

    @property
    def mean(self) -> T:
        """The marginals; see `marginals`."""
        known = self._known(functions.marginals)
        return self._call.value(functions.marginals, solution=known)

    @property
    def variance(self) -> T:
        """μ (1 − μ), accurate at both ends."""
        known = [self._known(side) for side in SIDES]
        return self._call.run(partial(_variance, known), tail=self.event_shape)

    def log_normalizer(self) -> T:
        """See `log_normalizer`."""
        return self._call.value(functions.log_normalizer, solution=self._solution)

    def log_prob_count(self) -> T:
        """See `log_prob_count`."""
        return self._call.value(functions.log_prob_count, solution=self._solution)

    def marginals_jvp(self, v: Array) -> T:
        """See `marginals_jvp`."""
        return marginals.jacobian_times(self._call, v)

    def covariance(self) -> T:
        """See `covariance`."""
        return self._call.run(marginals.all_products, tail=self.event_shape * 2)

    def entropy(self) -> T:
        """See `entropy`."""
        return self._call.value(functions.entropy, solution=self._solution)

    def kl_to_uniform(self) -> T:
        """See `kl_to_uniform`."""
        return self._call.value(functions.kl_to_uniform, solution=self._solution)

    def kl_divergence(self, other: "KSubset[T]") -> T:
        """The divergence from this distribution to another with the same k; see `kl_divergence`."""
        if not isinstance(other, KSubset):
            raise TypeError(f"other must be a KSubset; got {type(other).__name__}")
        ours, theirs = self.k, other.k
        if isinstance(ours, Cardinality) and isinstance(theirs, Cardinality) and self._given is other._given:
            if not ours.has_arrays_of(theirs, self._call.problem.backend):
                raise ValueError("other must have the same k; the log-weights were changed after one of them was made")
        elif not (isinstance(ours, int) and isinstance(theirs, int) and ours == theirs):
            known = f"{theirs} beside {ours}"
            raise ValueError(f"other must have the same k, an int or one and the same Cardinality object; got {known}")
        return information.divergence(self._call, other.logits, self._solution)

    def log_prob(self, z: Array) -> T:
        """See `log_prob`."""
        return information.score(self._call, z, self._solution)

    def mode(self) -> T:
        """See `mode`."""
        return self._call.value(functions.mode)

    def sample(self, *, rng: object = None, sample_shape: tuple[int, ...] = ()) -> T:
        """See `sample`."""
        return sampling.draw(self._call, rng, sample_shape, functions.sample)

    def rsample(self, *, rng: object = None, sample_shape: tuple[int, ...] = ()) -> T:
        """See `rsample`."""
        return sampling.draw(self._call, rng, sample_shape, functions.rsample)

    def sample_with_marginals(self, *, rng: object = None, sample_shape: tuple[int, ...] = ()) -> tuple[T, T]:
        """See `sample_with_marginals`."""
        z = sampling.draw(self._call, rng, sample_shape, functions.sample)
        return sampling.with_derivative(self._call, z, self.mean)

    def sample_indices(self, *, rng: object = None, sample_shape: tuple[int, ...] = ()) -> T:
        """See `sample_indices`."""
        return indices.draw_indices(self._call, rng, sample_shape, self._most)

    def mode_indices(self) -> T:
        """See `mode_indices`."""
        return indices.likeliest_indices(self._call, self._most)

    def log_prob_indices(self, given: Array) -> T:
        """See `log_prob_indices`."""
        return indices.score_indices(self._call, given, self._solution)


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
