"""Launches the CUDA kernels through NVIDIA's `cuda.core`, on a stream and memory of anybody's."""

from functools import lru_cache
from typing import Any

from cuda.bindings import driver
from cuda.core import Device, Kernel, LaunchConfig, ObjectCode, Stream, launch

from ksubset.backends._cuda import cubin
from ksubset.backends._cuda.cubin import Macros
from ksubset.backends._cuda.launch import KERNELS, OLDEST, Launch, source, too_old


def run(planned: Launch, values: list[Any], index: int, stream: int) -> None:
    """Run a kernel on a stream of a device; ``values`` are NumPy scalars of the widths that the kernel declares."""
    enter(index)
    geometry = {"grid": planned.blocks, "block": planned.threads, "shmem_size": planned.shared_bytes}
    config = LaunchConfig(**geometry, is_cooperative=planned.wide)
    launch(Stream.from_handle(stream), config, kernel(index, planned.kernel, planned.macros), *values)


def enter(index: int) -> None:
    """Make a device current: a thread that has not used it yet has no context."""
    Device(index).set_current()


def address(index: int, name: str, macros: Macros) -> int:
    """The address of a kernel, for whoever launches it; the device that is current stays so."""
    _, before = driver.cuCtxGetCurrent()
    enter(index)
    try:
        return int(kernel(index, name, macros).handle)
    finally:
        driver.cuCtxSetCurrent(before)


@lru_cache
def _code(program: str, macros: Macros, architecture: str) -> ObjectCode:
    return ObjectCode.from_cubin(cubin.machine_code(source(program), macros, architecture))


@lru_cache
def kernel(index: int, name: str, macros: Macros) -> Kernel:
    """A kernel that a device allows all of a block's shared memory."""
    device = Device(index)
    if tuple(device.compute_capability) < OLDEST:
        raise RuntimeError(too_old(".".join(map(str, device.compute_capability))))
    found = _code(KERNELS[name], macros, f"sm_{device.arch}").get_kernel(name)
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    allowed = device.properties.max_shared_memory_per_block_optin
    (error,) = driver.cuKernelSetAttribute(attribute, allowed, found.handle, device.device_id)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"the driver does not allow {name} {allowed} bytes of shared memory: {error}")
    return found
