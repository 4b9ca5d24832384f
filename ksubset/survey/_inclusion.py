"""Inclusion probabilities proportional to sizes."""

from functools import partial

import array_api_compat

from ksubset._call.backend import Backend
from ksubset._call.prepare import place, problem_of_size
from ksubset._call.problem import Problem, by_own_settings
from ksubset._call.value_checks import check_entries, check_not_nan, check_range, check_rows
from ksubset._engine.arrays import fill, iota, whole
from ksubset._engine.ops import Array, Ops, T
from ksubset._engine.summation import compensated_sum
from ksubset.survey._numbers import floats


def inclusion_probabilities(sizes: T, k: int | Array, *, validate: bool | None = None) -> T:
    r"""Inclusion probabilities proportional to sizes, of samples of k units.

    .. math:: \pi_i = \begin{cases} 1 & i \in C \\ (k - |C|) \, x_i \big/ \sum_{j \notin C} x_j & i \notin C \end{cases}

    C are the units that are certain: a unit whose share would exceed 1 is in every sample, and the others share the
    rest, until no share exceeds 1.

    Parameters
    ----------
    sizes : array or column of a table, shape (..., n)
        Finite, at least 0; each row has at least k units of a size above 0. Whole numbers are taken in the default
        floating dtype of the framework, and of an object with ``to_numpy()``, such as a pandas Series, the values.
    k : int or integer array
        Size of the samples, in [0, n]; an array broadcasts to the batch shape (...).
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (..., n)
        In the namespace and on the device of ``sizes``, and in their dtype if it is floating. Each row sums to k up to
        rounding, and none is above 1. Exactly 1 for the units in C, and for all units with a size if there are only
        k of them; 0 for units of size 0. In torch and JAX the derivative is that of the formula, C held fixed.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row of ``sizes`` contains NaN, infinity or a negative
        number, or has fewer than k entries above 0.

    Notes
    -----
    With the sizes in descending order, the first m units are certain for the least m with
    :math:`(k - m) \, x_{(m+1)} \le \sum_{j > m} x_{(j)}`; all m are compared at once, so that compiled programs need no
    loop.

    References
    ----------
    Tillé, "Sampling Algorithms", Springer (2006), section 2.10. Särndal, Swensson & Wretman, "Model Assisted Survey
    Sampling", Springer (1992), section 3.6.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import survey
    >>> survey.inclusion_probabilities(np.array([20, 5, 3, 1, 1]), 3)
    array([1. , 1. , 0.6, 0.2, 0.2])
    """
    sizes = floats(sizes, "sizes")
    if isinstance(k, int) and k > 1 and len(sizes.shape) > 1 and sizes.shape[-1] == 1:
        given = f"got shape {tuple(sizes.shape)} and k = {k}: give a single column of a table"
        raise ValueError(f"sizes must have the units of a population along the last axis; {given}")
    start = partial(problem_of_size, name="sizes", check=_check_sizes)
    return place(start, sizes, k, None, validate, "sizes").run(_proportional, tail=tuple(sizes.shape[-1:]))


@by_own_settings
def _proportional(problem: Problem) -> Array:
    ops, sizes = problem.backend.ops(problem.logits), problem.logits
    k = whole(ops, problem.k, sizes)[..., None]
    if not sizes.shape[-1]:
        return problem.cast(sizes)
    shares = _shares(ops, _scaled(ops, sizes), k)
    return problem.cast(ops.xp.where(_sound(ops, sizes, k), shares, fill(ops, (), float("nan"), sizes)))


def _scaled(ops: Ops, sizes: Array) -> Array:
    """Sizes whose sum cannot overflow."""
    largest, limit = ops.xp.max(sizes, axis=-1, keepdims=True), float(ops.xp.finfo(sizes.dtype).max) ** 0.5
    one, less = fill(ops, (), 1.0, sizes), fill(ops, (), 1 / limit, sizes)
    return sizes * ops.xp.where(largest > limit, less, one)


def _shares(ops: Ops, sizes: Array, k: Array) -> Array:
    """No share is above 1, because whatever would have one is certain."""
    xp, one = ops.xp, fill(ops, (), 1.0, sizes)
    total, places = _uncertain(ops, sizes, k)
    alone = _positive(ops, sizes) == k
    certain = (places * sizes > total) | (alone & (sizes > 0))
    return xp.where(certain, one, places * sizes / xp.where(total > 0, total, one))


def _uncertain(ops: Ops, sizes: Array, k: Array) -> tuple[Array, Array]:
    """The sum of the sizes of the units that are not certain, and how many of these are drawn."""
    xp, n = ops.xp, sizes.shape[-1]
    ascending, place = ops.sort(sizes), iota(ops, n, sizes)
    before = xp.cumulative_sum(ops.stop_gradient(ascending), axis=-1)
    larger = xp.astype(n - 1 - place, sizes.dtype)
    exceeds = (k - larger) * ascending > before
    certain = xp.sum(xp.astype(exceeds, sizes.dtype), axis=-1, keepdims=True)
    rest = xp.where(larger >= certain, ascending, xp.zeros_like(ascending))
    return compensated_sum(ops, rest)[..., None], k - certain


def _positive(ops: Ops, sizes: Array) -> Array:
    return ops.xp.sum(ops.xp.astype(sizes > 0, sizes.dtype), axis=-1, keepdims=True)


def _sound(ops: Ops, sizes: Array, k: Array) -> Array:
    """Rows that `_check_sizes` would pass."""
    xp = ops.xp
    fit = xp.all(xp.isfinite(sizes) & (sizes >= 0), axis=-1, keepdims=True)
    return fit & (k >= 0) & (k <= _positive(ops, sizes))


def _check_sizes(sizes: Array, k: int | Array, backend: Backend, name: str) -> None:
    sizes, k = backend.readable(sizes), k if isinstance(k, int) else backend.readable(k)
    xp = array_api_compat.array_namespace(sizes)
    check_not_nan(sizes, name)
    check_range(k, sizes.shape[-1])
    check_entries(sizes, (sizes < 0) | xp.isinf(sizes), f"{name} must be finite and at least 0", xp)
    some = xp.sum(xp.astype(sizes > 0, xp.int32), axis=-1)
    flat, remedy = xp.reshape(some, (-1,)), "a unit of size 0 is never drawn, so take a smaller k"
    complaint = f"{name} must have at least k entries above 0"
    check_rows(some < k, lambda row: f"{int(flat[row])}", complaint, xp, remedy)
