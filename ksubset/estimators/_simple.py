"""SIMPLE, and the variants by which its authors separate its two halves: exact samples and exact marginals."""

from ksubset._api.sampling import checked_shape, rsample
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
    logits, k, rng, sample_shape, max_k, validate
        As in `ksubset.rsample`.
    lambda_ : float
        The step λ > 0. It multiplies g as it arrives: a loss averaged over B rows needs a λ that is B times as large.

    Returns
    -------
    array, shape sample_shape + (..., n)
        0 and 1 in the dtype of ``logits``; every row sums to k.

    Raises
    ------
    TypeError, ValueError
        As in `ksubset.rsample`; also if ``lambda_`` is not a positive number.

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
    logits, k, rng, sample_shape, max_k, validate
        As in `ksubset.rsample`.
    noise : Gumbel or SumOfGamma
        The law of ε.
    lambda_ : float, optional
        The step λ > 0 of the finite difference, which multiplies g as it arrives; None for J · g.

    Returns
    -------
    array, shape sample_shape + (..., n)
        0 and 1 in the dtype of ``logits``; every row sums to k.

    Raises
    ------
    TypeError, ValueError
        As in `ksubset.rsample`; also if ``noise`` or ``lambda_`` is of the wrong kind.

    References
    ----------
    Ahmed et al. (2023), section 4.1; the noise is taken from Niepert et al. (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> estimators.simple_b(np.array([99.0, 0.0, 99.0, -99.0]), 2, rng=0)
    array([1., 0., 1., 0.])
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
