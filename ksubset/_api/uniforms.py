"""Samples from uniforms of the caller's."""

from ksubset._call.argument_checks import check_floating, check_framework
from ksubset._call.prepare import prepare
from ksubset._call.problem import Problem
from ksubset._call.value_checks import check_uniforms
from ksubset._engine.ops import Array, T
from ksubset._law import functions


def sample_from_uniforms(
    logits: T, k: int | Array, u: Array, *, max_k: int | None = None, validate: bool | None = None
) -> T:
    """Turn uniforms into exact samples: the same uniforms give the same subsets in every namespace.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int, integer array or Cardinality
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...). Or a weight for every size: see
        `Cardinality`.
    u : array, shape sample_shape + (..., n − 1)
        Independent uniforms, one for each split of a group of items in two, from the whole row down to single items;
        real floating. u and u − 1 mean the same, so uniforms may be given in [0, 1) or in [−1/2, 1/2). In the second
        form float32 resolves both tails far below 2⁻²⁴, so that events of probability 1e-12 keep their probability.
        With a `Cardinality`, (..., n): the first uniform draws the size.
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
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``u`` holds a value outside of [−1/2, 1].

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.sample_from_uniforms(np.zeros(4), 2, np.array([0.1, 0.7, 0.3]))
    array([0., 1., 0., 1.])
    """
    call = prepare(logits, k, max_k, validate)
    u, problem = call.local(u, "u"), call.problem
    check_framework(u, "u", problem.logits, problem.backend)
    check_floating(u, "u", problem.xp)
    expected = (*problem.logits.shape[:-1], problem.uniforms_per_row)
    if tuple(u.shape)[max(0, u.ndim - len(expected)) :] != expected:
        raise ValueError(f"u must have shape sample_shape + {expected}; got {tuple(u.shape)}")
    return call.run(_sampled, u, tail=tuple(logits.shape[-1:]))


def _sampled(problem: Problem, u: Array) -> Array:
    z = problem.value(functions.sample, u)
    if problem.checks(u):
        check_uniforms(u, problem.backend)
        return z
    xp = problem.xp
    sound = xp.all((u >= -0.5) & (u <= 1), axis=-1, keepdims=True)
    return xp.where(sound, z, xp.full_like(z, float("nan")))
