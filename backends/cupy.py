"""Adapter for CuPy arrays."""

from collections.abc import Callable

import array_api_compat.cupy as xp
import cupy

from ksubset._inference import Solution
from ksubset._inference import solve as solve_rows
from ksubset._typing import Array, Ops

OPS = Ops(xp, cupy.matmul, cupy.sort)


def ops(x: Array) -> Ops:
    return OPS


def is_array(x: object, like: object = None) -> bool:
    return isinstance(x, cupy.ndarray)


def is_readable(x: Array) -> bool:
    """Never: reading a value would make the host wait for the device."""
    return False


def readable(x: Array) -> Array:
    return x


def same_device(x: Array, y: Array) -> bool:
    return bool(x.device == y.device)


def uniforms(rng: object, shape: tuple[int, ...], like: Array) -> Array:
    """From a `cupy.random.Generator`, an int that seeds one, or None for a fresh one."""
    if not (rng is None or isinstance(rng, int | cupy.random.Generator)) or isinstance(rng, bool):
        raise TypeError(f"rng must be a cupy.random.Generator, an int or None; got {type(rng).__name__}")
    generator = rng if isinstance(rng, cupy.random.Generator) else cupy.random.default_rng(rng)
    u = generator.random(shape, dtype=cupy.float64)
    return (u - (u >= 0.5)).astype(like.dtype)


def evaluate(
    function: Callable[..., Array], logits: Array, k: int | Array, width: int, *arrays: Array, solution: Solution | None
) -> Array:
    return function(OPS, logits, k, width, *arrays, solution=solution)


def solve(logits: Array, k: int | Array, width: int) -> Solution:
    return solve_rows(ops(logits), logits, k, width)
