"""Torch as the engine sees it."""

from functools import partial

import array_api_compat.torch as xp
import torch

from ksubset._engine.ops import Ops, choose_needed, repeat_until_settled
from ksubset.backends.torch.transforms import is_recorded


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
    return torch.from_numpy(np.sort(x.numpy(force=True), axis=-1))


def _scatter(x: torch.Tensor, places: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return x.scatter(-1, places, values)


EAGER = Ops(
    xp,
    _matmul,
    _sort_on_cpu,
    repeat_until_settled(torch),
    choose=choose_needed(torch),
    join=torch.complex,
    item_sums=partial(torch.sum, dim=0),
    scatter=_scatter,
    stop_gradient=torch.Tensor.detach,
    sweeps=True,
    eager_on_cpu=True,
)
LAZY = Ops(
    xp,
    _matmul,
    _sort,
    join=torch.complex,
    item_sums=partial(torch.sum, dim=0),
    scatter=_scatter,
    stop_gradient=torch.Tensor.detach,
)


def is_readable(x: torch.Tensor) -> bool:
    """On the CPU with data of its own, neither under `torch.func` nor `torch.compile`, and nothing records it."""
    if not x.is_cpu or torch.compiler.is_compiling() or is_recorded():
        return False
    if type(x).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:  # a fake tensor, or one made of others
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(x)


def ops_for(x: torch.Tensor) -> Ops:
    """The engine's operations for a tensor."""
    return EAGER if is_readable(x) else LAZY
