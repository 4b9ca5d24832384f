"""The most likely subset."""

from ksubset._call.prepare import prepare
from ksubset._engine.ops import Array, T
from ksubset._law import functions


def mode(logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    """Most likely subset: the k largest logits, ties to the lower index; of a `Cardinality`, ties to the smaller size.

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

    Returns
    -------
    array, shape (..., n)
        0 and 1 in the dtype of ``logits``. No gradient.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.mode(np.array([0.0, 3.0, 1.0, 1.0]), 2)
    array([0., 1., 1., 0.])
    """
    return prepare(logits, k, max_k, validate).value(functions.mode)
