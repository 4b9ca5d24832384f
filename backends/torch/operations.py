"""A kernel or the core as one opaque operation for `torch.compile`, which would otherwise unroll the core.

A law is given by numbers, and by its sizes k where these are a tensor. `compile` calls the operations, and attaches
their derivatives.
"""

from collections.abc import Callable, Sequence
from math import nan, prod
from typing import Any, cast

import torch
from torch import Tensor

from ksubset._engine.indices import indices_of
from ksubset._law import functions
from ksubset._law.counts import count_log_pmf
from ksubset._law.derivatives import find
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends.torch import dispatch
from ksubset.backends.torch.ops import ops_for
from ksubset.backends.torch.transforms import mapped


def numbers_of(law: Law) -> tuple[bool, list[int]]:
    """The static form of a law for the arguments of an operation."""
    weighted, sizes = isinstance(law, SizeWeighted), cast("Any", law)
    if weighted:
        return True, [sizes.low, sizes.high]
    return False, [sizes.k if law.is_sized else -1, sizes.width]


def law_of(weighted: bool, numbers: Sequence[int], k: Tensor | None) -> Law:
    first, second = numbers
    return SizeWeighted(first, second) if weighted else FixedSize(first if k is None else k, second)


def shape_of(function: Callable[..., Any], law: Law, parameters: Tensor, arrays: Sequence[Tensor]) -> tuple[int, ...]:
    """The shape of a value, without the programs of the core that compute it, which torch traces for seconds."""
    batches = [x.shape[:-1] for x in (parameters, *arrays)]
    counts = [] if law.counts is None else [law.counts.shape]
    batch: tuple[int, ...] = tuple(torch.broadcast_shapes(*batches, *counts))  # type: ignore[no-untyped-call]  # torch leaves it so
    if function in functions.SOLVING:
        return batch
    if function in functions.DRAWING or function is functions.mode:
        return *batch, law.items_among(parameters.shape[-1])
    return *batch, parameters.shape[-1] + (function is count_log_pmf)


@torch.library.custom_op("ksubset::evaluate", mutates_args=())
def evaluate(
    name: str, weighted: bool, numbers: Sequence[int], parameters: Tensor, k: Tensor | None, arrays: Sequence[Tensor]
) -> Tensor:
    return dispatch.evaluate(find(name), law_of(weighted, numbers, k), parameters, *arrays).contiguous()


@evaluate.register_fake
def _(
    name: str, weighted: bool, numbers: Sequence[int], parameters: Tensor, k: Tensor | None, arrays: Sequence[Tensor]
) -> Tensor:
    return parameters.new_empty(shape_of(find(name), law_of(weighted, numbers, k), parameters, arrays))


@evaluate.register_vmap
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
    return evaluate(name, weighted, numbers, parameters, k, arrays), place


@torch.library.custom_op("ksubset::indices_of", mutates_args=())
def indices_compiled(z: Tensor, places: int) -> Tensor:
    """The items of subsets, (..., places)."""
    result: Tensor = indices_of(ops_for(z), z, places)
    return result.contiguous()


@indices_compiled.register_fake
def _(z: Tensor, places: int) -> Tensor:
    return z.new_empty((*z.shape[:-1], places), dtype=torch.int64)


@indices_compiled.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], z: Tensor, places: int) -> tuple[Tensor, int]:
    return indices_compiled(z.movedim(in_dims[0], 0), places), 0


@torch.library.custom_op("ksubset::draw", mutates_args=())
def draw(
    weighted: bool, numbers: Sequence[int], parameters: Tensor, k: Tensor | None, seed: Tensor, shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Subsets, and λ, (2, rows), NaN where it is not known."""
    z, shifts = dispatch.draw_from(law_of(weighted, numbers, k), parameters, seed, tuple(shape))
    return z.contiguous(), parameters.new_full((2, prod(parameters.shape[:-1])), nan) if shifts is None else shifts


@draw.register_fake
def _(
    weighted: bool, numbers: Sequence[int], parameters: Tensor, k: Tensor | None, seed: Tensor, shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    n = law_of(weighted, numbers, k).items_among(parameters.shape[-1])
    shifts = parameters.new_empty((2, prod(parameters.shape[:-1])))
    return parameters.new_empty((*shape, *parameters.shape[:-1], n)), shifts


@torch.library.custom_op("ksubset::product", mutates_args=())
def product(
    weighted: bool, numbers: Sequence[int], parameters: Tensor, k: Tensor | None, v: Tensor, shifts: Tensor
) -> Tensor:
    return dispatch.product_from(law_of(weighted, numbers, k), parameters, v, shifts).contiguous()


@product.register_fake
def _(
    weighted: bool, numbers: Sequence[int], parameters: Tensor, k: Tensor | None, v: Tensor, shifts: Tensor
) -> Tensor:
    return parameters.new_empty(parameters.shape)
