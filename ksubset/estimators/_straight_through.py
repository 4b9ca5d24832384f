"""Gumbel top-k with a straight-through gradient."""

from ksubset._api.sampling import checked_shape
from ksubset._call.prepare import problem_of_size
from ksubset._engine.ops import Array, T
from ksubset.estimators._noise import gumbel
from ksubset.estimators._surrogate import check_positive, check_relaxable, perturbed, softmax, straight_through, top


def gumbel_topk_st(
    logits: T,
    k: int | Array,
    *,
    tau: float = 1.0,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> T:
    r"""The k largest of logits with Gumbel noise; the gradient is taken through their softmax.

    .. math:: z = \mathrm{top}_k(\theta + G), \qquad
        \nabla_\theta \ell \approx \frac{\partial \, \mathrm{softmax}((\theta + G)/\tau)}{\partial \theta}
        \nabla_z \ell(z)

    At k = 1 this is the straight-through Gumbel-softmax. For k > 1 the items are drawn one after the other without
    replacement, which is not the law p(z) ∝ exp(θ · z), and the softmax adds up to 1 where the sample adds up
    to k. Biased; the bias grows with τ, the variance as τ falls.

    Parameters
    ----------
    logits, k, rng, sample_shape, max_k, validate
        As in `ksubset.rsample`; +∞ is not allowed.
    tau : float
        The temperature τ > 0 of the softmax.

    Returns
    -------
    array, shape sample_shape + (..., n)
        0 and 1 in the dtype of ``logits``; every row sums to k.

    Raises
    ------
    TypeError, ValueError
        As in `ksubset.rsample`; also if ``tau`` is not a positive number or ``logits`` contain +∞.

    References
    ----------
    Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017, section 2.2, for k = 1; Kool,
    van Hoof and Welling, "Stochastic Beams and Where to Find Them", ICML 2019, for the sample.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> estimators.gumbel_topk_st(np.array([99.0, 0.0, 99.0, -99.0]), 2, rng=0)
    array([1., 0., 1., 0.])
    """
    temperature = check_positive(tau, "tau")
    problem, draws = problem_of_size(logits, k, max_k, validate), checked_shape(sample_shape)
    check_relaxable(problem)
    noisy = perturbed(problem, gumbel(problem, rng, (*draws, *problem.logits.shape)))
    return problem.cast(straight_through(problem, top(problem, noisy), softmax(problem, noisy, temperature)))
