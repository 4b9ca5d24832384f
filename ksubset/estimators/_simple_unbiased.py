"""SIMPLE as a control variate."""

from ksubset._call.prepare import problem_of_size
from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset.estimators._losses import Loss, in_given_dtype, losses, sampled, score
from ksubset.estimators._surrogate import evaluate, stop_gradient


def simple_unbiased(
    loss: Loss,
    logits: Array,
    k: int | Array,
    *,
    S: int = 1,
    rng: object = None,
    max_k: int | None = None,
    validate: bool | None = None,
) -> Array:
    r"""The mean loss of exact samples, with an unbiased gradient: SIMPLE plus the score function of the remainder.

    .. math:: \nabla_\theta E[\ell(z)] \approx J g + \frac{1}{S} \sum_{s=1}^S
        \bigl[\ell(z_s) - \ell(\mu) - g \cdot (z_s - \mu)\bigr](z_s - \mu), \qquad g = \nabla \ell(\mu)

    Unbiased, because the loss linearised at the marginals μ has the gradient J · g exactly; for a linear loss the
    remainder is 0, and so is the variance. In general the variance comes from the score function of the remainder,
    which is small where the loss is nearly linear. The loss must have a derivative between the subsets as well;
    gradients with respect to its other inputs pass through its mean.

    Parameters
    ----------
    loss : callable
        Turns subsets (S, ..., n) into their losses (S, ...); each loss may depend on its own subset alone. The
        function is also called with the marginals (1, ..., n).
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
    Ours, from Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, eq. 6, in the manner of
    Gu, Levine, Sutskever and Mnih, "MuProp: Unbiased Backpropagation for Stochastic Neural Networks", ICLR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> cost = np.array([3.0, 1.0, 4.0, 1.0])
    >>> float(estimators.simple_unbiased(lambda z: z @ cost, np.array([-99.0, 0.0, -99.0, 0.0]), 2, S=10, rng=0))
    2.0

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> estimators.simple_unbiased(lambda z: z @ cost, logits, 2, S=10).backward()
    >>> logits.grad
    tensor([ 0.0492, -0.4501,  0.5294, -0.1285])
    """
    problem = problem_of_size(logits, k, max_k, validate)
    z, values = sampled(problem, loss, S, rng)
    mean = problem.xp.mean(values, axis=0)
    if not problem.backend.differentiates:
        return mean
    mu = evaluate(problem, functions.marginals)
    centre = stop_gradient(problem, problem.cast(mu))[None, ...]
    level, slope = problem.backend.value_and_gradient(lambda x: losses(loss, x), centre)
    remainder = values - level - problem.xp.sum(slope * (z - centre), axis=-1)
    linear = problem.xp.sum(slope[0, ...] * (mu - stop_gradient(problem, mu)), axis=-1)
    return in_given_dtype(problem, values, mean + linear + problem.xp.mean(score(problem, z, remainder), axis=0))
