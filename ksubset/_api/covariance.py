"""The covariance of the items, and its product with a vector."""

from collections.abc import Callable
from functools import partial
from math import prod

from ksubset._call.argument_checks import check_floating
from ksubset._call.placement import Placement
from ksubset._call.prepare import prepare
from ksubset._call.problem import Problem
from ksubset._engine.arrays import device
from ksubset._engine.ops import Array, T
from ksubset._law import functions


def marginals_jvp(logits: T, k: int | Array, v: Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    r"""Product of the marginals' Jacobian, which is the covariance of the subset, with a vector.

    .. math:: J v, \qquad J_{ij} = \partial\mu_i / \partial\theta_j = \operatorname{Cov}(z_i, z_j)

    J is symmetric, so this is both the forward-mode and the reverse-mode derivative of `marginals`. In frameworks
    without automatic differentiation, use it as the backward pass of `marginals`, or of a sample under the SIMPLE
    estimator: v is then the gradient of the loss with respect to the sample, summed over the draws of a row.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    v : array, shape (..., n)
        Broadcasts against ``logits``.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (..., n)
        Exactly 0 at items with infinite logits.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, eq. 6 and Algorithm 6.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.marginals_jvp(np.zeros(4), 2, np.array([1.0, 0.0, 0.0, 0.0])).round(4)
    array([ 0.25  , -0.0833, -0.0833, -0.0833])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> (ksubset.marginals_jvp(logits, 2, cost) @ cost).backward()  # of the variance of z · cost
    >>> logits.grad
    tensor([-0.0175, -0.6841,  0.6558,  0.0458])
    """
    return jacobian_times(prepare(logits, k, max_k, validate), v)


def jacobian_times(call: Placement[Problem], v: Array) -> Array:
    """`marginals_jvp` of a validated call."""
    v = call.problem.matching(call.local(v, "v"), "v")
    check_floating(v, "v", call.problem.xp)
    problem, v = call.problem.promoted(v)
    return call.at(problem).value(functions.marginals_jvp, v)


def covariance(logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    r"""Covariance of the subset, which is the Jacobian of its marginals and the Hessian of the log-normaliser.

    .. math:: J_{ij} = p(z_i = z_j = 1) - \mu_i \mu_j

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
    array, shape (..., n, n)

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    References
    ----------
    Chen, Dempster & Liu, "Weighted finite population sampling to maximize entropy", Biometrika 81 (1994).

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.covariance(np.zeros(3), 1).round(4)
    array([[ 0.2222, -0.1111, -0.1111],
           [-0.1111,  0.2222, -0.1111],
           [-0.1111, -0.1111,  0.2222]])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.covariance(logits, 2)[0, 1].backward()
    >>> logits.grad
    tensor([ 0.0196,  0.0100, -0.0248, -0.0048])
    """
    n = int(logits.shape[-1])
    return prepare(logits, k, max_k, validate).run(all_products, tail=(n, n))


BLOCK = 1 << 19
"""The most numbers in v at once: J · v takes about thirty times the memory of v in the core, here about 100 MB."""


def all_products(problem: Problem) -> Array:
    """The rows of `covariance`: J times each unit vector."""
    return by_blocks(problem, partial(problem.each_item().value, functions.marginals_jvp))


def by_blocks(problem: Problem, rows_of: Callable[[Array], Array]) -> Array:
    """A matrix for each row of logits, from ``rows_of`` some of the unit vectors: at most `BLOCK` numbers at once.

    If values cannot be read, as in a traced program, which blocks would make longer, there is a single block.
    """
    xp, logits = problem.xp, problem.logits
    n, numbers = logits.shape[-1], prod(logits.shape)
    unit = xp.eye(n, dtype=logits.dtype, device=device(logits))
    if not problem.backend.is_readable(logits) or numbers * n <= BLOCK:
        return rows_of(unit)
    step = max(1, BLOCK // numbers)
    parts = [unit[start : min(start + step, n), :] for start in range(0, n, step)]
    return xp.concat([rows_of(part) for part in parts], axis=-2)
