"""CPU tensors through the kernels of ``_cpu``, which work on the memory of plain tensors without copies.

Eager code comes here; under `torch.func`, `torch.compile` or a dispatch mode, where a tensor has no memory of its own
to read, the core runs instead.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ksubset._engine.inference import Solution
from ksubset._engine.potential.mixture import Mixture
from ksubset._law import functions
from ksubset.backends._cpu import dispatch, dispatch_weighted
from ksubset.backends.torch.transforms import for_each_draw

if TYPE_CHECKING:
    import numpy as np

    from ksubset.backends._cpu.calls import Path

DTYPES = {torch.float32: "float32", torch.float64: "float64"}


_is_included, _PRE_DISPATCH = torch._C._dispatch_tls_is_dispatch_key_included, torch._C.DispatchKey.PreDispatch


def is_recorded() -> bool:
    """Whether a dispatch mode records what happens: that of `make_fx`, before dispatch too, or one of a user's."""
    return bool(torch._C._len_torch_dispatch_stack()) or _is_included(_PRE_DISPATCH)


def is_plain(x: Tensor, device: str = "cpu") -> bool:
    """Whether ``x`` has memory on such a device: eager, of no subclass, and no dispatch mode records what happens."""
    if type(x) not in (Tensor, torch.nn.Parameter) or torch.compiler.is_compiling() or x.layout is not torch.strided:
        return False
    if not x.is_cpu if device == "cpu" else x.device.type != device:
        return False
    return not (torch._C._functorch.is_functorch_wrapped_tensor(x) or is_recorded())


def path(name: str, logits: Tensor, width: int) -> "Path | str":
    """Say which kernel a call takes, or why it takes the core."""
    if not is_plain(logits):
        return "kernels take plain CPU tensors, outside of torch.func and torch.compile"
    return dispatch.choose(name, logits.shape, width, DTYPES.get(logits.dtype, str(logits.dtype)))


def takes(name: str, logits: Tensor, k: int | Tensor, width: int, *arrays: Tensor) -> bool:
    """Whether the kernels take a call."""
    others = arrays if isinstance(k, int) else (k, *arrays)
    if others and not all(map(is_plain, others)):
        return False
    return not isinstance(path(name, logits, width), str)


class Tensors:
    """The memory of tensors; see ``_cpu.launch.Memory``."""

    def dtype(self, x: Tensor) -> "np.dtype[Any]":
        return _dtype(x.dtype)

    def empty(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.empty(shape, dtype=like.dtype, device="cpu")

    def contiguous(self, x: Tensor, like: Tensor) -> Tensor:
        if x.is_contiguous() and x.dtype == like.dtype and not x.is_neg():
            return x
        return x.detach().to(like.dtype).resolve_neg().contiguous()

    def counts(self, k: Tensor) -> Tensor:
        return k.to(torch.int64).contiguous()

    def repeated(self, x: Any, times: int, tail: int) -> Any:
        if not isinstance(x, Tensor):
            return x
        return x.detach().reshape(-1, *x.shape[x.ndim - tail :]).repeat(times, *(1,) * tail)

    def address(self, x: Tensor) -> int:
        return x.data_ptr()


TENSORS = Tensors()


@cache
def _dtype(dtype: torch.dtype) -> "np.dtype[Any]":
    import numpy as np

    return np.dtype(DTYPES[dtype])


def evaluate(name: str, logits: Tensor, k: int | Tensor, width: int, *arrays: Tensor) -> Tensor:
    """The value of one of `dispatch.FUNCTIONS` or `dispatch.WEIGHTED`."""
    threads = torch.get_num_threads()
    if name in ("marginals", "unchosen"):
        mu: Tensor = dispatch.marginal(logits, k, width, chosen=name == "marginals", threads=threads, memory=TENSORS)
        return mu
    if name == "marginals_jvp" and arrays[0].shape == logits.shape:
        return _product(logits, k, arrays[0], width)
    values = (_view(x) for x in arrays)
    return torch.from_numpy(dispatch.evaluate(name, _view(logits), _count(k), width, *values, threads=threads))


def _product(logits: Tensor, k: int | Tensor, v: Tensor, width: int, shifts: Tensor | None = None) -> Tensor:
    """J · v; ``shifts`` is λ, if it is known."""
    known = {"shifts": shifts, "threads": torch.get_num_threads(), "memory": TENSORS}
    image: Tensor = dispatch.kernels().jacobian_product(logits, k, v, width, **known)
    return image


def solve(logits: Tensor, k: int | Tensor, *, sides: bool = True) -> Solution:
    """The solution, with both marginals or none."""
    found = dispatch.solve(_view(logits), _count(k), sides=sides, threads=torch.get_num_threads())
    parts = found.tilted, found.log_volume, found.chosen, found.unchosen
    return Solution(*(None if x is None else torch.from_numpy(x) for x in parts))


def solve_weighted(logits: Tensor, *, low: int, high: int) -> Mixture:
    """The moments under a cardinality potential."""
    found = dispatch_weighted.solve(_view(logits), low=low, high=high, threads=torch.get_num_threads())
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
    given = logits, k, _seed(generator), sample_shape, width
    z, shifts = dispatch.kernels().sample(*given, threads=torch.get_num_threads(), memory=TENSORS)
    if function is functions.rsample and (logits.requires_grad or torch.autograd.forward_ad._current_level >= 0):
        counts = None if isinstance(k, int) else k
        z = Drawn.apply(logits, counts, (z, _Draw(k, width, shifts, differentiate)))  # type: ignore[no-untyped-call]  # torch leaves it so
    result: Tensor = z
    return result


def draw_weighted(
    logits: Tensor, low: int, high: int, generator: torch.Generator | None, sample_shape: tuple[int, ...]
) -> Tensor:
    """Draw subsets under a cardinality potential, without a gradient."""
    threads = torch.get_num_threads()
    z = dispatch_weighted.sample(_view(logits), low, high, _seed(generator), sample_shape, threads=threads)
    return torch.from_numpy(z)


def _seed(generator: torch.Generator | None) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator, device="cpu"))


class _Draw(NamedTuple):
    """The data that the gradient of samples needs."""

    k: int | Tensor
    width: int
    shifts: Tensor
    differentiate: Callable[[Tensor, Tensor], Tensor]


class Drawn(torch.autograd.Function):
    """A sample with the SIMPLE gradient, whose backward pass starts from the λ that the sampler found.

    Unlike the Functions of `autograd` it need not work under `torch.func`, which saves it a third of the
    price of a small step.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, counts: Tensor | None, drawn: tuple[Tensor, _Draw]) -> Tensor:
        z, ctx.draw = drawn
        ctx.shape = z.shape
        ctx.save_for_backward(logits, counts)
        ctx.save_for_forward(logits)
        return z

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (logits, _), draw = ctx.saved_tensors, ctx.draw  # raises if the logits or k were changed in place
        v = grad.sum_to_size(logits.shape) if grad.ndim > logits.ndim else grad
        if torch.is_grad_enabled() or not is_plain(v):
            return draw.differentiate(logits, v), None, None
        return _product(logits, draw.k, v, draw.width, draw.shifts), None, None

    @staticmethod
    def jvp(ctx: Any, dlogits: Tensor, *_: None) -> Tensor:
        (logits,) = ctx.saved_tensors
        return for_each_draw(ctx.draw.differentiate(logits, dlogits), ctx.shape)


def _view(x: Tensor) -> "np.ndarray":
    """The memory of a tensor as a NumPy array."""
    return x.numpy(force=True)


def _count(k: int | Tensor) -> "int | np.ndarray":
    return k if isinstance(k, int) else _view(k)
