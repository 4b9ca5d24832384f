"""From inclusion probabilities to the design that has them."""

import array_api_compat

from ksubset import backends
from ksubset._api.distribution import KSubset
from ksubset._api.inverse_map import check_unit_interval, named_logits
from ksubset._call.argument_checks import check_logits
from ksubset._call.backend import Backend
from ksubset._call.value_checks import check_not_nan
from ksubset._engine.ops import Array, T
from ksubset.survey._numbers import floats


def design(
    probabilities: T,
    k: int | Array | None = None,
    *,
    rescale: bool = False,
    max_k: int | None = None,
    validate: bool | None = None,
) -> KSubset[T]:
    r"""The sampling design of largest entropy with given inclusion probabilities: conditional Poisson sampling.

    .. math:: p(s) \propto \exp \sum_{i \in s} \theta_i \quad \text{for } |s| = k, \qquad
        \sum_{s \ni i} p(s) = \pi_i

    Parameters
    ----------
    probabilities : array or column of a table, shape (..., n)
        The inclusion probabilities π of all units of the population, real floating, in [0, 1]; each row sums to k, up
        to rounding to its dtype, to float32 or to six digits. `inclusion_probabilities` makes them from sizes.
    k : int or integer array, optional
        Size of the samples, in [0, n]; an array broadcasts to the batch shape (...). By default the whole number
        nearest to the sum of a row.
    rescale : bool, optional
        Take rows of any sum, and multiply the odds of each by the factor c for which it sums to k:
        π ↦ cπ/(1 − π + cπ). Entries of 0 and 1 stay, the others stay between them and in their order.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    KSubset
        Of batch shape (...). Its ``mean`` are the probabilities: to 1e-12 in float64, and to 2e-5 in float32. The
        finite logits of a row sum to 0; the others are −∞ and +∞, where a probability is 0 and 1.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row of ``probabilities`` contains NaN or a value outside
        of [0, 1], or does not sum to k and ``rescale`` is false.

    References
    ----------
    Hájek, "Sampling from a Finite Population", Dekker (1981). Chen, Dempster & Liu, "Weighted finite population
    sampling to maximize entropy", Biometrika 81 (1994). Tillé, "Sampling Algorithms", Springer (2006), section 5.2.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import survey
    >>> d = survey.design(np.array([1.0, 0.7, 0.2, 0.1]))
    >>> d.k, d.mean.round(12)
    (2, array([1. , 0.7, 0.2, 0.1]))
    """
    probabilities = floats(probabilities, "probabilities")
    if k is None:
        k = _size_of_all(probabilities)
    logits = named_logits("probabilities", probabilities, k, rescale, max_k, validate)
    return KSubset(logits, k, max_k=max_k, validate=validate)


def _size_of_all(probabilities: Array) -> int | Array:
    """As `_size`; of rows that are spread over processes, each has its own."""
    if not backends.is_spread(probabilities):
        return _size(probabilities, backends.find(probabilities, "probabilities"))
    shards = backends.shards(probabilities, "probabilities")
    rows = shards.local(probabilities, "probabilities")
    k = _size(rows, backends.find(rows, "probabilities"))
    return k if isinstance(k, int) else shards.whole(k, 0)


def _size(probabilities: Array, backend: Backend) -> int | Array:
    """The nearest whole numbers to the sums, an int for a single row that can be read."""
    xp = backend.namespace(probabilities)
    check_logits(probabilities, xp, "probabilities")
    reads = backend.is_readable(probabilities)
    if reads and probabilities.shape[-1]:
        values = backend.readable(probabilities)
        check_not_nan(values, "probabilities")
        check_unit_interval(values, "probabilities", array_api_compat.array_namespace(values))
    k = backend.astype(xp.round(xp.sum(probabilities, axis=-1)), xp.int32)
    return int(k) if reads and probabilities.ndim == 1 else k
