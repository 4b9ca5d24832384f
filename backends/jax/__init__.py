"""Adapter for JAX arrays and tracers."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache, partial
from math import prod
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ksubset._call.arguments import kind, seed_of
from ksubset._call.backend import Backend, Function, Known
from ksubset._engine.inference import Solution
from ksubset._engine.inference import solve as solve_rows
from ksubset._engine.ops import Answers, Array, Ops, State, Step
from ksubset._engine.potential.mixture import Mixture
from ksubset._engine.summation import sums_from_both_ends
from ksubset._law import weighted
from ksubset._law.derivatives import GRADIENTS, PRODUCTS
from ksubset.backends.jax import estimators
from ksubset.backends.jax.autodiff import evaluate as evaluate_differentiable
from ksubset.backends.jax.autodiff import product
from ksubset.backends.jax.cpu import DRAW, choose, takes
from ksubset.backends.jax.order import kth_largest, ranked
from ksubset.backends.jax.settings import by_own_settings
from ksubset.backends.jax.sharding import (
    automatic,
    fold,
    is_explicit,
    is_long,
    on_one_device,
    repeat,
    several_devices,
    spread_over,
    together,
)

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path


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


_COMMON: dict[str, Any] = {
    "xp": jnp,
    "join": _join,
    "matmul": partial(jnp.matmul, precision="highest"),
    "sort": partial(jnp.sort, stable=False),
    "repeat": _repeat,
    "choose": _choose,
    "scan": _scan,
    "stop_gradient": jax.lax.stop_gradient,
    "matmul_from": 9,
    "sweeps": True,
}
ON_CPU = Ops(**_COMMON, ranked=ranked, kth_largest=kth_largest, sums_from_both_ends=_sums_from_both_ends)
ELSEWHERE = Ops(**_COMMON)


@cache
def _spread(on_cpu: bool, devices: int, long: bool) -> Ops:
    """Rows on different devices ask nothing of each other; a long row is on all of them."""
    steady = partial(ranked, fixed=True), partial(kth_largest, fixed=True)
    ops = replace(ON_CPU, ranked=steady[0], kth_largest=steady[1]) if on_cpu else ELSEWHERE
    choose = ops.choose if long else None
    return replace(ops, repeat=repeat, choose=choose, sweeps=long, devices=spread_over(devices))


def _key(rng: object) -> Array:
    if rng is None:
        raise TypeError("rng must be a JAX key or an int; got None, and JAX has no global generator")
    seed = seed_of(rng, -(2**63), 2**63 - 1)
    key: Any = rng if seed is None else jax.random.key(seed)
    if not _is_key(key):
        raise TypeError(f"rng must be a JAX key or an int; got {kind(rng)}")
    if key.ndim != (key.dtype == jnp.uint32):
        raise ValueError(f"rng must be one JAX key; got a batch of them, {key.shape}")
    return key


def _is_key(x: object) -> bool:
    if not isinstance(x, jax.Array):
        return False
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key)) or (x.dtype == jnp.uint32 and x.ndim == 1)


@jax.jit
def _seed(key: Array) -> Array:
    return jax.random.bits(key, (2,), jnp.uint32)


@partial(jax.jit, static_argnums=(1, 2))
def _signed_uniforms(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """(s + l)/2³², s a signed 32-bit integer and l a fraction that refines it where floats near 0 can tell."""
    words = jax.random.bits(key, (2, *shape), jnp.uint32)
    whole = jax.lax.bitcast_convert_type(words[0], jnp.int32).astype(dtype)
    return (whole + words[1].astype(dtype) * 2.0**-32) * 2.0**-32


def _evaluate(
    function: Callable[..., Array], logits: Array, k: int | Array, width: int, *arrays: Array, solution: Known
) -> Array:
    if function in PRODUCTS:
        return product(function, logits, k, width, arrays[0])
    return evaluate_differentiable(function, logits, k, width, *arrays, solution=solution)


@lru_cache(maxsize=1024)
def _drawing(low: int, high: int, draws: int) -> Callable[[Array, Array], Array]:
    """`DRAW` compiled for a potential's counts; JAX keeps one program per shape."""
    draw = partial(DRAW.bind, name="weighted_sample", draws=draws, k=low, width=high)
    return cast("Callable[[Array, Array], Array]", jax.jit(draw))


@lru_cache(maxsize=1024)
def _solver(k: int | None, width: int) -> Callable[..., Solution]:
    def call(logits: Array, count: Array | None) -> Solution:
        return solve_rows(ADAPTER.ops(logits), jax.lax.stop_gradient(logits), count if k is None else k)

    return cast("Callable[..., Solution]", jax.jit(call))


@lru_cache(maxsize=1024)
def _weighted_solver(low: int, high: int) -> Callable[[Array], Mixture]:
    def call(logits: Array) -> Mixture:
        return weighted.solve(ADAPTER.ops(logits), jax.lax.stop_gradient(logits), low, high)

    return cast("Callable[[Array], Mixture]", jax.jit(call))


class JAX(Backend):
    """Arrays and tracers of JAX."""

    differentiates = True

    surrogate = staticmethod(estimators.surrogate)
    value_and_gradient = staticmethod(estimators.value_and_gradient)

    def ops(self, x: Array) -> Ops:
        on_cpu = jax.default_backend() == "cpu"
        if several_devices():
            return _spread(on_cpu, jax.device_count(), is_long(x.shape[-1]))
        return ON_CPU if on_cpu else ELSEWHERE

    def namespace(self, x: Array) -> Any:
        return jnp

    def is_array(self, x: object, like: object = None) -> bool:
        return isinstance(x, jax.Array)

    def is_readable(self, x: Array) -> bool:
        """Concrete and on CPU devices only."""
        return not isinstance(x, jax.core.Tracer) and all(d.platform == "cpu" for d in x.devices())

    def readable(self, x: Array) -> Array:
        """In NumPy, which need not compile a program for every new shape."""
        if isinstance(x, jax.core.Tracer):
            raise ValueError("validate=True needs values that can be read; got an array that JAX traces")
        return np.asarray(x)

    def extremes(self, x: Array) -> tuple[float, float]:
        if not x.size:
            return 0.0, 0.0
        values = self.readable(x)
        with np.errstate(invalid="ignore"):  # the NaN of bfloat16 would warn
            return float(values.min()), float(values.max())

    def same_device(self, x: Array, y: Array) -> bool:
        """JAX checks placement itself, and arrays that follow their operands have none of their own."""
        return True

    @by_own_settings
    def uniforms(self, rng: object, shape: tuple[int, ...], like: Array) -> Array:
        """From a key, or from an int that seeds one."""
        return _signed_uniforms(_key(rng), shape, like.dtype.name)

    @by_own_settings
    def gammas(self, rng: object, concentration: float, shape: tuple[int, ...], like: Array) -> Array:
        return estimators.gammas(_key(rng), concentration, shape, like)

    @by_own_settings
    def evaluate(
        self,
        function: Callable[..., Array],
        logits: Array,
        k: int | Array,
        width: int,
        *arrays: Array,
        solution: Known,
    ) -> Array:
        if on_one_device(logits, k, *arrays):
            return _evaluate(function, logits, k, width, *arrays, solution=solution)
        logits, k, *given = together(logits, k, *arrays)
        known = None if is_explicit(logits) else solution

        def value(logits: Array, k: int | Array, *arrays: Array) -> Array:
            return _evaluate(function, logits, k, width, *arrays, solution=known)

        return automatic(value, function in GRADIENTS, logits, k, *given)

    @by_own_settings
    def draw(
        self,
        function: Callable[..., Array],
        logits: Array,
        k: int | Array,
        width: int,
        rng: object,
        sample_shape: tuple[int, ...],
    ) -> Array | None:
        if not takes("draw", logits, width):
            return None
        z = evaluate_differentiable(function, logits, k, width, _seed(_key(rng)), draws=prod(sample_shape))
        return z.reshape((*sample_shape, *logits.shape))

    @by_own_settings
    def draw_weighted(
        self, logits: Array, low: int, high: int, rng: object, sample_shape: tuple[int, ...]
    ) -> Array | None:
        if not takes("weighted_draw", logits, high):
            return None
        z = _drawing(low, high, prod(sample_shape))(jax.lax.stop_gradient(logits), _seed(_key(rng)))
        return z.reshape((*sample_shape, *z.shape[1:]))

    def path(self, name: str, logits: Array, width: int) -> "Path | str":
        return choose(name, logits.shape, width, logits.dtype)

    @by_own_settings
    def solve(self, logits: Array, k: int | Array, width: int) -> Solution:
        static, count = (k, None) if isinstance(k, int) else (None, k)
        return _solver(static, width)(logits, count)

    @by_own_settings
    def solve_weighted(self, logits: Array, low: int, high: int) -> Mixture:
        return _weighted_solver(low, high)(logits)

    def by_own_settings(self, function: Function) -> Function:
        return cast("Function", by_own_settings(function))


ADAPTER = JAX()
