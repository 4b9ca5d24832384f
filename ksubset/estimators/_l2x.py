"""The relaxed sample of learning to explain."""

from ksubset._call.argument_checks import checked_shape
from ksubset._call.prepare import problem_of_size
from ksubset._engine.ops import T
from ksubset.estimators._noise import gumbel
from ksubset.estimators._surrogate import check_positive, check_relaxable, check_single_k, perturbed, softmax


def l2x(
    logits: T,
    k: int,
    *,
    tau: float = 0.1,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    validate: bool | None = None,
) -> T:
    r"""L2X: a relaxed sample, the largest entries of k independent Gumbel-softmax samples.

    .. math:: C^j = \mathrm{softmax}((\theta + G^j)/\tau), \qquad z_i = \max_{j \le k} C^j_i

    The sample is not a subset: its entries lie in [0, 1] and add up to at most k, to fewer where the k categorical
    samples coincide. The gradient is taken through the relaxed sample: unbiased for the relaxed loss, biased for the
    loss of a k-subset. The variance grows as τ falls, and some bias remains as τ → 0.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ is not allowed.
    k : int
        Size of the subsets, in [0, n]; one for all rows.
    tau : float
        The temperature τ > 0.
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
        In the dtype of ``logits``.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or ``k`` is an array.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``tau`` is not positive or ``logits`` contain +∞.

    References
    ----------
    Chen, Song, Wainwright and Jordan, "Learning to Explain: An Information-Theoretic Perspective on Model
    Interpretation", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> estimators.l2x(np.array([99.0, 0.0, -99.0]), 2, rng=0).round(3)  # both choose the first item
    array([1., 0., 0.])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> (estimators.l2x(logits, 2) @ cost).backward()
    >>> logits.grad.shape  # the values depend on the draw
    torch.Size([4])
    """
    temperature = check_positive(tau, "tau")
    problem, draws = problem_of_size(logits, k, None, validate), checked_shape(sample_shape)
    size = check_single_k(problem, "l2x")
    check_relaxable(problem)
    noise = gumbel(problem, rng, (size, *draws, *problem.logits.shape))
    soft = softmax(problem, perturbed(problem, noise), temperature)
    return problem.cast(problem.xp.max(soft, axis=0) if size else problem.xp.sum(soft, axis=0))
