"""Code shared by the estimators: a value with a gradient of our own, and checks of their parameters."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from numbers import Real

from ksubset._call.argument_checks import as_int
from ksubset._call.problem import Problem, by_own_settings
from ksubset._engine.ops import Array, Ops
from ksubset._law import functions

Pullback = Callable[..., tuple[Array, ...]]


def ops(problem: Problem) -> Ops:
    """The framework of a problem as the core sees it."""
    return problem.backend.ops(problem.logits)


def stop_gradient(problem: Problem, x: Array) -> Array:
    """``x`` as a constant."""
    return problem.backend.ops(x).stop_gradient(x)


def frozen(problem: Problem) -> Problem:
    """The problem with constant logits."""
    return replace(problem, logits=stop_gradient(problem, problem.logits))


def at(problem: Problem, logits: Array) -> Problem:
    """The problem with other logits, which may have the dimensions of draws in front."""
    counts = problem.law.counts
    counts = None if counts is None else problem.xp.broadcast_to(counts, logits.shape[:-1])
    return replace(problem, logits=logits, law=problem.law.sized(counts))


def evaluate(problem: Problem, function: Callable[..., Array], *arrays: Array) -> Array:
    """One of ``ksubset._law.functions``, in the dtype of the computation."""
    return problem.backend.evaluate(function, problem.law, problem.parameters, *arrays)


def top(problem: Problem, logits: Array) -> Array:
    """The k largest of each row of other logits, 0 and 1, without a gradient."""
    return evaluate(at(problem, stop_gradient(problem, logits)), functions.mode)


def with_pullback(problem: Problem, value: Array, pullback: Pullback, *arrays: Array) -> Array:
    """``value``, draws + (..., n), with the gradients ``pullback(g, problem, *arrays)``.

    The pullback returns the gradient with respect to the logits for each draw, which is summed over draws here, and
    may return gradients for the first of ``arrays`` after it. It must not use arrays of its surroundings: JAX may call
    it where they are no longer valid.
    """
    if not problem.backend.differentiates:
        return problem.cast(value)
    counts = () if problem.law.counts is None else (problem.law.counts,)
    outline = replace(problem, logits=None, law=problem.law.static)

    def rule(g: Array, logits: Array, *rest: Array) -> tuple[Array | None, ...]:
        law = outline.law.sized(rest[0] if counts else None)
        rest = rest[len(counts) :]
        first, *others = _pulled(replace(outline, logits=logits, law=law), pullback, g, *rest)
        return (first, *(None for _ in counts), *others, *(None for _ in rest[len(others) :]))

    return problem.cast(problem.backend.surrogate(rule, value, problem.logits, *counts, *arrays))


@by_own_settings
def _pulled(problem: Problem, pullback: Pullback, g: Array, *arrays: Array) -> tuple[Array, ...]:
    first, *others = pullback(g, problem, *arrays)
    return (over_draws(problem, first, problem.logits), *others)


def over_draws(problem: Problem, x: Array, like: Array) -> Array:
    """Sum over the leading dimensions of ``x`` that ``like`` lacks."""
    return problem.xp.sum(x, axis=tuple(range(x.ndim - like.ndim))) if x.ndim > like.ndim else x


@by_own_settings
def straight_through(problem: Problem, value: Array, smooth: Array) -> Array:
    """``value``, with the derivative of ``smooth``."""
    return stop_gradient(problem, value) + (smooth - stop_gradient(problem, smooth))


@by_own_settings
def perturbed(problem: Problem, noise: Array) -> Array:
    """The logits, with noise that may have the dimensions of draws in front."""
    noisy: Array = problem.logits + noise
    return noisy


@by_own_settings
def softmax(problem: Problem, x: Array, t: float) -> Array:
    """Along the last axis, at the temperature t, whatever the magnitude of x; 0 where all is −∞."""
    xp, top = problem.xp, stop_gradient(problem, problem.xp.max(x, axis=-1, keepdims=True))
    raised = xp.exp((x - xp.where(top == -xp.inf, xp.zeros_like(top), top)) / t)
    total = xp.sum(raised, axis=-1, keepdims=True)
    return raised / xp.where(total == 0, xp.ones_like(total), total)


def check_positive(value: object, name: str) -> float:
    """A finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}")
    number = float(value)
    if not 0 < number < inf:
        raise ValueError(f"{name} must be positive and finite; got {value}")
    return number


def check_count(value: object, name: str) -> int:
    """An int of at least 1."""
    count = as_int(value, name)
    if count < 1:
        raise ValueError(f"{name} must be at least 1; got {value}")
    return count


def check_single_k(problem: Problem, estimator: str) -> int:
    """One k for all rows."""
    if not isinstance(problem.k, int):
        raise TypeError(f"k must be an int for {estimator}; got an array")
    return problem.k


def check_relaxable(problem: Problem) -> None:
    """Check that the logits have a softmax, where their values may be read."""
    if problem.validates and bool(problem.xp.any(problem.logits == problem.xp.inf)):
        raise ValueError("logits must not contain +inf: a softmax relaxation of them does not exist")
