"""Joint inclusion probabilities."""

from dataclasses import replace
from functools import partial

from ksubset._api.covariance import by_blocks
from ksubset._call.prepare import place, problem_of_size
from ksubset._call.problem import Problem
from ksubset._engine.arrays import fill
from ksubset._engine.ops import Array, T
from ksubset._law import functions


def joint_inclusion_probabilities(
    logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None
) -> T:
    r"""Probability of each pair of units to be in the sample together.

    .. math:: \pi_{ij} = P(z_i = z_j = 1) = \pi_i \, P(z_j = 1 \mid z_i = 1), \qquad \pi_{ii} = \pi_i

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes a unit, +∞ makes it certain. The ``logits`` of a `design`.
    k : int or integer array
        Size of the samples, in [0, n]; an array broadcasts to the batch shape (...).
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (..., n, n)
        In the dtype, namespace and device of ``logits``, symmetric. The marginals are on the diagonal. Row i sums to
        k π_i.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no sample.

    Notes
    -----
    Two marginals are multiplied, of which the second is that of a design with unit i certain. Nothing is subtracted, so
    that π_ij has the relative accuracy of `ksubset.marginals` however small it is. The sum of `ksubset.covariance` and
    π_i π_j has an absolute one. The cost is the same: n calls on rows of n units.

    References
    ----------
    Chen, Dempster & Liu, "Weighted finite population sampling to maximize entropy", Biometrika 81 (1994). Tillé,
    "Sampling Algorithms", Springer (2006), section 5.2.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import survey
    >>> survey.joint_inclusion_probabilities(np.zeros(4), 2).round(4)
    array([[0.5   , 0.1667, 0.1667, 0.1667],
           [0.1667, 0.5   , 0.1667, 0.1667],
           [0.1667, 0.1667, 0.5   , 0.1667],
           [0.1667, 0.1667, 0.1667, 0.5   ]])
    """
    n = int(logits.shape[-1])
    return place(problem_of_size, logits, k, max_k, validate).run(_joint, tail=(n, n))


def _joint(problem: Problem) -> Array:
    xp, wide = problem.xp, replace(problem, dtype=problem.logits.dtype)
    single = wide.value(functions.marginals)
    ordered = single[..., None] * by_blocks(wide, partial(_given, wide, single > 0))
    return problem.cast((ordered + xp.matrix_transpose(ordered)) / 2)


def _given(problem: Problem, possible: Array, unit: Array) -> Array:
    """The marginals given the unit of each row of ``unit``, if it is possible."""
    ops = problem.backend.ops(problem.logits)
    chosen = (unit > 0) & possible[..., None, :]
    logits = ops.xp.where(chosen, fill(ops, (), float("inf"), unit), problem.logits[..., None, :])
    law = problem.law
    if law.counts is not None:
        law = law.sized(ops.xp.broadcast_to(law.counts[..., None], tuple(logits.shape[:-1])))
    return replace(problem, logits=logits, law=law).value(functions.marginals)
