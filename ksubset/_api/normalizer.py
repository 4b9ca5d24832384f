"""The log-normaliser, and the probability of a count of independent items."""

from ksubset._call.prepare import prepare, value_of
from ksubset._engine.ops import Array, T
from ksubset._law import functions


def log_normalizer(logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    r"""Log-normaliser of the k-subset distribution.

    .. math:: A(\theta) = \log \sum_{|S| = k} \exp \sum_{i \in S} \theta_i = \log e_k(\exp\theta_1, …, \exp\theta_n)

    Its gradient with respect to the logits is `marginals`, its Hessian `covariance`.

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
    array, shape (...)
        In the dtype, namespace and device of ``logits``.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, eq. 1; computed as
    Σ_M θ + Σ_M softplus(−t) + Σ_{not M} softplus(t) + log P(Σz = k), M the k largest logits and t = θ + λ.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> float(ksubset.log_normalizer(np.zeros(5), 2).round(12))  # log of 10 subsets
    2.302585092994

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.log_normalizer(logits, 2).backward()
    >>> logits.grad
    tensor([0.8808, 0.6944, 0.3056, 0.1192])
    """
    return value_of(functions.log_normalizer, logits, k, max_k, validate)


def log_prob_count(logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    r"""Log-probability that independent Bernoulli variables with these logits add up to k.

    .. math:: \log p_\theta\bigl(\textstyle\sum_i z_i = k\bigr) = A(\theta) - \sum_i \log(1 + e^{\theta_i})

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
    array, shape (...)

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, Algorithm 1. The probability mass
    function of the Poisson binomial distribution.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> float(np.exp(ksubset.log_prob_count(np.zeros(5), 2)).round(12))  # 10 of 32 outcomes
    0.3125

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.log_prob_count(logits, 1).backward()
    >>> logits.grad
    tensor([-0.2369, -0.4942, -0.4129, -0.2369])
    """
    return prepare(logits, k, max_k, validate).value(functions.log_prob_count)
