"""Gumbel top-k with a straight-through gradient."""

from ksubset._call.argument_checks import checked_shape
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
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ is not allowed.
    k : int or integer array
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...).
    tau : float
        The temperature τ > 0 of the softmax.
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
        if ``tau`` is not positive or ``logits`` contain +∞.

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

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> (estimators.gumbel_topk_st(logits, 2) @ cost).backward()
    >>> logits.grad.shape  # the values depend on the draw
    torch.Size([4])
    """
    temperature = check_positive(tau, "tau")
    problem, draws = problem_of_size(logits, k, max_k, validate), checked_shape(sample_shape)
    check_relaxable(problem)
    noisy = perturbed(problem, gumbel(problem, rng, (*draws, *problem.logits.shape)))
    return problem.cast(straight_through(problem, top(problem, noisy), softmax(problem, noisy, temperature)))
