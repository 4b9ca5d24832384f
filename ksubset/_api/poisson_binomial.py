"""The distribution of the number of chosen items, if this number is not prescribed."""

from functools import partial
from math import isnan

from ksubset._call.backend import Backend
from ksubset._call.placement import Placement
from ksubset._call.prepare import at_once, place, problem_of_size
from ksubset._call.problem import Problem
from ksubset._call.value_checks import check_not_nan
from ksubset._engine.ops import Array, T
from ksubset._law.counts import count_log_pmf as log_pmf_of_rows
from ksubset._law.size_weighted import SizeWeighted
from ksubset._law.tails import tails


def count_log_pmf(logits: T, *, validate: bool | None = None) -> T:
    r"""Log-probability of every sum of independent Bernoulli variables: the Poisson-binomial distribution.

    .. math:: \log p\bigl(\textstyle\sum_i z_i = c\bigr), \quad c = 0, …, n, \qquad p(z_i = 1) = \sigma(\theta_i)

    This is `log_prob_count` for all sizes at once, at little more than the cost of one. No count is too unlikely: in
    float64 the relative error of the probability is below 1e-10 down to 1e-300, and beyond that the logarithm is still
    good to a few roundings.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ stands for probability 0, +∞ for 1.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (..., n + 1)
        In the dtype, namespace and device of ``logits``; −∞ where infinite logits rule the count out.

    Raises
    ------
    TypeError
        If ``logits`` has the wrong type or dtype.
    ValueError
        If its shape does not fit, or a row contains NaN.

    References
    ----------
    Hong, "On computing the distribution function for the Poisson binomial distribution", Computational Statistics and
    Data Analysis 59 (2013). Here by direct convolution: in the core P(c) = P_λ(c) · e^−λc · Π (1 + e^(θ+λ))/(1 + e^θ),
    under one tilt λ after another until every count has been within reach of the floats; in a CPU kernel by blocks of
    counts, each block with its own exponent.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> np.exp(ksubset.count_log_pmf(np.zeros(3))).round(12)
    array([0.125, 0.375, 0.375, 0.125])
    >>> float(ksubset.count_log_pmf(np.full(1000, -8.0))[1000].round(6))  # the logarithm of 1e-3475
    -8000.335406

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.count_log_pmf(logits)[1].backward()
    >>> logits.grad
    tensor([-0.2369, -0.4942, -0.4129, -0.2369])
    """
    value = at_once(log_pmf_of_rows, logits, 0, None, validate)
    if value is not None:
        return value
    return rows(logits, validate).run(lambda problem: problem.cast(log_pmf(problem)), tail=_tail(logits))


def count_log_cdf(logits: T, *, validate: bool | None = None) -> T:
    r"""Log-probability that independent Bernoulli variables add up to at most each count.

    .. math:: \log p\bigl(\textstyle\sum_i z_i \le c\bigr), \quad c = 0, …, n, \qquad p(z_i = 1) = \sigma(\theta_i)

    Small probabilities are summed from below, from the probabilities of `count_log_pmf`, and keep their relative
    accuracy. If a probability is close to 1, its logarithm is log(1 − P(S > c)), and keeps its relative accuracy too.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ stands for probability 0, +∞ for 1.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (..., n + 1)
        In the dtype, namespace and device of ``logits``; the last entry is 0; −∞ where infinite logits rule out
        every count up to c.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, or a row contains NaN.

    References
    ----------
    Hong, "On computing the distribution function for the Poisson binomial distribution", Computational Statistics and
    Data Analysis 59 (2013).

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> np.exp(ksubset.count_log_cdf(np.zeros(3))).round(12)
    array([0.125, 0.5  , 0.875, 1.   ])
    >>> print(f"{ksubset.count_log_cdf(np.full(1000, -8.0))[99]:.6}")  # its exponential is 1 in floats
    -1.67963e-208

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.count_log_cdf(logits)[2].backward()
    >>> logits.grad
    tensor([-0.0770, -0.1638, -0.2546, -0.1737])
    """
    return _apply_to_tails(logits, validate, 0)


def count_log_sf(logits: T, *, validate: bool | None = None) -> T:
    r"""Log-probability that independent Bernoulli variables add up to more than each count: the survival function.

    .. math:: \log p\bigl(\textstyle\sum_i z_i > c\bigr), \quad c = 0, …, n, \qquad p(z_i = 1) = \sigma(\theta_i)

    As accurate as `count_log_cdf`, summed from above.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ stands for probability 0, +∞ for 1.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (..., n + 1)
        In the dtype, namespace and device of ``logits``; the last entry is −∞.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, or a row contains NaN.

    References
    ----------
    Hong, "On computing the distribution function for the Poisson binomial distribution", Computational Statistics and
    Data Analysis 59 (2013).

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> np.exp(ksubset.count_log_sf(np.zeros(3))).round(12)
    array([0.875, 0.5  , 0.125, 0.   ])
    >>> float(ksubset.count_log_sf(np.full(1000, -8.0))[99].round(6))  # 1 less the distribution function would be 0
    -478.419125

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.count_log_sf(logits)[2].backward()
    >>> logits.grad
    tensor([0.0933, 0.1985, 0.3085, 0.2105])
    """
    return _apply_to_tails(logits, validate, 1)


def rows(logits: Array, validate: bool | None) -> Placement[Problem]:
    """The validated call."""
    return place(partial(problem_of_size, check=_check), logits, 0, None, validate)


def log_pmf(problem: Problem) -> Array:
    """The log-probabilities of all counts in the dtype of the computation."""
    every_size = SizeWeighted(0, int(problem.logits.shape[-1]))
    return problem.backend.evaluate(log_pmf_of_rows, every_size, problem.logits)


def _apply_to_tails(logits: Array, validate: bool | None, side: int) -> Array:
    def work(problem: Problem) -> Array:
        return problem.cast(tails(problem.xp, log_pmf(problem))[side])

    return rows(logits, validate).run(work, tail=_tail(logits))


def _tail(logits: Array) -> tuple[int]:
    return (int(logits.shape[-1]) + 1,)


def _check(logits: Array, k: int | Array, backend: Backend, name: str) -> None:
    least, _ = backend.extremes(logits)
    if isnan(least):
        check_not_nan(backend.readable(logits), name)
