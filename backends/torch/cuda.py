"""CUDA tensors of torch: which calls the CUDA kernels take, and their launch on torch's current stream."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeGuard

import torch

from ksubset._engine.ops import Array, Ops
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cuda import calls, evaluation, geometry, launchers
from ksubset.backends._cuda.calls import Runtime
from ksubset.backends._cuda.launch import Device, Launch
from ksubset.backends._cuda.launchers import Launcher
from ksubset.backends.torch.cpu import is_plain
from ksubset.backends.torch.ops import LAZY

DEVICE = "cuda"


def path(law: Law, name: str, parameters: torch.Tensor) -> Launch | str:
    """How the kernels compute one of ``ksubset._law.functions``, or ``draw``; or why the core does."""
    if not is_plain(parameters, device=DEVICE):
        return "kernels take plain CUDA tensors, outside of torch.func and torch.compile"
    index = parameters.device.index
    if isinstance(by := launcher(index), str):
        return by
    found = geometry.path(_device(index), law, name, parameters)
    return found if isinstance(found, str) else replace(found, launcher=by.name)


def suits(law: Law, parameters: torch.Tensor, *arrays: torch.Tensor) -> TypeGuard[FixedSize]:
    """Whether the kernels take a call, and a block is enough for a row."""
    return _takes(law, parameters, *arrays) and geometry.suits(law, parameters)


def draws(law: Law, parameters: torch.Tensor) -> TypeGuard[FixedSize | SizeWeighted]:
    """Whether `draw` takes a call."""
    return _takes(law, parameters) and geometry.draws(law, parameters)


def draws_compiled(law: Law, parameters: torch.Tensor) -> bool:
    """The same of a tensor that `torch.compile` traces."""
    return geometry.draws(law, parameters) and _launches(parameters.device.index)


def _launches(index: int) -> bool:
    return not isinstance(launcher(index), str)


# What torch.compiler.assume_constant_result does, which imports all of Dynamo, for a second.
vars(_launches)["_dynamo_marked_constant"] = True


def _takes(law: Law, parameters: torch.Tensor, *arrays: torch.Tensor) -> bool:
    tensors = [x for x in (parameters, law.counts, *arrays) if x is not None]
    as_stored = is_plain(*tensors, device=DEVICE) and not any(x.is_neg() for x in tensors)
    return as_stored and not isinstance(launcher(parameters.device.index), str)


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
        launched: torch.Tensor = evaluation.evaluate(
            runtime(ops), function, law, parameters, *arrays, solution=solution
        )
        return launched
    return function(ops, law, parameters, *arrays, solution=solution)


def moments(ops: Ops, law: Law, parameters: torch.Tensor) -> Any:
    """`ksubset._engine.inference.moments`, through a kernel where that takes the call."""
    if _takes(law, parameters):
        return evaluation.moments(runtime(ops), law, parameters)
    return law.moments(ops, parameters)


def draw(
    law: FixedSize | SizeWeighted, parameters: torch.Tensor, seed: torch.Tensor, sample_shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Exact subsets, sample_shape + (..., n), of a call that `draws`, and λ, (2, rows), if they have one size."""
    found: tuple[torch.Tensor, torch.Tensor | None]
    found = evaluation.draw(runtime(LAZY), law, parameters.detach(), sample_shape, seed)
    return found


def draw_with_marginals(
    law: FixedSize, logits: torch.Tensor, seed: torch.Tensor, sample_shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Exact subsets of a call that `suits`, λ, (2, rows), and the marginals, (..., n)."""
    found: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    found = calls.draw_with_marginals(runtime(LAZY), law, logits, sample_shape, seed)
    return found


def product(law: FixedSize, logits: torch.Tensor, v: torch.Tensor, tilts: torch.Tensor) -> torch.Tensor:
    """J · v from the λ of `draw`, for the logits that it had."""
    image: torch.Tensor = calls.jacobian_product(runtime(LAZY), law, logits, v.to(logits.dtype).resolve_neg(), tilts)
    return image


def seed(generator: torch.Generator | None, like: torch.Tensor) -> torch.Tensor:
    """The integer that seeds `draw`, from a generator on the device or torch's global one, which nobody reads."""
    return torch.randint(2**63 - 1, (), device=like.device, generator=generator)


def runtime(ops: Ops) -> Runtime:
    """Torch as a launcher of kernels."""
    return Runtime(ops, lambda x: _device(x.device.index), lambda x: x.stride(), lambda x: x.contiguous(), _run)


@lru_cache
def launcher(index: int) -> Launcher | str:
    """What launches kernels on a device, or why nothing does."""
    if torch.version.hip is not None:
        return "the kernels are written for CUDA, and this torch was built for ROCm"
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError("before a CUDA graph captures a call of ksubset, make the call once: it loads the kernels")
    with torch.cuda.device(index):
        return launchers.find(index, _stream(index), str(torch.version.cuda))


@lru_cache
def _device(index: int) -> Device:
    found: Any = torch.cuda.get_device_properties(index)
    return Device(found.shared_memory_per_block_optin, found.multi_processor_count)


def _stream(index: int) -> int:
    """The address of torch's current stream on a device."""
    address: int = torch.cuda.current_stream(index).cuda_stream
    return address


def _run(launch: Launch, arguments: list[Any], like: Array) -> None:
    import numpy as np  # which torch does without, and no launcher

    index = like.device.index
    by: Any = launcher(index)  # not a reason, or the core would have the call
    values = [np.int32(x) if isinstance(x, int) else np.uint64(0 if x is None else x.data_ptr()) for x in arguments]
    with torch.cuda.device(index):
        by.run(launch, values, index, _stream(index))
