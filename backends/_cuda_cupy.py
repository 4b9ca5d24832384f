"""Launches the kernels of ``_cuda.cu`` through CuPy."""

from functools import lru_cache, partial
from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np

from ksubset.backends import _cuda
from ksubset.backends._cuda import Device, Launch, Runtime
from ksubset._typing import Array, Ops

OPS = Ops(xp, cupy.matmul, partial(cupy.sort, axis=-1))


@lru_cache
def _device(index: int) -> Device:
    attributes = cupy.cuda.Device(index).attributes
    return Device(attributes["MaxSharedMemoryPerBlockOptin"], attributes["MultiProcessorCount"])


@lru_cache
def _kernel(index: int, name: str, options: tuple[str, ...]) -> Any:
    """A kernel allowed all the shared memory of the device, which must be the current one."""
    kernel = _module(index, options).get_function(name)
    kernel.max_dynamic_shared_size_bytes = _device(index).shared_bytes
    return kernel


@lru_cache
def _module(index: int, options: tuple[str, ...]) -> Any:
    return cupy.RawModule(code=_cuda.source(), options=options)


def _run(launch: Launch, arguments: list[Any], like: Array) -> None:
    values = [_argument(x) for x in arguments]
    with like.device:
        kernel = _kernel(like.device.id, launch.kernel, launch.options)
        kernel((launch.blocks,), (launch.threads,), tuple(values), shared_mem=launch.shared_bytes)


def _argument(x: Any) -> Any:
    """CuPy passes a NumPy scalar as it is, and a 0 of pointer size is a null pointer."""
    if x is None:
        return np.uintp(0)
    return np.int32(x) if isinstance(x, int) else x


def _strides(x: Array) -> tuple[int, ...]:
    return tuple(stride // x.itemsize for stride in x.strides)


RUNTIME = Runtime(OPS, lambda x: _device(x.device.id), _strides, cupy.ascontiguousarray, _run)
