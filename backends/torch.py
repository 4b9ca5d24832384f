"""Adapter for torch tensors."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import array_api_compat.torch as xp
import torch

from ksubset import _functions
from ksubset._inference import Solution
from ksubset._inference import solve as solve_rows
from ksubset._typing import Array, Ops, repeat_all, repeat_until_settled
from ksubset.backends import _torch_estimators, _torch_fast
from ksubset.backends._torch_autograd import Call, product
from ksubset.backends._torch_autograd import evaluate as autograd_evaluate
from ksubset.backends._torch_compile import evaluate_compiled

if TYPE_CHECKING:
    from ksubset.backends._cpu import Path


def _matmul(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A matrix product whatever precision the user allows torch elsewhere: no TF32, no bfloat16, no autocast."""
    if x.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        return (x[..., :, :, None] * y[..., None, :, :]).sum(-2)
    with torch.autocast(x.device.type, enabled=False):
        return torch.matmul(x, y)


def _sort(x: torch.Tensor) -> torch.Tensor:
    return torch.sort(x, dim=-1).values


def _sort_on_cpu(x: torch.Tensor) -> torch.Tensor:
    """NumPy sorts short rows up to twenty times faster, and shares torch's memory."""
    try:
        import numpy as np
    except ImportError:
        return _sort(x)
    return torch.from_numpy(np.sort(x.detach().numpy(), axis=-1))


EAGER = Ops(
    xp, _matmul, _sort_on_cpu, repeat_until_settled(torch), stop_gradient=torch.Tensor.detach, eager_on_cpu=True
)
LAZY = Ops(xp, _matmul, _sort, repeat_all, stop_gradient=torch.Tensor.detach)

surrogate = _torch_estimators.surrogate
value_and_gradient = _torch_estimators.value_and_gradient


def ops(x: Array) -> Ops:
    return EAGER if is_readable(x) else LAZY


def is_array(x: object, like: object = None) -> bool:
    return isinstance(x, torch.Tensor)


def is_readable(x: Array) -> bool:
    """On the CPU with data of its own, and neither under `torch.func` nor under `torch.compile`."""
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return False
    if type(x).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:  # a fake tensor, or one made of others
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(x)


def readable(x: Array) -> Array:
    """As a view in NumPy, which looks through an array several times faster; where that cannot be, as it is."""
    try:
        return x.numpy(force=True)
    except (RuntimeError, TypeError):  # NumPy is not installed, or has no bfloat16
        return x


def same_device(x: Array, y: Array) -> bool:
    return bool(x.device == y.device)


def uniforms(rng: object, shape: tuple[int, ...], like: Array) -> Array:
    """From a `torch.Generator`, an int that seeds one, or None for torch's global generator."""
    u = torch.rand(shape, dtype=torch.float64, device=like.device, generator=_generator(rng, like))
    return (u - (u >= 0.5).to(u.dtype)).to(like.dtype)


def gammas(rng: object, concentration: float, shape: tuple[int, ...], like: Array) -> Array:
    return _torch_estimators.gammas(_generator(rng, like), concentration, shape, like)


def _generator(rng: object, like: torch.Tensor) -> torch.Generator | None:
    if isinstance(rng, int) and not isinstance(rng, bool):
        rng = torch.Generator(like.device).manual_seed(rng)
    if not (rng is None or isinstance(rng, torch.Generator)):
        raise TypeError(f"rng must be a torch.Generator, an int or None; got {type(rng).__name__}")
    if rng is not None and rng.device.type != like.device.type:
        raise ValueError(f"rng must be on the device of logits, {like.device}; got a generator on {rng.device}")
    return rng


def evaluate(
    function: Callable[..., Array], logits: Array, k: int | Array, width: int, *arrays: Array, solution: Solution | None
) -> Array:
    size, counts = (k, None) if isinstance(k, int) else (-1, k)
    known = None if torch.compiler.is_compiling() or _is_mapped(logits, *arrays) else solution
    call = Call(function.__name__, size, width, _value, known)
    if function is _functions.marginals_jvp:
        return product(call, logits, counts, arrays[0])
    return autograd_evaluate(call, logits, counts, *arrays)


def _value(call: Call, logits: torch.Tensor, k: torch.Tensor | None, *arrays: torch.Tensor) -> torch.Tensor:
    if torch.compiler.is_compiling():
        compiled: torch.Tensor = evaluate_compiled(call.name, call.size, call.width, logits, k, arrays)
        return compiled
    count = call.size if k is None else k
    if call.solution is None and _torch_fast.takes(call.name, logits, count, call.width, *arrays):
        return _torch_fast.evaluate(call.name, logits, count, *arrays)
    result: torch.Tensor = call.function(ops(logits), logits, count, call.width, *arrays, solution=call.solution)
    return result


def _is_mapped(*tensors: torch.Tensor) -> bool:
    return any(torch._C._functorch.is_functorch_wrapped_tensor(x) for x in tensors)


def solve(logits: Array, k: int | Array, width: int) -> Solution:
    with torch.no_grad():
        return solve_rows(ops(logits), logits, k, width)


def path(name: str, logits: torch.Tensor, width: int) -> "Path | str":
    return _torch_fast.path(name, logits, width)


def draw(
    function: Callable[..., Array],
    logits: Array,
    k: int | Array,
    width: int,
    rng: object,
    sample_shape: tuple[int, ...],
) -> Array | None:
    if torch._C._are_functorch_transforms_active() or not _torch_fast.takes("draw", logits, k, width):
        return None
    size, counts = (k, None) if isinstance(k, int) else (-1, k)
    call = Call("marginals_jvp", size, width, _value)
    return _torch_fast.draw(
        lambda x, v: product(call, x, counts, v), function, logits, k, _generator(rng, logits), sample_shape
    )


def __getattr__(name: str) -> object:
    """`KSubset` and `SubsetSampler`, imported when first asked for."""
    if name in ("KSubset", "SubsetSampler"):
        from ksubset.backends import _torch_distribution

        return getattr(_torch_distribution, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
