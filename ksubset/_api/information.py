"""Log-probabilities, entropy and divergences."""

from functools import partial

from ksubset._call.backend import Known
from ksubset._call.placement import Placement
from ksubset._call.prepare import at_once, prepare, value_of
from ksubset._call.problem import Problem, real
from ksubset._call.value_checks import check_binary, may_hold_nan
from ksubset._engine.ops import Array, T
from ksubset._law import functions


def log_prob(logits: T, k: int | Array, z: Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    r"""Log-probability of a subset.

    .. math:: \log p(z) = \theta \cdot z - A(\theta)

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    z : array, shape (..., n)
        0 and 1, of any real dtype; broadcasts against ``logits``.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (...)
        −∞ where ``z`` does not sum to k, sums to a size without a weight, or contradicts an infinite logit.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``z`` holds another value than 0 and 1.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, eq. 1; computed as −Σ
    [log1p(e^−\|t\|) + \|t\| · 1{z ≠ (t > 0)}] − log P(Σz = k), t = θ + λ.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> float(np.exp(ksubset.log_prob(np.zeros(4), 2, np.array([1, 1, 0, 0]))).round(12))  # one of 6 subsets
    0.166666666667

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.log_prob(logits, 2, torch.tensor([1.0, 0.0, 1.0, 0.0])).backward()
    >>> logits.grad
    tensor([ 0.1192, -0.6944,  0.6944, -0.1192])
    """
    value = at_once(functions.log_prob, logits, k, max_k, validate, z)
    return score(prepare(logits, k, max_k, validate), z, None) if value is None else value


def score(call: Placement[Problem], z: Array, solution: Known) -> Array:
    """`log_prob` of a validated call."""
    problem, z = call.problem.promoted(real(call.problem, call.local(z, "z")))
    known = solution if problem.dtype == call.problem.dtype else None
    return call.at(problem).run(partial(_score, known), z)


def _score(solution: Known, problem: Problem, z: Array) -> Array:
    """The log-probabilities: one that is NaN tells of entries other than 0 and 1, which are looked for only then."""
    value = problem.value(functions.log_prob, z, solution=solution)
    if problem.checks(z) and may_hold_nan(value, problem.backend):
        check_binary(z, problem.backend)
    return value


def entropy(logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    r"""Shannon entropy of the subset, in nats.

    .. math:: H = -\sum_z p(z) \log p(z) = A(\theta) - \theta \cdot \mu

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
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, section 3 and Algorithm 3 (whose
    printed indices are off by one); computed as Σ [log1p(e^−\|t\|) + \|t\| m] + log P(Σz = k), m the marginal of each
    item's less likely side.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> float(ksubset.entropy(np.zeros(4), 2).round(12))  # log of 6 subsets
    1.791759469228

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.entropy(logits, 2).backward()
    >>> logits.grad
    tensor([-0.2100, -0.2144,  0.2144,  0.2100])
    """
    return value_of(functions.entropy, logits, k, max_k, validate)


def kl_divergence(
    logits: T, other: Array, k: int | Array, *, max_k: int | None = None, validate: bool | None = None
) -> T:
    r"""Kullback–Leibler divergence from one k-subset distribution to another, in nats.

    .. math:: \operatorname{KL}(\theta \| \eta) = A(\eta) - A(\theta) + \mu_\theta \cdot (\theta - \eta)

    Parameters
    ----------
    logits : array, shape (..., n)
        θ, over which the expectation is taken.
    other : array, shape (..., n)
        η; broadcasts against ``logits``.
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
        +∞ where ``other`` rules out a subset that ``logits`` allows. An item whose inclusion or exclusion has a
        probability that underflows counts as decided by ``logits``.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset, in
        either set of logits.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> theta = np.array([1.0, 0.0, -1.0])
    >>> float(ksubset.kl_divergence(theta, theta, 1))
    0.0

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.kl_divergence(logits, torch.tensor([0.0, 1.0, 1.0, 0.0]), 2).backward()
    >>> logits.grad
    tensor([ 0.2893,  0.1351, -0.2937, -0.1307])
    """
    value = at_once(functions.kl_divergence, logits, k, max_k, validate, other)
    return divergence(prepare(logits, k, max_k, validate), other, None) if value is None else value


def divergence(call: Placement[Problem], other: Array, solution: Known) -> Array:
    """`kl_divergence` of a validated call."""
    problem, other = call.problem.beside(call.local(other, "other"))
    known = solution if problem.dtype == call.problem.dtype else None
    return call.at(problem).value(functions.kl_divergence, other, solution=known)


def kl_to_uniform(logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    r"""Kullback–Leibler divergence to the uniform distribution over k-subsets, in nats.

    With a `Cardinality` it is the divergence to the distribution with the same weights and all logits 0.

    .. math:: \operatorname{KL}(\theta \| 0) = \log\tbinom{n}{k} - H(\theta)

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
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, section 4.2: the regulariser of the
    discrete variational autoencoder.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> float(ksubset.kl_to_uniform(np.array([np.inf, 0.0, 0.0]), 1).round(4))  # log 3
    1.0986

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.kl_to_uniform(logits, 2).backward()
    >>> logits.grad
    tensor([ 0.2100,  0.2144, -0.2144, -0.2100])
    """
    return value_of(functions.kl_to_uniform, logits, k, max_k, validate)
