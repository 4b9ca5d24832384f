"""Subsets as indices of their items."""

from functools import partial
from math import prod

from array_api_compat import array_namespace

from ksubset._call.argument_checks import as_int, check_framework, checked_shape
from ksubset._call.backend import Known
from ksubset._call.placement import Placement
from ksubset._call.prepare import prepare
from ksubset._call.problem import Problem, by_own_settings
from ksubset._call.value_checks import check_rows
from ksubset._engine.arrays import broadcast_shapes
from ksubset._engine.indices import members_of
from ksubset._engine.ops import Array, T
from ksubset._law import functions
from ksubset._law.size_weighted import SizeWeighted


def sample_indices(
    logits: T,
    k: int | Array,
    *,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> T:
    r"""Draw subsets exactly, as the indices of their items; no gradient.

    The kernels for NumPy arrays and CPU tensors write the indices themselves, without a row of zeros and ones. From the
    same generator in the same state, `sample` draws the same subsets.

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
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster. For an
        array ``k`` it is also the number of places for indices, by default the largest k; it must be given where the
        values of k cannot be read: in traced code, on a GPU, for DTensors and Dask arrays.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    integer array, shape sample_shape + (..., places)
        Indices in ascending order, in the framework's default integer dtype. There are k places for an int k,
        and for a `Cardinality` one for each item of its largest size. A row with fewer items ends with −1, so
        ``indices >= 0`` is the mask of the others. An infeasible row that was not checked has −1 everywhere.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or the generator is of another framework.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``max_k`` is missing or less than k, and for a generator of another device.

    See Also
    --------
    mode_indices : the most likely subset.
    log_prob_indices : the log-probability of subsets given in this way.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023, section 3.2 and Algorithm 5.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.sample_indices(np.array([9.0, 0.0, 9.0, -9.0]), 2, rng=0)
    array([0, 2])
    >>> ksubset.sample_indices(np.array([[9.0, 0.0, 9.0], [0.0, 0.0, 0.0]]), np.array([2, 0]), rng=0)
    array([[ 0,  2],
           [-1, -1]])

    With torch, weights at the chosen places that are 1 and carry the SIMPLE gradient:

    >>> import torch
    >>> logits = torch.tensor([9.0, 0.0, 9.0, -9.0], requires_grad=True)
    >>> indices = ksubset.sample_indices(logits, 2, rng=0)
    >>> mu = ksubset.marginals(logits, 2)[indices]
    >>> weights = 1 + (mu - mu.detach())
    >>> weights.sum().backward()
    >>> indices, weights.detach(), logits.grad.shape
    (tensor([0, 2]), tensor([1., 1.]), torch.Size([4]))
    """
    call = prepare(logits, k, max_k, validate)
    return draw_indices(call, rng, sample_shape, max_k)


def draw_indices(call: Placement[Problem], rng: object, sample_shape: object, max_k: int | None) -> Array:
    """`sample_indices` of a validated call."""
    places = places_for(call, max_k)

    def work(problem: Problem, rng: object, draws: tuple[int, ...]) -> Array:
        return problem.sampled_indices(places, rng, draws)

    return call.draw(work, rng, checked_shape(sample_shape), (places,), call.problem.xp.int64)


def mode_indices(logits: T, k: int | Array, *, max_k: int | None = None, validate: bool | None = None) -> T:
    """Most likely subset, as the indices of its items.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster. For an
        array ``k`` it is also the number of places for indices, by default the largest k; it must be given where the
        values of k cannot be read: in traced code, on a GPU, for DTensors and Dask arrays.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    integer array, shape (..., places)
        The k largest logits, ties to the lower index, in ascending order of the items, padded by −1: see
        `sample_indices`. No gradient.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``max_k`` is missing or less than k.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.mode_indices(np.array([0.0, 3.0, 1.0, 1.0]), 2)
    array([1, 2])
    """
    return likeliest_indices(prepare(logits, k, max_k, validate), max_k)


def likeliest_indices(call: Placement[Problem], max_k: int | None) -> Array:
    """`mode_indices` of a validated call."""
    places = places_for(call, max_k)
    return call.run(partial(_mode, places), tail=(places,), dtype=call.problem.xp.int64)


def _mode(places: int, problem: Problem) -> Array:
    return problem.backend.indices_of(problem.value(functions.mode), places)


def log_prob_indices(
    logits: T, k: int | Array, indices: Array, *, max_k: int | None = None, validate: bool | None = None
) -> T:
    r"""Log-probability of subsets given as the indices of their items, in nats.

    .. math:: \log p(z) = \sum_{i \in z} \theta_i - \log Z(\theta)

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    indices : integer array, shape (..., places)
        Items in any order; −1 stands for none. The batch broadcasts against that of the logits.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape (...)
        −∞ for subsets of another size than k. Differentiable in the logits.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or ``indices`` is not of integers.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if a row of ``indices`` has one outside of −1 … n − 1, or one item twice.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.log_prob_indices(np.zeros(4), 2, np.array([[0, 1], [3, 2], [1, -1]])).round(4)
    array([-1.7918, -1.7918,    -inf])

    With torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> ksubset.log_prob_indices(logits, 2, torch.tensor([0, 2])).backward()
    >>> logits.grad
    tensor([ 0.1192, -0.6944,  0.6944, -0.1192])
    """
    return score_indices(prepare(logits, k, max_k, validate), indices, None)


def score_indices(call: Placement[Problem], indices: Array, solution: Known) -> Array:
    """`log_prob_indices` of a validated call."""
    indices, problem = call.local(indices, "indices"), call.problem
    xp, logits = problem.xp, problem.logits
    check_framework(indices, "indices", logits, problem.backend)
    if not xp.isdtype(indices.dtype, "integral"):
        raise TypeError(f"indices must be of integers; got {indices.dtype}")
    _check_shape(tuple(indices.shape), tuple(logits.shape))
    return call.run(partial(_score, solution), indices)


def _score(solution: Known, problem: Problem, indices: Array) -> Array:
    z = _members(problem, indices)
    if problem.checks(indices):
        _check_indices(problem, indices, z)
    return problem.value(functions.log_prob, z, solution=solution)


@by_own_settings
def _members(problem: Problem, indices: Array) -> Array:
    return members_of(problem.backend.ops(problem.logits), indices, problem.logits)


def _check_shape(given: tuple[int, ...], logits: tuple[int, ...]) -> None:
    if not given or broadcast_shapes(given[:-1], logits[:-1]) is None:
        raise ValueError(
            f"indices must have shape (..., places), with a batch that broadcasts with {logits[:-1]} of "
            f"logits; got {given}"
        )


def _check_indices(problem: Problem, indices: Array, z: Array) -> None:
    """Raise if a row of indices lists no subset, for which `members_of` has given NaN."""
    xp, n = problem.xp, problem.logits.shape[-1]
    complaint = f"indices must be from 0 to {n - 1}, each at most once in a row, or -1 for none"

    def listed(row: int) -> str:
        return str([int(i) for i in xp.reshape(indices, (-1, indices.shape[-1]))[row, ...]])

    check_rows(xp.isnan(xp.sum(z, axis=-1)), listed, complaint, xp)


def places_for(call: Placement[Problem], max_k: int | None) -> int:
    """How many indices a row of results has."""
    problem = call.problem
    if isinstance(problem.law, SizeWeighted):
        return problem.law.high
    if isinstance(call.k, int):
        return call.k
    if max_k is not None:
        return as_int(max_k, "max_k")
    if call is not problem or not (problem.validates or problem.backend.is_readable(problem.k)):
        raise ValueError(
            "max_k must be given, the number of places for indices: it would be the largest k, whose values cannot be "
            "read here"
        )
    values, n = problem.backend.readable(problem.k), int(problem.logits.shape[-1])
    return min(max(int(array_namespace(values).max(values)), 0), n) if prod(values.shape) else 0
