"""Launches the kernels of ``kernels.cu`` through CuPy: one `cupy.RawModule` for each device and set of options."""

from functools import lru_cache
from typing import Any

import cupy
import numpy as np
from cupy.cuda import runtime as driver

from ksubset._engine.ops import Array, Ops
from ksubset.backends._cuda import calls
from ksubset.backends._cuda.calls import Runtime
from ksubset.backends._cuda.geometry import Device, Launch


def runtime(ops: Ops) -> Runtime:
    """CuPy as a launcher of kernels."""
    return Runtime(ops, lambda x: _device(x.device.id), _strides, cupy.ascontiguousarray, _run)


@lru_cache
def _device(index: int) -> Device:
    shared = driver.deviceGetAttribute(driver.cudaDevAttrMaxSharedMemoryPerBlockOptin, index)
    return Device(shared, driver.deviceGetAttribute(driver.cudaDevAttrMultiProcessorCount, index))


@lru_cache
def _module(index: int, options: tuple[str, ...]) -> Any:
    return cupy.RawModule(code=calls.source(), options=options)


@lru_cache
def _kernel(index: int, name: str, options: tuple[str, ...]) -> Any:
    """A kernel on the current device, whose number is ``index``, allowed all of a block's shared memory."""
    kernel = _module(index, options).get_function(name)
    kernel.max_dynamic_shared_size_bytes = _device(index).shared_bytes
    return kernel


def _run(launch: Launch, arguments: list[Any], like: Array) -> None:
    with like.device:
        kernel = _kernel(like.device.id, launch.kernel, launch.options)
        values = tuple(_argument(x) for x in arguments)
        kernel((launch.blocks,), (launch.threads,), values, shared_mem=launch.shared_bytes)


def _argument(x: Any) -> Any:
    """CuPy passes a NumPy scalar in its own width; a null pointer is a 0 as wide as a pointer."""
    if x is None:
        return np.uintp(0)
    return np.int32(x) if isinstance(x, int) else x


def _strides(x: Array) -> tuple[int, ...]:
    return tuple(stride // x.itemsize for stride in x.strides)
