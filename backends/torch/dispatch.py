"""What computes a call on plain tensors: the CPU's kernels, CUDA's kernels, or the core."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends.torch import cpu, cuda
from ksubset.backends.torch.ops import ops_for


def evaluate(
    function: Callable[..., Any], law: Law, parameters: Tensor, *arrays: Tensor, solution: Any = None
) -> Tensor:
    """The value of one of ``ksubset._law.functions``, without derivatives."""
    known = {"solution": solution}
    if cpu.takes(law, function.__name__, parameters, *arrays):
        if solution is None and functions.has_own_kernel(function, law):
            return cpu.evaluate(function, law, parameters, *arrays)
        if solution is None and functions.asks_kernels(function, law):
            law = cpu.by_kernels(function, law)
        elif function in functions.SOLVING:
            known = functions.solutions(function, partial(cpu.moments, law), parameters, *arrays, **known)
        result: Tensor = function(ops_for(parameters), law, parameters, *arrays, **known)
        return result.to(parameters.dtype)
    return cuda.evaluate(ops_for(parameters), function, law, parameters, *arrays, **known)


def may_draw(law: Law, parameters: Tensor) -> bool:
    """Whether `draw_from` draws in a compiled program; else the program draws uniforms."""
    if parameters.device.type == cuda.DEVICE:
        return cuda.draws_compiled(law, parameters)
    return parameters.device.type == cpu.DEVICE


def draw_from(
    law: Law, parameters: Tensor, seed: Tensor, sample_shape: tuple[int, ...]
) -> tuple[Tensor, Tensor | None]:
    """Exact subsets from a random integer on their device, sample_shape + (..., n), and λ if a kernel found it."""
    if cpu.takes(law, "draw", parameters):
        return cpu.sample(law, parameters, int(seed), sample_shape)
    if cuda.draws(law, parameters):
        return cuda.draw(law, parameters, seed, sample_shape)
    source = torch.Generator(parameters.device).manual_seed(int(seed))
    shape = (*sample_shape, *parameters.shape[:-1], law.uniforms(law.items_among(parameters.shape[-1])))
    u = signed_uniforms(shape, parameters, generator=source)
    return functions.sample(ops_for(parameters), law, parameters, u), None


def product_from(law: Law, parameters: Tensor, v: Tensor, shifts: Tensor) -> Tensor:
    """J · v from the λ of `draw_from`, or NaN where that is not known."""
    if isinstance(law, FixedSize) and shifts.numel():
        if cuda.suits(law, parameters, v):
            return cuda.product(law, parameters, v, shifts)
        if cpu.takes(law, functions.marginals_jvp.__name__, parameters, v) and not shifts[0, 0].isnan():
            return cpu.product(law, parameters, v, shifts)
    return evaluate(functions.marginals_jvp, law, parameters, v)


def signed_uniforms(shape: tuple[int, ...], like: Tensor, **source: Any) -> Tensor:
    """Uniforms in [−1/2, 1/2), resolved near 0 from both sides."""
    u = torch.rand(shape, dtype=torch.float64, device=like.device, **source)
    return (u - (u >= 0.5).to(u.dtype)).to(like.dtype)
