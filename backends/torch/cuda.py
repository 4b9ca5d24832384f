"""CUDA tensors of torch: which calls the kernels of ``kernels.cu`` take, and their launch through torch's own hook.

``torch.cuda._compile_kernel`` (torch 2.9 and later) compiles with the NVRTC that torch ships and launches on torch's
current stream. CuPy through DLPack could do the same, at the price of a second package that must match torch's CUDA
version, of translating streams, and of memory that two pools compete for. The hook is not a public function of torch,
and it wants to find a CUDA toolkit even for a source without headers: where it fails, the core runs.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from ksubset._engine.ops import Array, Ops
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends._cuda import calls, geometry
from ksubset.backends._cuda.calls import Runtime
from ksubset.backends._cuda.geometry import Device, Launch
from ksubset.backends.torch.cpu import is_plain

DEVICE = "cuda"


def path(law: Law, name: str, parameters: torch.Tensor) -> Launch | str:
    """How the kernels compute one of ``ksubset._law.functions``, or ``draw``; or why the core does."""
    if not is_plain(parameters, DEVICE):
        return "kernels take plain CUDA tensors, outside of torch.func and torch.compile"
    index = parameters.device.index
    return obstacle(index) or geometry.path(_device(index), law, name, parameters)


def suits(law: Law, parameters: torch.Tensor, *arrays: torch.Tensor) -> bool:
    """Whether the kernels take a call, and a block is enough for a row."""
    return _takes(law, parameters, *arrays) and geometry.suits(law, parameters)


def _takes(law: Law, parameters: torch.Tensor, *arrays: torch.Tensor) -> bool:
    tensors = [x for x in (parameters, law.counts, *arrays) if x is not None]
    plain = all(is_plain(x, DEVICE) and not x.is_neg() for x in tensors)  # whose memory holds what it says
    return plain and obstacle(parameters.device.index) is None


def evaluate(
    ops: Ops,
    function: Callable[..., torch.Tensor],
    law: Law,
    parameters: torch.Tensor,
    *arrays: torch.Tensor,
    solution: Any = None,
) -> torch.Tensor:
    """The value of one of ``ksubset._law.functions``: through the kernels where they take the call, else the core's."""
    if _takes(law, parameters, *arrays):
        result: torch.Tensor = calls.evaluate(runtime(ops), function, law, parameters, *arrays, solution=solution)
        return result
    return function(ops, law, parameters, *arrays, solution=solution)


def moments(ops: Ops, law: Law, parameters: torch.Tensor) -> Any:
    """`ksubset._engine.inference.moments`, through a kernel where that takes the call."""
    if isinstance(law, FixedSize) and suits(law, parameters):
        return calls.moments(runtime(ops), law, parameters)
    return law.moments(ops, parameters)


def draw(
    ops: Ops,
    sample_shape: tuple[int, ...],
    law: FixedSize,
    logits: torch.Tensor,
    k: torch.Tensor | None,
    seed: torch.Tensor,
) -> torch.Tensor:
    """Exact subsets, sample_shape + (..., n), of a call that `suits`."""
    result: torch.Tensor = calls.draw(runtime(ops), law.sized(k), logits, sample_shape, seed=seed)
    return result


def seed(generator: torch.Generator | None, like: torch.Tensor) -> torch.Tensor:
    """Two uniforms that seed `draw`, from a generator on the device or torch's global one."""
    return torch.rand(2, dtype=torch.float64, device=like.device, generator=generator)


def runtime(ops: Ops) -> Runtime:
    """Torch as a launcher of kernels."""
    return Runtime(ops, lambda x: _device(x.device.index), lambda x: x.stride(), lambda x: x.contiguous(), _run)


@lru_cache
def obstacle(index: int) -> str | None:
    """Why a device cannot run the kernels, found out by running an empty one; None if it can."""
    if torch.version.hip is not None:
        return "the kernels are written for CUDA, and this torch was built for ROCm"
    try:
        with torch.cuda.device(index):
            kernel = torch.cuda._compile_kernel('extern "C" __global__ void nothing() {}', "nothing")
            kernel.set_shared_memory_config(0)
            kernel((1, 1, 1), (geometry.WARP, 1, 1), [], shared_mem=0)
    except (AttributeError, ImportError, OSError, RuntimeError, TypeError) as error:
        return f"torch.cuda._compile_kernel fails: {error}"
    return None


@lru_cache
def _device(index: int) -> Device:
    found: Any = torch.cuda.get_device_properties(index)
    return Device(found.shared_memory_per_block_optin, found.multi_processor_count)


@lru_cache
def _kernel(index: int, name: str, options: tuple[str, ...]) -> Any:
    """A kernel on the current device, whose number is ``index``, allowed all of a block's shared memory."""
    kernel = torch.cuda._compile_kernel(calls.source(), name, nvcc_options=list(options))
    kernel.set_shared_memory_config(_device(index).shared_bytes)
    return kernel


def _run(launch: Launch, arguments: list[Any], like: Array) -> None:
    with torch.cuda.device(like.device):
        kernel = _kernel(like.device.index, launch.kernel, launch.options)
        null = torch.empty(0, device=like.device)  # the hook takes no null pointer, but that is where this one is
        values = [null if x is None else x for x in arguments]
        kernel((launch.blocks, 1, 1), (launch.threads, 1, 1), values, shared_mem=launch.shared_bytes)
