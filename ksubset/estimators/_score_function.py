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
    logits, k, rng, max_k, validate
        As in `ksubset.rsample`.
    S : int
        The number of samples for each row.

    Returns
    -------
    array, shape (...)
        The mean loss of the samples.

    Raises
    ------
    TypeError, ValueError
        As in `ksubset.rsample`; also if ``S`` is not a positive int or ``loss`` returns another shape.

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
    """
    problem = problem_of_size(logits, k, max_k, validate)
    z, values = sampled(problem, loss, S, rng)
    mean = problem.xp.mean(values + score(problem, z, _advantages(problem, values)), axis=0)
    return in_given_dtype(problem, values, mean)


def _advantages(problem: Problem, values: Array) -> Array:
    """Each loss less the mean of the others."""
    count = values.shape[0]
    return (values - problem.xp.mean(values, axis=0, keepdims=True)) * (count / (count - 1)) if count > 1 else values
