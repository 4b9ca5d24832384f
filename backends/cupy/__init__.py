"""Adapter for CuPy arrays. The primitives run as fused kernels where a block suits a row, else as the core."""

from collections.abc import Callable
from functools import partial
from typing import Any

import array_api_compat.cupy as xp
import cupy

from ksubset._call.argument_checks import kind, seed_of
from ksubset._call.backend import Backend, Known
from ksubset._engine.ops import Array, Ops
from ksubset._law.law import Law
from ksubset.backends._cuda import calls, evaluation, geometry
from ksubset.backends._cuda.launch import Launch
from ksubset.backends.cupy import cuda


def _scatter(x: cupy.ndarray, places: cupy.ndarray, values: cupy.ndarray) -> cupy.ndarray:
    cupy.put_along_axis(x, places, values, axis=-1)
    return x


OPS = Ops(xp, cupy.matmul, cupy.sort, item_sums=partial(cupy.sum, axis=0), scatter=_scatter)
RUNTIME = cuda.runtime(OPS)


def _generator(rng: object) -> cupy.random.Generator:
    seed = seed_of(rng, 0)
    if seed is None and not (rng is None or isinstance(rng, cupy.random.Generator)):
        raise TypeError(f"rng must be a cupy.random.Generator, an int or None; got {kind(rng)}")
    return rng if isinstance(rng, cupy.random.Generator) else cupy.random.default_rng(seed)


def _seed(rng: object) -> cupy.ndarray:
    """64 random bits on the device."""
    return (_generator(rng).random(2, dtype=cupy.float64) * 2.0**32).astype(cupy.uint32).view(cupy.int64)


class CuPy(Backend):
    """Arrays of CuPy."""

    def ops(self, x: Array) -> Ops:
        return OPS

    def namespace(self, x: Array) -> Any:
        return xp

    def is_array(self, x: object, like: object = None) -> bool:
        return isinstance(x, cupy.ndarray)

    def is_readable(self, x: Array) -> bool:
        """Never: reading a value would make the host wait for the device."""
        return False

    def readable(self, x: Array) -> Array:
        return x

    def extremes(self, x: Array) -> tuple[float, float]:
        return (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)

    def same_device(self, x: Array, y: Array) -> bool:
        return bool(x.device == y.device)

    def uniforms(self, rng: object, shape: tuple[int, ...], like: Array) -> Array:
        """From a `cupy.random.Generator`, an int that seeds one, or None for a fresh one."""
        u = _generator(rng).random(shape, dtype=cupy.float64)
        return (u - (u >= 0.5)).astype(like.dtype)

    def evaluate(
        self, function: Callable[..., Array], law: Law, parameters: Array, *arrays: Array, solution: Known = None
    ) -> Array:
        return evaluation.evaluate(RUNTIME, function, law, parameters, *arrays, solution=solution)

    def moments(self, law: Law, parameters: Array) -> Any:
        return evaluation.moments(RUNTIME, law, parameters)

    def path(self, law: Law, name: str, parameters: Array) -> Launch | str:
        return geometry.path(RUNTIME.device(parameters), law, name, parameters)

    def draw(
        self,
        function: Callable[..., Array],
        law: Law,
        parameters: Array,
        rng: object,
        sample_shape: tuple[int, ...],
    ) -> Array | None:
        if geometry.draws(law, parameters):
            return evaluation.draw(RUNTIME, law, parameters, sample_shape, _seed(rng))[0]
        return None

    def draw_with_marginals(
        self, law: Law, parameters: Array, rng: object, sample_shape: tuple[int, ...]
    ) -> tuple[Array, Array] | None:
        if not geometry.suits(law, parameters):
            return None
        z, _, mean = calls.draw_with_marginals(RUNTIME, law, parameters, sample_shape, _seed(rng))
        return z, mean


ADAPTER = CuPy()
