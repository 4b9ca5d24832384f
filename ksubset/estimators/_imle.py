"""Implicit maximum likelihood estimation."""

from ksubset._call.argument_checks import checked_shape
from ksubset._call.prepare import problem_of_size
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array, T
from ksubset.estimators._noise import SUM_OF_GAMMA, Noise, check_noise
from ksubset.estimators._surrogate import check_count, check_positive, frozen, perturbed, top, with_pullback


def imle(
    logits: T,
    k: int | Array,
    *,
    lambda_: float,
    noise: Noise = SUM_OF_GAMMA,
    S: int = 1,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> T:
    r"""I-MLE: a perturb-and-MAP sample, and its change as the logits follow the gradient.

    .. math:: z = \mathrm{top}_k(\theta + \epsilon_1), \qquad \nabla_\theta \ell \approx \frac{1}{\lambda S}
        \sum_{i=1}^S \bigl[\mathrm{top}_k(\theta + \epsilon_i) - \mathrm{top}_k(\theta - \lambda g + \epsilon_i)\bigr],
        \qquad g = \nabla_z \ell(z)

    Biased: for a linear loss the mean tends, as λ → 0, to the gradient under the perturb-and-MAP law, not to J · g. For
    small λ most gradients are 0 and the others large: the variance grows like 1/λ, and falls with S. Reverse mode only.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int or integer array
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...).
    lambda_ : float
        The step λ > 0. It multiplies g as it arrives: a loss averaged over B rows needs a λ that is B times as large.
    noise : Gumbel or SumOfGamma, optional
        The law of ε, by default `SumOfGamma` with κ = k.
    S : int
        The number of perturbations that each gradient averages; the first of them makes the sample.
    rng : generator, key or int, optional
        The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`, `cupy.random.Generator`
        or JAX key. An int seeds one. None takes torch's global generator, a fresh generator in NumPy and CuPy, and is
        an error in JAX.
    sample_shape : tuple of int, optional
        Shape of the draws from each row, which share all work that depends on the logits alone.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape sample_shape + (..., n)
        0 and 1 in the dtype of ``logits``; every row sums to k.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``lambda_`` or ``S`` is not positive.

    References
    ----------
    Niepert, Minervini and Franceschi, "Implicit MLE: Backpropagating Through Discrete Exponential Family
    Distributions", NeurIPS 2021, Algorithm 1 with S perturbations. The factor 1/λ, absent there, is taken from
    Minervini et al. (2023): with it the gradient has the scale of the gradient of the loss.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> estimators.imle(np.array([99.0, 0.0, 99.0, -99.0]), 2, lambda_=1.0, rng=0)
    array([1., 0., 1., 0.])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> (estimators.imle(logits, 2, lambda_=10.0) @ cost).backward()
    >>> logits.grad.shape  # the values depend on the draw
    torch.Size([4])
    """
    step, count = check_positive(lambda_, "lambda_"), check_count(S, "S")
    check_noise(noise)
    problem, draws = problem_of_size(logits, k, max_k, validate), checked_shape(sample_shape)
    epsilon = noise.draw(problem, rng, (count, *draws, *problem.logits.shape))

    def pullback(g: Array, problem: Problem, epsilon: Array) -> tuple[Array]:
        before = top(problem, problem.logits + epsilon)
        after = top(problem, problem.logits - step * g + epsilon)
        return (problem.xp.mean(before - after, axis=0) / step,)

    return with_pullback(problem, top(problem, perturbed(frozen(problem), epsilon[0, ...])), pullback, epsilon)
