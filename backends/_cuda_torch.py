"""Launches the kernels of ``_cuda.cu`` on torch tensors, through torch's own hook for raw CUDA source.

``torch.cuda._compile_kernel`` (torch 2.9 and later) compiles with the NVRTC that torch ships and launches on torch's
current stream. CuPy through DLPack could do the same, at the price of a second package that must match torch's CUDA
version, of translating streams, and of memory that two pools compete for. The hook is not a public function of torch:
where a release lacks it, `available` is false and the core runs.
"""

from functools import lru_cache
from typing import Any

import torch

from ksubset._typing import Array, Ops
from ksubset.backends import _cuda
from ksubset.backends._cuda import Device, Launch, Runtime


def available() -> bool:
    """Whether this torch was built for CUDA and has the hook."""
    return torch.version.cuda is not None and hasattr(torch.cuda, "_compile_kernel")


def runtime(ops: Ops) -> Runtime:
    """Torch as a launcher of kernels."""
    return Runtime(ops, lambda x: _device(x.device.index), lambda x: x.stride(), lambda x: x.contiguous(), _run)


def seed(generator: torch.Generator | None, like: Array) -> Array:
    """Two uniforms that seed `ksubset.backends._cuda.draw`, from a generator on the device or torch's global one."""
    return torch.rand(2, dtype=torch.float64, device=like.device, generator=generator)


@lru_cache
def _device(index: int) -> Device:
    found: Any = torch.cuda.get_device_properties(index)
    return Device(found.shared_memory_per_block_optin, found.multi_processor_count)


@lru_cache
def _kernel(index: int, name: str, options: tuple[str, ...]) -> Any:
    """A kernel on the current device, whose number is ``index``, allowed all of a block's shared memory."""
    kernel = torch.cuda._compile_kernel(_cuda.source(), name, nvcc_options=list(options))
    kernel.set_shared_memory_config(_device(index).shared_bytes)
    return kernel


def _run(launch: Launch, arguments: list[Any], like: Array) -> None:
    with torch.cuda.device(like.device):
        kernel = _kernel(like.device.index, launch.kernel, launch.options)
        null = torch.empty(0, device=like.device)  # the hook takes no null pointer, but that is where this one is
        values = [null if x is None else x for x in arguments]
        kernel((launch.blocks, 1, 1), (launch.threads, 1, 1), values, shared_mem=launch.shared_bytes)
