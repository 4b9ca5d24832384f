"""The score-function estimator."""

from ksubset._call.prepare import problem_of_size
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array
from ksubset.estimators._losses import Loss, in_given_dtype, sampled, score


def score_function(
    loss: Loss,
    logits: Array,
    k: int | Array,
    *,
    S: int = 1,
    rng: object = None,
    max_k: int | None = None,
    validate: bool | None = None,
) -> Array:
    r"""REINFORCE: the mean loss of exact samples, with an unbiased gradient from their log-probabilities.

    .. math:: \nabla_\theta E[\ell(z)] \approx \frac{1}{S} \sum_{s=1}^S (\ell(z_s) - b_s)(z_s - \mu), \qquad
        b_s = \frac{1}{S - 1} \sum_{r \ne s} \ell(z_r)

    The baseline b_s is the mean loss of the other samples, and 0 for S = 1. Unbiased, with a variance that grows with
    the variance of the loss; it needs no derivative of the loss, which may be any function of subsets. Gradients with
    respect to other inputs of the loss pass through its mean.

    Parameters
    ----------
    loss : callable
        Turns subsets (S, ..., n) into their losses (S, ...); each may depend on its own subset alone.
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int or integer array
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...).
    S : int
        The number of samples for each row.
    rng : generator, key or int, optional
        The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`, `cupy.random.Generator`
        or JAX key. An int seeds one. None takes torch's global generator, a fresh generator in NumPy and CuPy, and is
        an error in JAX.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (...)
        The mean loss of the samples.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``S`` is less than 1 or ``loss`` returns another shape.

    References
    ----------
    Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", Machine
    Learning 8, 1992, for S = 1; Kool, van Hoof and Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", ICLR
    2019 workshop, for S > 1.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> cost = np.array([3.0, 1.0, 4.0, 1.0])
    >>> float(estimators.score_function(lambda z: z @ cost, np.array([-99.0, 0.0, -99.0, 0.0]), 2, S=10, rng=0))
    2.0

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> estimators.score_function(lambda z: z @ cost, logits, 2, S=10).backward()
    >>> logits.grad.shape  # the values depend on the draws
    torch.Size([4])
    """
    problem = problem_of_size(logits, k, max_k, validate)
    z, values = sampled(problem, loss, S, rng)
    mean = problem.xp.mean(values + score(problem, z, _advantages(problem, values)), axis=0)
    return in_given_dtype(problem, values, mean)


def _advantages(problem: Problem, values: Array) -> Array:
    """Each loss less the mean of the others."""
    count = values.shape[0]
    return (values - problem.xp.mean(values, axis=0, keepdims=True)) * (count / (count - 1)) if count > 1 else values
