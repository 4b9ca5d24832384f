"""CPU tensors through the kernels of ``_cpu``, which work on the memory of plain tensors without copies.

Eager code comes here; under `torch.func`, `torch.compile` or a dispatch mode, where a tensor has no memory of its own
to read, the core runs instead.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ksubset import _functions
from ksubset._inference import Solution
from ksubset._mixture import Mixture
from ksubset.backends import _fast, _fast_weighted

if TYPE_CHECKING:
    import numpy as np

    from ksubset.backends._cpu import Path

DTYPES = {torch.float32: "float32", torch.float64: "float64"}


def is_plain(x: Tensor, device: str = "cpu") -> bool:
    """Whether ``x`` has memory on such a device: eager, of no subclass, and no dispatch mode records what happens."""
    if type(x) not in (Tensor, torch.nn.Parameter) or torch.compiler.is_compiling():
        return False
    if not x.is_cpu if device == "cpu" else x.device.type != device:
        return False
    return not (torch._C._functorch.is_functorch_wrapped_tensor(x) or torch._C._len_torch_dispatch_stack())


def path(name: str, logits: Tensor, width: int) -> "Path | str":
    """Say which kernel a call takes, or why it takes the core."""
    if not is_plain(logits):
        return "kernels take plain CPU tensors, outside of torch.func and torch.compile"
    return _fast.choose(name, logits.shape, width, DTYPES.get(logits.dtype, str(logits.dtype)))


def takes(name: str, logits: Tensor, k: int | Tensor, width: int, *arrays: Tensor) -> bool:
    """Whether the kernels take a call."""
    others = arrays if isinstance(k, int) else (k, *arrays)
    if others and not all(map(is_plain, others)):
        return False
    return not isinstance(path(name, logits, width), str)


def evaluate(name: str, logits: Tensor, k: int | Tensor, width: int, *arrays: Tensor) -> Tensor:
    """The value of one of ``_fast.FUNCTIONS`` or ``_fast.WEIGHTED``."""
    values = (_view(x) for x in arrays)
    answer = _fast.evaluate(name, _view(logits), _count(k), width, *values, threads=torch.get_num_threads())
    return torch.from_numpy(answer)


def solve(logits: Tensor, k: int | Tensor, *, sides: bool = True) -> Solution:
    """The solution, with both marginals or none."""
    found = _fast.solve(_view(logits), _count(k), sides=sides, threads=torch.get_num_threads())
    parts = found.tilted, found.log_volume, found.chosen, found.unchosen
    return Solution(*(None if x is None else torch.from_numpy(x) for x in parts))


def solve_weighted(logits: Tensor, *, low: int, high: int) -> Mixture:
    """The moments under a cardinality potential."""
    found = _fast_weighted.solve(_view(logits), low=low, high=high, threads=torch.get_num_threads())
    return Mixture(*(torch.from_numpy(getattr(found, field.name)) for field in fields(found)))


def draw(
    differentiate: Callable[[Tensor, Tensor], Tensor],
    function: Callable[..., Any],
    logits: Tensor,
    k: int | Tensor,
    width: int,
    generator: torch.Generator | None,
    sample_shape: tuple[int, ...],
) -> Tensor:
    """Draw subsets; the gradient of `rsample` is ``differentiate(logits, v)``, J · v."""
    given, threads = (_view(logits), _count(k), width, _seed(generator)), torch.get_num_threads()
    z, shifts = _fast.sample(*given, sample_shape, threads=threads)
    if function is _functions.rsample and (logits.requires_grad or torch.autograd.forward_ad._current_level >= 0):
        result: Tensor = Drawn.apply(logits, k, width, z, shifts, differentiate)  # type: ignore[no-untyped-call]  # torch leaves it so
        return result
    return torch.from_numpy(z)


def draw_weighted(
    logits: Tensor, low: int, high: int, generator: torch.Generator | None, sample_shape: tuple[int, ...]
) -> Tensor:
    """Draw subsets under a cardinality potential, without a gradient."""
    threads = torch.get_num_threads()
    z = _fast_weighted.sample(_view(logits), low, high, _seed(generator), sample_shape, threads=threads)
    return torch.from_numpy(z)


def _seed(generator: torch.Generator | None) -> int:
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator))


class Drawn(torch.autograd.Function):
    """A sample with the SIMPLE gradient, whose backward pass starts from the λ that the sampler found.

    Unlike the Functions of ``_torch_autograd`` it need not work under `torch.func`, which saves it a third of the
    price of a small step.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        k: int | Tensor,
        width: int,
        z: "np.ndarray",
        shifts: "np.ndarray",
        differentiate: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        ctx.k, ctx.width, ctx.shifts, ctx.differentiate = k, width, shifts, differentiate
        ctx.save_for_backward(logits, *(() if isinstance(k, int) else (k,)))
        ctx.save_for_forward(logits)
        return torch.from_numpy(z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        logits = ctx.saved_tensors[0]  # raises if the logits or k were changed in place
        v = grad.sum_to_size(logits.shape) if grad.ndim > logits.ndim else grad
        if torch.is_grad_enabled() or not is_plain(v):
            image = ctx.differentiate(logits, v)
        else:
            given, threads = (_view(logits), _count(ctx.k), _view(v), ctx.width), torch.get_num_threads()
            image = torch.from_numpy(_fast.jacobian_product(*given, shifts=ctx.shifts, threads=threads))
        return image, None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, dlogits: Tensor, *_: None) -> Tensor:
        (logits,) = ctx.saved_tensors
        result: Tensor = ctx.differentiate(logits, dlogits)
        return result


def _view(x: Tensor) -> "np.ndarray":
    """The memory of a tensor as a NumPy array."""
    return x.numpy(force=True)


def _count(k: int | Tensor) -> "int | np.ndarray":
    return k if isinstance(k, int) else _view(k)
