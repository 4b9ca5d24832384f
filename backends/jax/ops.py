"""JAX as the engine sees it."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any, cast

import jax
import jax.numpy as jnp

from ksubset._engine.ops import Answers, Array, Ops, State, Step
from ksubset._engine.summation import sums_from_both_ends
from ksubset.backends.jax.order import kth_largest, ranked
from ksubset.backends.jax.sharding import fold, is_long, repeat, several_devices, spread_over


def _repeat(step: Step, state: State, limit: int) -> State:
    def proceed(carry: tuple[Array, State]) -> Array:
        return (carry[0] < limit) & ~jnp.all(carry[1][-1])

    return jax.lax.while_loop(proceed, lambda carry: (carry[0] + 1, step(carry[1])), (0, state))[1]


def _choose(mask: Array, first: Answers, second: Answers) -> tuple[Array, ...]:
    """Compute at run time only answers that some row needs."""
    if mask.ndim == 0:
        return cast("tuple[Array, ...]", jax.lax.cond(mask, first, second))

    def nothing() -> tuple[Array, ...]:
        return tuple(jnp.zeros(x.shape, x.dtype) for x in jax.eval_shape(first))

    ours, theirs = jax.lax.cond(jnp.any(mask), first, nothing), jax.lax.cond(jnp.all(mask), nothing, second)
    return tuple(jnp.where(mask, a, b) for a, b in zip(ours, theirs, strict=True))


def _scan(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, length: int) -> tuple[Any, Any]:
    return fold(step, carry, xs, length=length)


LONGEST_PRODUCT = 256
"""For more numbers than this the sums would take longer to run than to compile."""


def _sums_from_both_ends(x: Array) -> tuple[Array, Array]:
    """As matrix products: XLA turns a cumulative sum into a tree of operations, and compiles every one."""
    size = x.shape[0]
    if size > LONGEST_PRODUCT:
        return sums_from_both_ends(jnp, x)
    lower = jnp.tril(jnp.ones((size, size), x.dtype))
    sums = partial(jnp.tensordot, b=x, axes=1, precision="highest")
    return sums(lower), sums(lower.T)


def _join(re: Array, im: Array) -> Array:
    """A Python number in the sum would be a promotion, which users may forbid."""
    return jax.lax.complex(*jnp.broadcast_arrays(re, im))


def _scatter(x: Array, places: Array, values: Array) -> Array:
    return jnp.put_along_axis(x, places, values, axis=-1, inplace=False)


_COMMON: dict[str, Any] = {
    "xp": jnp,
    "join": _join,
    "matmul": partial(jnp.matmul, precision="highest"),
    "sort": partial(jnp.sort, stable=False),
    "repeat": _repeat,
    "choose": _choose,
    "scan": _scan,
    "scatter": _scatter,
    "stop_gradient": jax.lax.stop_gradient,
    "matmul_from": 9,
    "sweeps": True,
}
ON_CPU = Ops(**_COMMON, ranked=ranked, kth_largest=kth_largest, sums_from_both_ends=_sums_from_both_ends)
ELSEWHERE = Ops(**_COMMON)


@cache
def _spread_ops(on_cpu: bool, devices: int, long: bool) -> Ops:
    """Rows on different devices ask nothing of each other; a long row is on all of them."""
    steady = partial(ranked, fixed=True), partial(kth_largest, fixed=True)
    ops = replace(ON_CPU, ranked=steady[0], kth_largest=steady[1]) if on_cpu else ELSEWHERE
    choose = ops.choose if long else None
    return replace(ops, repeat=repeat, choose=choose, sweeps=long, devices=spread_over(devices))


def ops_for(x: Array) -> Ops:
    """The engine's operations for an array."""
    on_cpu = jax.default_backend() == "cpu"
    if several_devices():
        return _spread_ops(on_cpu, jax.device_count(), is_long(x.shape[-1]))
    return ON_CPU if on_cpu else ELSEWHERE
