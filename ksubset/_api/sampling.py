"""Exact samples."""

from collections.abc import Callable
from typing import Any

from ksubset._call.argument_checks import checked_shape
from ksubset._call.placement import Placement
from ksubset._call.prepare import draw_at_once, prepare
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array, T
from ksubset._law import functions


def sample(
    logits: T,
    k: int | Array,
    *,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> T:
    """Draw subsets exactly from the distribution; no gradient.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    rng : generator, key or int, optional
        The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`, `cupy.random.Generator`
        or JAX key. An int seeds one. None takes torch's global generator, a fresh generator in NumPy and CuPy, and is
        an error in JAX. Dask arrays take the same as NumPy arrays, or a `numpy.random.SeedSequence`: each chunk has a
        stream of its own, found from the seed and its position.
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
        0 and 1 in the dtype of ``logits``; every row sums to k, unless ``k`` is a `Cardinality`.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or the generator is of another framework.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        for a generator of another device.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, section 3.2 and Algorithm 5: the
    count of each half of the items is drawn given the count of both, down to single items.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> z = ksubset.sample(np.array([2.0, 1.0, 0.0, -1.0]), 2, rng=0, sample_shape=(1000,))
    >>> z.shape, bool((z.sum(axis=-1) == 2).all())
    ((1000, 4), True)
    """
    return _drawn(functions.sample, logits, k, rng, sample_shape, max_k, validate)


def rsample(
    logits: T,
    k: int | Array,
    *,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> T:
    r"""Draw subsets exactly, with the SIMPLE gradient.

    The derivative of a sample is replaced by the derivative of its expectation, the Jacobian of the `marginals`:

    .. math:: \nabla_\theta \ell(z) \approx J(\theta) \nabla_z \ell(z), \qquad J = \partial\mu / \partial\theta

    Exact for losses linear in z; biased but of low variance otherwise. torch and JAX have forward and reverse mode;
    elsewhere this function is the same as `sample`, and `marginals_jvp` is the backward pass.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    rng : generator, key or int, optional
        The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`, `cupy.random.Generator`
        or JAX key. An int seeds one. None takes torch's global generator, a fresh generator in NumPy and CuPy, and is
        an error in JAX. Dask arrays take the same as NumPy arrays, or a `numpy.random.SeedSequence`: each chunk has a
        stream of its own, found from the seed and its position.
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
        0 and 1 in the dtype of ``logits``; every row sums to k, unless ``k`` is a `Cardinality`.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or the generator is of another framework.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        for a generator of another device.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, eq. 6 and Algorithm 6; J without the
    factors 1 − σ(θ_i) of the published code.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.rsample(np.array([9.0, 0.0, 9.0, -9.0]), 2, rng=0)
    array([1., 0., 1., 0.])

    With torch, a loss of the sample has a gradient:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> z = ksubset.rsample(logits, 2)  # two of the four items
    >>> (z @ cost).backward()
    >>> logits.grad
    tensor([ 0.0492, -0.4501,  0.5294, -0.1285])
    """
    return _drawn(functions.rsample, logits, k, rng, sample_shape, max_k, validate)


def sample_with_marginals(
    logits: T,
    k: int | Array,
    *,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> tuple[T, T]:
    r"""Draw subsets exactly, with the SIMPLE gradient, and compute the marginals.

    The derivatives of both are J · v, so that a backward pass through both takes one product,
    :math:`J(\theta)(\nabla_z \ell + \nabla_\mu \ell)`, in the place of the two that `rsample` and `marginals` take.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    rng : generator, key or int, optional
        The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`, `cupy.random.Generator`
        or JAX key. An int seeds one. None takes torch's global generator, a fresh generator in NumPy and CuPy, and is
        an error in JAX. Dask arrays take the same as NumPy arrays, or a `numpy.random.SeedSequence`: each chunk has a
        stream of its own, found from the seed and its position.
    sample_shape : tuple of int, optional
        Shape of the draws from each row, which share all work that depends on the logits alone.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    z : array, shape sample_shape + (..., n)
        0 and 1 in the dtype of ``logits``: what `rsample` returns.
    mu : array, shape (..., n)
        What `marginals` returns.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or the generator is of another framework.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        for a generator of another device.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, eq. 6 and Algorithms 5 and 6.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> z, mu = ksubset.sample_with_marginals(np.array([9.0, 0.0, 9.0, -9.0]), 2, rng=0)
    >>> z, mu.round(3)
    (array([1., 0., 1., 0.]), array([1., 0., 1., 0.]))

    With torch:

    >>> import torch
    >>> logits = torch.zeros(4, requires_grad=True)
    >>> z, mu = ksubset.sample_with_marginals(logits, 2)
    >>> (z * torch.tensor([1.0, 0.0, 0.0, 0.0]) + mu.square()).sum().backward()
    >>> logits.grad
    tensor([ 0.2500, -0.0833, -0.0833, -0.0833])
    """
    call = prepare(logits, k, max_k, validate)
    both = call.sampled_with_marginals(rng, checked_shape(sample_shape)) if isinstance(call, Problem) else None
    z, mu = both or (draw(call, rng, sample_shape, functions.sample), call.value(functions.marginals))
    return with_derivative(call, z, mu)


def with_derivative(call: Placement[Problem], z: Array, mu: Array) -> tuple[Array, Array]:
    """Samples with the derivative of the marginals, and the marginals."""
    if call.problem.backend.differentiates:
        parts = call.local(z, "z"), call.local(mu, "mu")
        z = call.run(Problem.attached, *parts, tail=tuple(call.problem.logits.shape[-1:]))
    return z, mu


def _drawn(
    function: Callable[..., Array],
    logits: Array,
    k: Any,
    rng: object,
    sample_shape: object,
    max_k: int | None,
    validate: bool | None,
) -> Array:
    single = isinstance(sample_shape, tuple) and len(sample_shape) == 0  # Dynamo knows no `not` of tuples of symbols
    z = draw_at_once(function, logits, k, max_k, validate, rng) if single else None
    return draw(prepare(logits, k, max_k, validate), rng, sample_shape, function) if z is None else z


def draw(call: Placement[Problem], rng: object, sample_shape: object, function: Callable[..., Array]) -> Array:
    """`sample` or `rsample` of a validated call."""

    def work(problem: Problem, rng: object, draws: tuple[int, ...]) -> Array:
        return problem.sampled(function, rng, draws)

    return call.draw(work, rng, checked_shape(sample_shape), tuple(call.problem.logits.shape[-1:]))
