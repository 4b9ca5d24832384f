"""The core or a CUDA kernel as one opaque operation for `torch.compile`, which would otherwise unroll the core.

It has no derivative of its own: it is called inside the Functions of `autograd`. Eager code calls the core
directly, which costs 0.2 ms less per call.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ksubset._law.derivatives import find
from ksubset.backends.torch import cuda
from ksubset.backends.torch.transforms import mapped


@torch.library.custom_op("ksubset::evaluate", mutates_args=())
def evaluate_compiled(
    name: str, size: int, width: int, logits: Tensor, k: Tensor | None, arrays: Sequence[Tensor]
) -> Tensor:
    """One of ``ksubset._law.functions`` by name; ``size`` is k where that is one number."""
    from ksubset.backends.torch import ADAPTER

    count = size if k is None else k
    return cuda.evaluate(ADAPTER.ops(logits), find(name), logits, count, width, *arrays).contiguous()


@evaluate_compiled.register_fake
def _(name: str, size: int, width: int, logits: Tensor, k: Tensor | None, arrays: Sequence[Tensor]) -> Tensor:
    from ksubset.backends.torch import LAZY

    if name in ("logits_from_marginals", "jacobian_solve"):  # loops of many steps, whose result has a known shape
        return torch.empty_like(logits, memory_format=torch.contiguous_format)
    result: Tensor = find(name)(LAZY, logits, size if k is None else k, width, *arrays)
    return result.contiguous()


@evaluate_compiled.register_vmap
def _(
    info: Any,
    in_dims: tuple[Any, ...],
    name: str,
    size: int,
    width: int,
    logits: Tensor,
    k: Tensor | None,
    arrays: Sequence[Tensor],
) -> tuple[Tensor, int]:
    dims = (*in_dims[3:5], *in_dims[5])
    (logits, k, *arrays), place = mapped(find(name), info.batch_size, dims, logits, k, tuple(arrays))
    return evaluate_compiled(name, size, width, logits, k, arrays), place
