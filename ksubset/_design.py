"""The distribution from the marginals that it shall have, as sampling designs prescribe them."""

from ksubset import _functions
from ksubset._call import Problem, by_own_settings, own_rows, prepare
from ksubset._layout import device
from ksubset._typing import Array
from ksubset._validation import check_marginals, sum_excess, sum_slack


def logits_from_marginals(
    mu: Array, k: int | Array, *, max_k: int | None = None, validate: bool | None = None
) -> Array:
    r"""Logits whose marginals are the ones given: the inverse of `marginals`.

    .. math:: \mu(\theta) = \mu, \qquad \textstyle\sum_i \theta_i = 0 \text{ over the finite } \theta_i

    Of all distributions over k-subsets with these marginals, the k-subset distribution is the one of the largest
    entropy. For a sampling design this gives every unit the inclusion probability that was prescribed.

    Parameters
    ----------
    mu : array, shape (..., n)
        Real floating, in [0, 1]; each row sums to k, but for rounding: to within 32 n ε, ε that of its dtype. What it
        misses k by is made up by a common shift of the marginals' own logits.
    k, max_k, validate
        As in `log_normalizer`.

    Returns
    -------
    array, shape (..., n)
        −∞ and +∞ where ``mu`` is 0 and 1. The marginals of the result differ from ``mu`` by at most 1e-12 in float64,
        and by 2e-5 in float32 in the rows tried, plus what ``mu`` misses k by. Small marginals have relative accuracy
        where those of `marginals` have it and ``mu`` determines them; next to a μ that rounding made 1 there is nothing
        left for others. NaN in a row whose search has not come to an end in 64 steps; none has been seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row of ``mu`` contains NaN or a value outside of [0, 1],
        or does not sum to k. Where values are not read, such a row yields NaN in that row alone.

    Notes
    -----
    The derivative is that of the implicit function: J⁺ along directions that sum to 0, the only ones in which marginals
    can move, and 0 for items with infinite logits. Gradients with respect to ``mu`` have an arbitrary constant added.

    Each step takes θ to an average of its image under θ ← θ + logit(μ) − logit(μ(θ)) and the image before, which
    converges from everywhere: about 10 evaluations of the marginals, at most 24 in the rows tried. The fixed-point
    iteration of the survey literature, which adds μ − μ(θ) to the probabilities of independent draws with the same
    conditional law, failed for one in seven of them.

    References
    ----------
    Chen, Dempster & Liu, "Weighted finite population sampling to maximize entropy", Biometrika 81 (1994). Deville,
    "Note sur l'algorithme de Chen, Dempster et Liu", CREST-ENSAI (2000). Tillé, "Sampling Algorithms", Springer (2006),
    section 5.2.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> mu = np.array([1.0, 0.9, 0.5, 0.4, 0.2])
    >>> theta = ksubset.logits_from_marginals(mu, 3)
    >>> theta.round(4)
    array([    inf,  1.6573, -0.134 , -0.3881, -1.1352])
    >>> ksubset.marginals(theta, 3).round(12)
    array([1. , 0.9, 0.5, 0.4, 0.2])
    """
    mu, k, spread = own_rows(mu, k, "mu")
    return prepare(mu, k, max_k, validate, "mu", check_marginals, spread).apply(_inverted, *mu.shape[-1:])


def _inverted(problem: Problem) -> Array:
    """NaN also in rows whose sum is not k."""
    theta, xp = problem.rows(_functions.logits_from_marginals), problem.xp
    fits = _fits(problem)
    if problem.backend.is_readable(fits) and xp.all(fits):
        return theta
    return xp.where(fits[..., None], theta, xp.full((), float("nan"), dtype=theta.dtype, device=device(theta)))


@by_own_settings
def _fits(problem: Problem) -> Array:
    """Whether the sum of a row is k."""
    xp = problem.xp
    slack = sum_slack(xp, problem.dtype, problem.logits.shape[-1])
    fits: Array = xp.abs(sum_excess(xp, problem.logits, problem.k)) <= slack
    return fits
