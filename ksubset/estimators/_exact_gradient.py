"""The exact gradient, by enumeration."""

from itertools import combinations
from math import comb

from ksubset._call.prepare import problem_of_size
from ksubset._call.problem import Problem
from ksubset._engine.arrays import device
from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset.estimators._losses import Loss, in_given_dtype, losses
from ksubset.estimators._surrogate import check_single_k, evaluate


def exact_gradient(
    loss: Loss, logits: Array, k: int, *, max_subsets: int = 100_000, validate: bool | None = None
) -> Array:
    r"""The expected loss itself, and through it its gradient: no bias, no variance, and C(n, k) calls of the loss.

    .. math:: E[\ell(z)] = \sum_{|z| = k} p_\theta(z) \, \ell(z)

    Parameters
    ----------
    loss : callable
        Turns subsets (C(n, k), ..., n) into their losses (C(n, k), ...); each may depend on its own subset alone.
        It must be finite for subsets of probability 0 as well.
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int
        Size of the subsets, in [0, n]; one for all rows.
    max_subsets : int
        The largest C(n, k) that is enumerated.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (...)
        The expected loss.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or ``k`` is an array.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if there are more than ``max_subsets`` subsets or ``loss`` returns another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> float(estimators.exact_gradient(lambda z: z[..., 0] * z[..., 1], np.zeros(4), 2).round(6))  # 1 of 6 subsets
    0.166667

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> estimators.exact_gradient(lambda z: z @ cost, logits, 2).backward()
    >>> logits.grad
    tensor([ 0.0492, -0.4501,  0.5294, -0.1285])
    """
    problem = problem_of_size(logits, k, None, validate)
    z = _subsets(problem, check_single_k(problem, "exact_gradient"), max_subsets)
    values = losses(loss, problem.cast(z))
    mean = problem.xp.sum(problem.xp.exp(evaluate(problem, functions.log_prob, z)) * values, axis=0)
    return in_given_dtype(problem, values, mean)


def _subsets(problem: Problem, k: int, most: int) -> Array:
    """Every subset for every row: (C(n, k), ..., n)."""
    xp, logits = problem.xp, problem.logits
    *batch, n = logits.shape
    count = comb(n, k)
    if count > most:
        raise ValueError(f"max_subsets must be at least C({n}, {k}) = {count}; got {most}")
    rows = [[float(i in chosen) for i in range(n)] for chosen in map(set, combinations(range(n), k))]
    z = xp.asarray(rows, dtype=logits.dtype, device=device(logits))
    return xp.broadcast_to(xp.reshape(z, (count, *(1 for _ in batch), n)), (count, *batch, n))
