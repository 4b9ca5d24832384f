"""A value whose gradient is a rule of its own, for ``ksubset.estimators``."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ksubset._engine.ops import Array

Rule = Callable[..., tuple[Array | None, ...]]


def surrogate(rule: Rule, value: Array, *arrays: Array) -> Array:
    """``value``, with the gradients ``rule(g, *arrays)`` with respect to ``arrays``."""
    return _surrogate(rule, value, arrays)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _surrogate(rule: Rule, value: Array, arrays: tuple[Array, ...]) -> Array:
    return value


def _forward(rule: Rule, value: Array, arrays: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
    return value, arrays


def _backward(rule: Rule, arrays: tuple[Array, ...], g: Array) -> tuple[Any, ...]:
    return None, rule(g, *arrays)


_surrogate.defvjp(_forward, _backward)


def value_and_gradient(function: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """The values of ``function`` and, as a constant, the gradient of their sum."""
    value, pullback = jax.vjp(function, jax.lax.stop_gradient(x))
    return value, jax.lax.stop_gradient(pullback(jnp.ones_like(value))[0])


def gammas(key: Array, concentration: float, shape: tuple[int, ...], like: Array) -> Array:
    """Gamma variates of scale 1."""
    return jax.random.gamma(key, concentration, shape, like.dtype)
