"""Inclusion probabilities."""

from ksubset._call.prepare import prepare, value_of
from ksubset._engine.ops import Array, T
from ksubset._law import functions


def marginals(
    logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None, dtype: object = None
) -> T:
    r"""Probability of each item to be in the subset.

    .. math:: \mu_i = p(z_i = 1) = \partial A / \partial\theta_i

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
    dtype : real floating dtype of the framework, optional
        Dtype of the result, by default the dtype of ``logits``. For half-precision logits, float32 returns the
        marginals as they are computed, not rounded to three digits. The computation uses the wider of the two dtypes;
        gradients have the dtype of ``logits``.

    Returns
    -------
    array, shape (..., n)
        Each row sums to k, unless ``k`` is a `Cardinality`. Exactly 0 where a logit is −∞, and 1 where it is +∞.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or ``dtype`` is not real floating.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, Theorem 1, by the divide-and-conquer
    scheme of its Algorithms 4 and 5.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.marginals(np.array([2.0, 1.0, 0.0, -1.0]), 2).round(4)
    array([0.8808, 0.6944, 0.3056, 0.1192])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> (ksubset.marginals(logits, 2) @ cost).backward()
    >>> logits.grad
    tensor([ 0.0492, -0.4501,  0.5294, -0.1285])
    """
    if dtype is None:
        return value_of(functions.marginals, logits, k, max_k, validate)
    call = prepare(logits, k, max_k, validate)
    return call.at(call.problem.giving(dtype)).value(functions.marginals)
