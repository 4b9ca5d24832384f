"""CPU tensors through the kernels of ``_cpu``, which work on the memory of plain tensors without copies.

Eager code comes here, and the operations of compiled programs when they run. Under `torch.func` or a dispatch mode,
where a tensor has no memory of its own, the core runs instead.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ksubset._call.masks import LOW
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends._cpu import dispatch, dispatch_fixed
from ksubset.backends.torch.transforms import is_recorded

if TYPE_CHECKING:
    import numpy as np

    from ksubset.backends._cpu.calls import Path

DEVICE = "cpu"
DTYPES = {torch.float32: "float32", torch.float64: "float64"}


def is_plain(*tensors: Tensor, device: str = DEVICE) -> bool:
    """Whether all have memory on such a device: eager, of no subclass, and no dispatch mode records what happens."""
    if torch.compiler.is_compiling() or is_recorded():
        return False
    return all(_has_memory(x, device) for x in tensors)


def _has_memory(x: Tensor, device: str) -> bool:
    if type(x) not in (Tensor, torch.nn.Parameter) or x.layout is not torch.strided:
        return False
    if not x.is_cpu if device == DEVICE else x.device.type != device:
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(x)


def path(law: Law, name: str, parameters: Tensor) -> "Path | str":
    """Say which kernel a call takes, or why it takes the core."""
    if not is_plain(parameters):
        return "kernels take plain CPU tensors, outside of torch.func and torch.compile"
    return dispatch.choose(law, name, parameters.shape, DTYPES.get(parameters.dtype, str(parameters.dtype)))


def takes(law: Law, name: str, parameters: Tensor, *arrays: Tensor) -> bool:
    """Whether the kernels take a call."""
    others = arrays if law.counts is None else (law.counts, *arrays)
    if others and not is_plain(*others):
        return False
    return not isinstance(path(law, name, parameters), str)


class Tensors:
    """The memory of tensors; see ``_cpu.launch.Memory``."""

    def dtype(self, x: Tensor) -> "np.dtype[Any]":
        return _dtype(x.dtype)

    def empty(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return like.new_empty(shape)

    def double(self, x: Tensor) -> Tensor:
        return x.double()

    def integers(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, dtype=torch.int64, device="cpu")

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

    def view(self, x: Tensor) -> "np.ndarray":
        return x.numpy(force=True)

    def viewed(self, x: "np.ndarray") -> Tensor:
        return torch.as_tensor(x)

    def threads(self) -> int:
        return torch.get_num_threads()


TENSORS = Tensors()


@cache
def _dtype(dtype: torch.dtype) -> "np.dtype[Any]":
    import numpy as np

    return np.dtype(DTYPES[dtype])


def evaluate(function: Callable[..., Any], law: Law, parameters: Tensor, *arrays: Tensor) -> Tensor:
    """The value of one of `dispatch.FUNCTIONS`, or `dispatch.COUNTS`."""
    threads = torch.get_num_threads()
    if isinstance(law, FixedSize) and dispatch_fixed.fits(function, parameters, *arrays):
        value: Tensor = dispatch_fixed.evaluate(function, law, parameters, *arrays, threads=threads, memory=TENSORS)
        return value
    values = (_view(x) for x in arrays)
    return torch.from_numpy(dispatch.evaluate(function, _viewed(law), _view(parameters), *values, threads=threads))


def at_once(function: Callable[..., Any], k: int, logits: Tensor, second: Tensor | None) -> Tensor | None:
    """The value of a call on plain tensors without derivatives, if it stays on this thread; None for others."""
    if logits.dtype not in DTYPES or (second is not None and second.dtype != logits.dtype) or dispatch.obstacle():
        return None
    value: Tensor | None = small().value(function, k, TENSORS, -LOW, logits, second)
    return value


def draw_at_once(logits: Tensor, k: int) -> Callable[[int], tuple[Tensor, Tensor]] | None:
    """A draw from a seed, with λ, if it stays on this thread; None for others."""
    if logits.dtype not in DTYPES or dispatch.obstacle():
        return None
    call: Callable[[int], tuple[Tensor, Tensor]] | None = small().ready(functions.sample, k, TENSORS, -LOW, logits)
    return call


@cache
def small() -> Any:
    """Kernels on the calling thread."""
    from ksubset.backends._cpu import small

    return small


def product(law: FixedSize, logits: Tensor, v: Tensor, shifts: Tensor) -> Tensor:
    """J · v from λ."""
    known = {"shifts": shifts, "threads": torch.get_num_threads(), "memory": TENSORS}
    image: Tensor = dispatch_fixed.kernels().jacobian_product(logits, law.k, v, law.width, **known)
    return image


def moments(law: Law, parameters: Tensor, *, sides: bool = True) -> Any:
    """The moments, with both marginals or, if the law allows it, without them."""
    found = dispatch.moments(_viewed(law), _view(parameters), sides=sides, threads=torch.get_num_threads())
    parts = (getattr(found, field.name) for field in fields(found))
    return type(found)(*(None if x is None else torch.from_numpy(x) for x in parts))


def by_kernels(function: Callable[..., Any], law: Law) -> Law:
    """The law for functions of which ``functions.asks_kernels`` is true."""
    return dispatch.by_kernels(function, law, torch.get_num_threads(), TENSORS)


def sample(
    law: Law, parameters: Tensor, seed: int, sample_shape: tuple[int, ...], places: int = 0
) -> tuple[Tensor, Any]:
    """Draw subsets, or with places for them the indices; also λ where subsets have one size."""
    threads = torch.get_num_threads()
    if isinstance(law, FixedSize):
        given = parameters, law.k, seed, sample_shape, law.width
        found: tuple[Tensor, Any] = dispatch_fixed.kernels().sample(
            *given, places=places, threads=threads, memory=TENSORS
        )
        return found
    drawn = dispatch.sample(law, _view(parameters), seed, sample_shape, places=places, threads=threads)
    return torch.from_numpy(drawn), None


def draw_indices(
    law: Law, parameters: Tensor, places: int, generator: torch.Generator | None, sample_shape: tuple[int, ...]
) -> Tensor:
    """The items of the subsets that `draw` draws."""
    return sample(law, parameters, seed(generator), sample_shape, places)[0]


def seed(generator: torch.Generator | None) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator, device="cpu"))


def _view(x: Tensor) -> "np.ndarray":
    """The memory of a tensor as a NumPy array."""
    return x.numpy(force=True)


def _viewed(law: Law) -> Law:
    return law if law.counts is None else law.sized(_view(law.counts))
