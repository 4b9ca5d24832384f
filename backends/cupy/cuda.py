"""CuPy as a launcher of the CUDA kernels, on its own arrays and its current stream."""

from typing import Any

import cupy
import numpy as np

from ksubset._engine.ops import Array, Ops
from ksubset.backends._cuda import by_cupy
from ksubset.backends._cuda.calls import Runtime
from ksubset.backends._cuda.launch import Launch


def runtime(ops: Ops) -> Runtime:
    """CuPy as a launcher of kernels."""
    return Runtime(ops, lambda x: by_cupy.device(x.device.id), _strides, cupy.ascontiguousarray, _run)


def _run(launch: Launch, arguments: list[Any], like: Array) -> None:
    with like.device:
        by_cupy.launch(launch, [_argument(x) for x in arguments], like.device.id)


def _argument(x: Any) -> Any:
    """CuPy passes a NumPy scalar in its own width; a null pointer is a 0 as wide as a pointer."""
    if x is None:
        return np.uint64(0)
    return np.int32(x) if isinstance(x, int) else x


def _strides(x: Array) -> tuple[int, ...]:
    return tuple(stride // x.itemsize for stride in x.strides)
