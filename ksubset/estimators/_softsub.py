"""Relaxed subset sampling by successive softmaxes."""

from ksubset._call.argument_checks import checked_shape
from ksubset._call.prepare import problem_of_size
from ksubset._call.problem import Problem, by_own_settings
from ksubset._engine.ops import Array, T
from ksubset.estimators._noise import gumbel
from ksubset.estimators._surrogate import check_positive, check_relaxable, check_single_k, perturbed, softmax


def softsub(
    logits: T,
    k: int,
    *,
    t: float = 0.1,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    validate: bool | None = None,
) -> T:
    r"""SoftSub: a relaxed sample, the sum of k softmaxes, each of which weakens the items that the earlier ones chose.

    .. math:: \alpha^1 = \theta + G, \qquad a^j = \mathrm{softmax}(\alpha^j / t), \qquad
        \alpha^{j+1} = \alpha^j + \log(1 - a^j), \qquad z = \sum_{j=1}^k a^j

    The sample is not a subset: its entries lie in [0, k] and add up to k. As t → 0 it tends to Gumbel top-k, whose law
    is not p(z) ∝ exp(θ · z). The gradient is taken through the relaxed sample: unbiased for the relaxed loss,
    biased for the discrete loss. The bias grows with t, the variance as t falls.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ is not allowed.
    k : int
        Size of the subsets, in [0, n]; one for all rows.
    t : float
        The temperature t > 0.
    rng : generator, key or int, optional
        The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`, `cupy.random.Generator`
        or JAX key. An int seeds one. None takes torch's global generator, a fresh generator in NumPy and CuPy, and is
        an error in JAX.
    sample_shape : tuple of int, optional
        Shape of the draws from each row, which share all work that depends on the logits alone.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape sample_shape + (..., n)
        In the dtype of ``logits``; every row sums to k.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or ``k`` is an array.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``t`` is not positive or ``logits`` contain +∞.

    References
    ----------
    Xie and Ermon, "Reparameterizable Subset Sampling via Continuous Relaxations", IJCAI 2019. 1 − a is kept above
    the smallest normal float, as in the authors' code.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> estimators.softsub(np.array([99.0, 0.0, 99.0, -99.0]), 2, rng=0).round(3)
    array([1., 0., 1., 0.])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> (estimators.softsub(logits, 2) @ cost).backward()
    >>> logits.grad.shape  # the values depend on the draw
    torch.Size([4])
    """
    temperature = check_positive(t, "t")
    problem, draws = problem_of_size(logits, k, None, validate), checked_shape(sample_shape)
    size = check_single_k(problem, "softsub")
    check_relaxable(problem)
    noisy = perturbed(problem, gumbel(problem, rng, (*draws, *problem.logits.shape)))
    return problem.cast(_relaxed(problem, noisy, size, temperature))


@by_own_settings
def _relaxed(problem: Problem, keys: Array, k: int, t: float) -> Array:
    xp, zero = problem.xp, problem.xp.zeros_like(keys)
    total = xp.where(xp.isinf(keys), zero, 0 * keys)  # differentiable, with k = 0 too
    least = xp.full_like(keys, float(xp.finfo(keys.dtype).smallest_normal))
    for _ in range(k):
        chosen = softmax(problem, keys, t)
        total = total + chosen
        keys = keys + xp.log(xp.maximum(1 - chosen, least))
    return total
