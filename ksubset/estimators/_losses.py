"""Code shared by the estimators that take a loss."""

from collections.abc import Callable
from typing import TypeAlias

from ksubset._api.sampling import draw
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset.estimators._surrogate import check_count, evaluate, frozen, stop_gradient

Loss: TypeAlias = Callable[[Array], Array]
"""From subsets (S, ..., n) to their losses (S, ...); each loss depends on its own subset alone."""


def sampled(problem: Problem, loss: Loss, S: object, rng: object) -> tuple[Array, Array]:
    """S exact subsets of each row, and their losses."""
    count = check_count(S, "S")
    z = draw(frozen(problem), rng, (count,), functions.sample)
    return z, losses(loss, z)


def losses(loss: Loss, z: Array) -> Array:
    """The losses of subsets."""
    if not callable(loss):
        raise TypeError(f"loss must be a function; got {type(loss).__name__}")
    values, expected = loss(z), tuple(z.shape[:-1])
    given = tuple(getattr(values, "shape", ()))
    if given != expected:
        raise ValueError(f"loss must turn subsets {tuple(z.shape)} into values of shape {expected}; got {given}")
    return values


def score(problem: Problem, z: Array, weights: Array) -> Array:
    """0, with the gradient of the weighted log-probabilities, (z − μ) times the weights."""
    log_p = evaluate(problem, functions.log_prob, problem.xp.astype(z, problem.logits.dtype, copy=False))
    return stop_gradient(problem, weights) * (log_p - stop_gradient(problem, log_p))


def in_given_dtype(problem: Problem, values: Array, result: Array) -> Array:
    """A mean of losses in the dtype that the logits have, if the losses ``values`` have it; else in the wider one."""
    return problem.cast(result) if values.dtype == problem.dtype else result
