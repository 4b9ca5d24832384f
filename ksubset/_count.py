"""The number of chosen items when none is prescribed."""

from dataclasses import replace

from ksubset import _weighted
from ksubset._call import Problem, own_rows, prepare
from ksubset._typing import Array, Backend
from ksubset._validation import check_not_nan


def count_log_pmf(logits: Array, *, validate: bool | None = None) -> Array:
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
        Whether the values are checked for NaN. By default they are where they can be read at no cost: eager, on a CPU.
        Elsewhere a bad row yields NaN in that row alone.

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
    Data Analysis 59 (2013). Here by direct convolution, P(c) = P_λ(c) · e^−λc · Π (1 + e^(θ+λ))/(1 + e^θ), under one
    tilt λ after another until every count has been within reach of the floats.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> np.exp(ksubset.count_log_pmf(np.zeros(3))).round(12)
    array([0.125, 0.375, 0.375, 0.125])
    >>> float(ksubset.count_log_pmf(np.full(1000, -8.0))[1000].round(6))  # the logarithm of 1e-3475
    -8000.335406
    """
    logits, _, spread = own_rows(logits, 0)
    problem = prepare(logits, 0, None, validate, check=_check, spread=spread)
    return problem.apply(_log_pmf, int(logits.shape[-1]) + 1)


def _check(logits: Array, k: int | Array, backend: Backend, name: str) -> None:
    check_not_nan(backend.readable(logits), name)


def _log_pmf(problem: Problem) -> Array:
    return replace(problem, width=int(problem.logits.shape[-1])).rows(_weighted.count_log_pmf)
