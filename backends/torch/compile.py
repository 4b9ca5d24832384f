"""The core or a CUDA kernel as one opaque operation for `torch.compile`, which would otherwise unroll the core.

It has no derivative of its own: it is called inside the Functions of `autograd`. Eager code calls the core
directly, which costs 0.2 ms less per call.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ksubset._law.derivatives import find
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends.torch import cuda
from ksubset.backends.torch.ops import LAZY, ops_for
from ksubset.backends.torch.transforms import mapped


def evaluate_compiled(name: str, law: Law, parameters: Tensor, k: Tensor | None, arrays: tuple[Tensor, ...]) -> Tensor:
    """One of ``ksubset._law.functions`` by name; ``k`` has the sizes that the static form of the law lacks."""
    weighted, sizes = isinstance(law, SizeWeighted), cast("Any", law)
    numbers = [sizes.low, sizes.high] if weighted else [sizes.k if k is None else -1, sizes.width]
    result: Tensor = _evaluate(name, weighted, numbers, parameters, k, arrays)
    return result


def _law(weighted: bool, numbers: Sequence[int], k: Tensor | None) -> Law:
    first, second = numbers
    return SizeWeighted(first, second) if weighted else FixedSize(first if k is None else k, second)


@torch.library.custom_op("ksubset::evaluate", mutates_args=())
def _evaluate(
    name: str, weighted: bool, numbers: Sequence[int], parameters: Tensor, k: Tensor | None, arrays: Sequence[Tensor]
) -> Tensor:
    law = _law(weighted, numbers, k)
    return cuda.evaluate(ops_for(parameters), find(name), law, parameters, *arrays).contiguous()


@_evaluate.register_fake
def _(
    name: str, weighted: bool, numbers: Sequence[int], parameters: Tensor, k: Tensor | None, arrays: Sequence[Tensor]
) -> Tensor:
    if name in ("logits_from_marginals", "jacobian_solve"):  # loops of many steps, whose result has a known shape
        return torch.empty_like(parameters, memory_format=torch.contiguous_format)
    result: Tensor = find(name)(LAZY, _law(weighted, numbers, k), parameters, *arrays)
    return result.contiguous()


@_evaluate.register_vmap
def _(
    info: Any,
    in_dims: tuple[Any, ...],
    name: str,
    weighted: bool,
    numbers: Sequence[int],
    parameters: Tensor,
    k: Tensor | None,
    arrays: Sequence[Tensor],
) -> tuple[Tensor, int]:
    dims = (*in_dims[3:5], *in_dims[5])
    (parameters, k, *arrays), place = mapped(find(name), info.batch_size, dims, parameters, k, tuple(arrays))
    return _evaluate(name, weighted, numbers, parameters, k, arrays), place
