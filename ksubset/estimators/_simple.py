"""SIMPLE, and the variants by which its authors separate its two halves: exact samples and exact marginals."""

from ksubset._api.sampling import rsample
from ksubset._call.argument_checks import checked_shape
from ksubset._call.prepare import problem_of_size
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array, T
from ksubset._law import functions
from ksubset.estimators._noise import SUM_OF_GAMMA, Noise, check_noise
from ksubset.estimators._surrogate import (
    at,
    check_positive,
    evaluate,
    frozen,
    perturbed,
    straight_through,
    top,
    with_pullback,
)

simple = rsample
"""SIMPLE: an exact sample, and J · g."""


def simple_f(
    logits: T,
    k: int | Array,
    *,
    lambda_: float,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> T:
    r"""SIMPLE-F: exact samples, and a finite difference of two of them as the gradient.

    .. math:: \nabla_\theta \ell \approx \frac{z - z'}{\lambda}, \qquad
        z \sim p_\theta, \quad z' \sim p_{\theta - \lambda g}, \quad g = \nabla_z \ell(z)

    with z and z' independent given g. Biased: for a linear loss the mean is (μ(θ) − μ(θ − λg))/λ, which tends to the
    gradient J · g as λ → 0; the variance grows like 1/λ². Reverse mode only.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int or integer array
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...).
    lambda_ : float
        The step λ > 0. It multiplies g as it arrives: a loss averaged over B rows needs a λ that is B times as large.
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
        if ``lambda_`` is not positive.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, section 4.1, with the finite
    difference of Niepert et al. (2021), divided by λ.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> estimators.simple_f(np.array([9.0, 0.0, 9.0, -9.0]), 2, lambda_=1.0, rng=0)
    array([1., 0., 1., 0.])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> (estimators.simple_f(logits, 2, lambda_=1.0) @ cost).backward()
    >>> logits.grad.shape  # the values depend on the draw
    torch.Size([4])
    """
    step = check_positive(lambda_, "lambda_")
    problem, draws = problem_of_size(logits, k, max_k, validate), checked_shape(sample_shape)
    shape = (2, *draws, *problem.logits.shape[:-1], problem.uniforms_per_row)
    u = problem.backend.uniforms(rng, shape, problem.logits)
    z = evaluate(frozen(problem), functions.sample, u[0, ...])

    def pullback(g: Array, problem: Problem, z: Array, u: Array) -> tuple[Array]:
        other = evaluate(at(problem, problem.logits - step * g), functions.sample, u)
        return ((z - other) / step,)

    saved = problem.xp.asarray(z, copy=True)  # torch.compile takes no tensor twice
    return with_pullback(problem, z, pullback, saved, u[1, ...])


def simple_b(
    logits: T,
    k: int | Array,
    *,
    noise: Noise = SUM_OF_GAMMA,
    lambda_: float | None = None,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> T:
    r"""SIMPLE-B: a perturb-and-MAP sample, and the gradient through the exact marginals.

    .. math:: z = \mathrm{top}_k(\theta + \epsilon), \qquad \nabla_\theta \ell \approx J(\theta) \nabla_z \ell(z)

    z does not follow p_θ, so that even the gradient of a linear loss, J · g, belongs to another distribution than the
    sample; its variance comes from g alone. With ``lambda_``, as in the authors' code, J · g is replaced by the finite
    difference (μ(θ) − μ(θ − λg))/λ, which tends to it as λ → 0; that form has reverse mode only.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int or integer array
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...).
    noise : Gumbel or SumOfGamma, optional
        The law of ε, by default `SumOfGamma` with κ = k.
    lambda_ : float, optional
        The step λ > 0 of the finite difference, which multiplies g as it arrives; None for J · g.
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
        if ``lambda_`` is not positive.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, section 4.1; the noise is taken from
    Niepert et al. (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> estimators.simple_b(np.array([99.0, 0.0, 99.0, -99.0]), 2, rng=0)
    array([1., 0., 1., 0.])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> (estimators.simple_b(logits, 2) @ cost).backward()
    >>> logits.grad
    tensor([ 0.0492, -0.4501,  0.5294, -0.1285])
    """
    check_noise(noise)
    step = None if lambda_ is None else check_positive(lambda_, "lambda_")
    problem, draws = problem_of_size(logits, k, max_k, validate), checked_shape(sample_shape)
    z = top(problem, perturbed(frozen(problem), noise.draw(problem, rng, (*draws, *problem.logits.shape))))
    if step is None:
        return problem.cast(straight_through(problem, z, evaluate(problem, functions.marginals)))

    def pullback(g: Array, problem: Problem) -> tuple[Array]:
        here = evaluate(problem, functions.marginals)
        there = evaluate(at(problem, problem.logits - step * g), functions.marginals)
        return ((here - there) / step,)

    return with_pullback(problem, z, pullback)
