"""Quantiles of the number of chosen items, if this number is not prescribed."""

from functools import partial
from math import inf, log
from numbers import Real
from typing import Any

from array_api_compat import array_namespace

from ksubset._api.poisson_binomial import log_pmf, rows
from ksubset._call.argument_checks import check_floating, check_framework, kind
from ksubset._call.problem import Problem
from ksubset._call.value_checks import check_rows
from ksubset._engine.arrays import broadcast_shapes, device
from ksubset._engine.ops import Array, T
from ksubset._law.tails import least_count


def count_quantile(logits: T, q: float | Array, *, validate: bool | None = None) -> T:
    r"""Quantiles of the sum of independent Bernoulli variables.

    .. math:: \min \{c : p\bigl(\textstyle\sum_i z_i \le c\bigr) \ge q\}, \qquad p(z_i = 1) = \sigma(\theta_i)

    Levels above a half are compared in the upper tail, so that ``1 - 1e-12`` is as good a level as ``1e-12``. A level
    that misses a value of the distribution function by a few roundings counts as equal to it.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ stands for probability 0, +∞ for 1.
    q : float, or real floating array that broadcasts with (...)
        Levels in [0, 1]; one number where ``logits`` are a Dask array or a DTensor.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere NaN or a level out of range yields −1.

    Returns
    -------
    array of integers, shape (...) broadcast with the shape of ``q``
        From 0 to n, without a gradient.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, a row contains NaN, or a level is not in [0, 1].

    References
    ----------
    Hong, "On computing the distribution function for the Poisson binomial distribution", Computational Statistics and
    Data Analysis 59 (2013).

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.count_quantile(np.zeros(100), np.array([0.025, 0.5, 0.975]))
    array([40, 50, 60])
    """
    call = rows(logits, validate)
    problem = call.problem
    if not isinstance(q, Real) and call is not problem:
        where = "where logits are a Dask array or a DTensor"
        raise TypeError(f"q must be a number {where}; got {kind(q)}: ask for one level at a time")
    levels = _number(float(q)) if isinstance(q, Real) else _array(problem, q)
    value = call.run(partial(_counts, levels=levels))
    xp = problem.xp
    return value if xp.isdtype(value.dtype, "integral") else xp.astype(value, xp.int64)  # Dask goes by the logits


def _counts(problem: Problem, levels: Any) -> Array:
    found, xp = log_pmf(problem), problem.xp
    where = {"dtype": found.dtype, "device": device(found)}
    pair = [xp.asarray(x, **where) if isinstance(x, list) else xp.astype(x, found.dtype) for x in levels]
    return least_count(xp, found, *pair)


def _number(q: float) -> tuple[list[float], list[float]]:
    """log q and log(1 − q), (1,)."""
    if not 0 <= q <= 1:
        raise ValueError(f"q must be in [0, 1]; got {q}")
    low, high = ([log(x) if x else -inf] for x in (q, 1 - q))
    return low, high


def _array(problem: Problem, q: Array) -> tuple[Array, Array]:
    """log q and log(1 − q) of an array, (..., 1); positive for levels out of range."""
    xp, batch = problem.xp, tuple(problem.logits.shape[:-1])
    check_framework(q, "q", problem.logits, problem.backend)
    check_floating(q, "q", xp)
    if broadcast_shapes(tuple(q.shape), batch) is None:
        raise ValueError(f"q must broadcast with the batch shape {batch} of logits; got {tuple(q.shape)}")
    if problem.checks(q):
        _check_levels(problem.backend.readable(q))
    inside = (q >= 0) & (q <= 1)
    low, high = (_log(xp, xp.where(inside, x, xp.full_like(x, 2.0)))[..., None] for x in (q, 1 - q))
    return low, high


def _check_levels(q: Array) -> None:
    xp = array_namespace(q)
    flat = xp.reshape(q, (-1,))
    check_rows(~((q >= 0) & (q <= 1)), lambda row: str(float(flat[row])), "q must be in [0, 1]", xp)


def _log(xp: Any, x: Array) -> Array:
    """The logarithm, −∞ of 0 without a warning."""
    zero = x == 0
    return xp.where(zero, xp.full_like(x, -inf), xp.log(xp.where(zero, xp.ones_like(x), x)))
