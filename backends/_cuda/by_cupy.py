"""Launches the CUDA kernels through CuPy: one `cupy.RawModule` for each device, program and set of options."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cupy
from cupy.cuda import runtime as driver

from ksubset.backends._cuda.launch import KERNELS, OLDEST, Device, Launch, source, too_old


@dataclass(frozen=True)
class _Foreign:
    """A stream of somebody else, by the protocol of streams."""

    address: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address


def run(planned: Launch, values: list[Any], index: int, stream: int) -> None:
    """Run a kernel on a stream of a device; ``values`` are NumPy scalars of the widths that the kernel declares."""
    with cupy.cuda.Device(index), cupy.cuda.Stream.from_external(_Foreign(stream)):
        launch(planned, values, index)


def launch(planned: Launch, values: list[Any], index: int) -> None:
    """Run a kernel on CuPy's current stream of its current device, whose number is ``index``; see `run`."""
    kernel = _kernel(index, planned.kernel, planned.options, planned.wide)
    kernel((planned.blocks,), (planned.threads,), tuple(values), shared_mem=planned.shared_bytes)


@lru_cache
def device(index: int) -> Device:
    """What there is of a device."""
    major = driver.deviceGetAttribute(driver.cudaDevAttrComputeCapabilityMajor, index)
    if major < OLDEST[0]:
        raise RuntimeError(too_old(f"{major}.x"))
    shared = driver.deviceGetAttribute(driver.cudaDevAttrMaxSharedMemoryPerBlockOptin, index)
    return Device(shared, driver.deviceGetAttribute(driver.cudaDevAttrMultiProcessorCount, index))


@lru_cache
def _module(index: int, program: str, options: tuple[str, ...], cooperative: bool) -> Any:
    return cupy.RawModule(code=source(program), options=options, enable_cooperative_groups=cooperative)


@lru_cache
def _kernel(index: int, name: str, options: tuple[str, ...], cooperative: bool) -> Any:
    """A kernel that a device allows all of a block's shared memory."""
    kernel = _module(index, KERNELS[name], options, cooperative).get_function(name)
    kernel.max_dynamic_shared_size_bytes = device(index).shared_bytes
    return kernel
