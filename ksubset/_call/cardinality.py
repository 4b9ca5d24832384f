"""Cardinality potentials, given in place of k: log-weights of the counts."""

from math import prod
from typing import Any

import array_api_compat

from ksubset._call.argument_checks import check_floating, check_framework, check_shape
from ksubset._call.backend import Backend, Shards
from ksubset._call.size_checks import check_k
from ksubset._call.value_checks import check_log_weights, check_order, check_unsigned
from ksubset._engine.arrays import device
from ksubset._engine.ops import Array


class Cardinality:
    r"""A weight for each number of chosen items, to be given instead of k.

    .. math:: p(z) \propto w\bigl(\textstyle\sum_i z_i\bigr) \exp(\theta \cdot z)

    Every function that takes ``k`` also takes a `Cardinality`, and then covers the subsets of all sizes that have a
    weight. In torch and JAX there are gradients with respect to ``log_weights`` too; for `log_normalizer` they are the
    probabilities of the counts. `at_most`, `at_least` and `between` give the same weight to a range of counts.

    Parameters
    ----------
    log_weights : array, shape (..., n + 1)
        The logarithms of w(0), …, w(n); broadcasts to the batch shape of the logits, and is brought to their dtype.
        −∞ rules a count out; +∞ and NaN are errors.

    Raises
    ------
    TypeError
        If ``log_weights`` is no array of a real floating dtype; raised by the function that it is passed to,
        like errors in its shape and values.

    References
    ----------
    Tarlow, Swersky, Zemel, Adams & Frey, "Fast exact inference for recursive cardinality models", UAI 2012.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> even = ksubset.Cardinality(np.array([0.0, -np.inf, 0.0, -np.inf]))  # none of three items, or two
    >>> ksubset.marginals(np.zeros(3), even)
    array([0.5, 0.5, 0.5])
    """

    __module__ = "ksubset"

    def __init__(self, log_weights: Array) -> None:
        self.log_weights = log_weights

    def __repr__(self) -> str:
        shape = getattr(self.log_weights, "shape", None)
        return f"Cardinality(log_weights of shape {None if shape is None else tuple(shape)})"

    def local(self, shards: Shards) -> "Cardinality":
        """The same weights for the rows of this process, if the logits are spread over several."""
        return Cardinality(shards.local(self.log_weights, "log_weights"))

    def is_readable(self, backend: Backend) -> bool:
        """Whether the values can be read at no cost."""
        return not backend.is_array(self.log_weights) or backend.is_readable(self.log_weights)

    def has_arrays_of(self, other: "Cardinality", backend: Backend) -> bool:
        """Whether another copy of the same object has equal arrays; true if their values cannot be read."""
        if not (self.is_readable(backend) and other.is_readable(backend)):
            return True
        return all(_equal(x, vars(other)[name], backend) for name, x in vars(self).items())

    def resolve(self, logits: Array, backend: Backend, xp: Any, reads: bool) -> tuple[Array, int, int]:
        """Check against the logits; the log-weights (..., n + 1), and the least and the largest count with a weight."""
        n, x = int(logits.shape[-1]), self.log_weights
        check_framework(x, "log_weights", logits, backend)
        check_floating(x, "log_weights", xp)
        if x.ndim == 0 or x.shape[-1] != n + 1:
            raise ValueError(f"log_weights must have shape (..., {n + 1}), one for each count; got {tuple(x.shape)}")
        check_shape(x, "log_weights", (*logits.shape[:-1], n + 1), exact=False)
        low, high = 0, n
        if reads:
            values = backend.readable(x)
            check_log_weights(values)
            low, high = _support(values, n)
        return xp.broadcast_to(xp.astype(x, logits.dtype, copy=False), (*logits.shape[:-1], n + 1)), low, high


def _equal(x: Any, y: Any, backend: Backend) -> bool:
    """Whether two arrays or two numbers are equal: copies of NumPy's arrays of no dimension are numbers."""
    if backend.is_array(x):
        return bool(x.shape == y.shape and backend.namespace(x).all(x == y))
    return bool(x == y)


def _support(values: Array, n: int) -> tuple[int, int]:
    """The least and the largest count with a weight in any row."""
    xp = array_api_compat.array_namespace(values)
    used = xp.any(xp.reshape(values, (-1, n + 1)) > -xp.inf, axis=0)
    if not bool(xp.any(used)):
        return 0, n
    marks = xp.astype(used, xp.int8)
    return int(xp.argmax(marks)), n - int(xp.argmax(xp.flip(marks)))


class Between(Cardinality):
    """The same weight for the counts ``low`` … ``high``, n if ``high`` is None; ``names`` are the caller's."""

    def __init__(self, low: int | Array, high: int | Array | None, names: tuple[str, str] = ("low", "high")) -> None:
        self.low, self.high, self.names = low, high, names

    def __repr__(self) -> str:
        return f"between({self.low}, {'n' if self.high is None else self.high})"

    def local(self, shards: Shards) -> Cardinality:
        """As for `Cardinality`."""
        low = shards.local(self.low, self.names[0], items=False)
        return Between(low, shards.local(self.high, self.names[1], items=False), self.names)

    def is_readable(self, backend: Backend) -> bool:
        """Whether the values can be read at no cost."""
        return all(not backend.is_array(x) or backend.is_readable(x) for x in (self.low, self.high))

    def resolve(self, logits: Array, backend: Backend, xp: Any, reads: bool) -> tuple[Array, int, int]:
        """As for `Cardinality`."""
        n, batch = int(logits.shape[-1]), tuple(logits.shape[:-1])
        low = check_k(self.low, logits, backend, xp, name=self.names[0])
        high = n if self.high is None else check_k(self.high, logits, backend, xp, name=self.names[1])
        for name, given in zip(self.names, (self.low, self.high), strict=True) if reads else ():
            check_unsigned(given, n, backend, name)
        least, most = (x if isinstance(x, int) else backend.readable(x) if reads else None for x in (low, high))
        if least is not None and most is not None:
            check_order(least, most, n, self.names)
        bounds = _bound(least, 0, min), _bound(most, n, max)
        count, low, high = xp.arange(n + 1, device=device(logits)), _column(low), _column(high)
        inside = (count >= low) & (count <= high) & (count * 0 + low >= 0) & (count * 0 + high <= n)
        zero = xp.zeros((), dtype=logits.dtype, device=device(logits))
        return xp.broadcast_to(xp.where(inside, zero, zero - xp.inf), (*batch, n + 1)), *bounds


def _column(k: int | Array) -> int | Array:
    return k if isinstance(k, int) else k[..., None]


def _bound(k: Any, default: int, extreme: Any) -> int:
    """A static bound on the counts ``k``."""
    if isinstance(k, int) or k is None:
        return default if k is None else k
    if prod(k.shape) == 0:
        return default
    xp = array_api_compat.array_namespace(k)
    return int(getattr(xp, extreme.__name__)(k))


def at_most(k: int | Array) -> Cardinality:
    """Subsets of at most k items, to be given instead of k; see `Cardinality`.

    Parameters
    ----------
    k : int or integer array
        In [0, n]; an array broadcasts to the batch shape of the logits.

    Returns
    -------
    Cardinality

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> float(np.exp(ksubset.log_normalizer(np.zeros(4), ksubset.at_most(2))).round(9))  # 1 + 4 + 6 subsets
    11.0
    """
    return Between(0, k, ("0", "k"))


def at_least(k: int | Array) -> Cardinality:
    """Subsets of at least k items, to be given instead of k; see `Cardinality`.

    Parameters
    ----------
    k : int or integer array
        In [0, n]; an array broadcasts to the batch shape of the logits.

    Returns
    -------
    Cardinality

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> float(np.exp(ksubset.log_normalizer(np.zeros(4), ksubset.at_least(3))).round(9))  # 4 + 1 subsets
    5.0
    """
    return Between(k, None, ("k", "n"))


def between(low: int | Array, high: int | Array) -> Cardinality:
    """Subsets of ``low`` to ``high`` items, both included, to be given instead of k; see `Cardinality`.

    Parameters
    ----------
    low, high : int or integer array
        In [0, n], ``low`` at most ``high``; arrays broadcast to the batch shape of the logits.

    Returns
    -------
    Cardinality

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> float(np.exp(ksubset.log_normalizer(np.zeros(4), ksubset.between(1, 2))).round(9))  # 4 + 6 subsets
    10.0
    """
    return Between(low, high)
