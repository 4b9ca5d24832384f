"""The torch transformations that are under way when a function is called, and broadcasting for `torch.func.vmap`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ksubset._law.functions import DRAWING

_is_included, _PRE_DISPATCH = torch._C._dispatch_tls_is_dispatch_key_included, torch._C.DispatchKey.PreDispatch


def is_recorded() -> bool:
    """Whether a dispatch mode records what happens: that of `make_fx`, before dispatch too, or one of a user's."""
    return bool(torch._C._len_torch_dispatch_stack()) or _is_included(_PRE_DISPATCH)


def is_tracked(*tensors: Tensor) -> bool:
    """Whether some derivative or transformation is under way; if not, a Function would only cost time."""
    if torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
        return True
    return is_differentiated(*tensors)


def is_differentiated(*tensors: Tensor) -> bool:
    """Whether torch's own autograd records the operations on some tensor."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def forward_over_forward() -> bool:
    """Inside two forward-mode transforms torch drops the outer tangent of a Function (pytorch issue 197867)."""
    if torch.compiler.is_compiling():  # a frame by itself, whose answer is not used
        return False
    stack = torch._C._functorch.get_interpreter_stack() or []
    return sum(level.key() == torch._C._functorch.TransformType.Jvp for level in stack) > 1


def mapped(
    function: Callable[..., Any],
    size: int,
    in_dims: tuple[Any, ...],
    logits: Tensor,
    k: Tensor | None,
    arrays: tuple[Tensor, ...],
) -> tuple[list[Any], int]:
    """The tensors of a function as `_batch_first` gives them, and where its value has the mapped dimension."""
    draws = 0
    if function in DRAWING:
        draws = arrays[0].ndim - logits.ndim - (in_dims[2] is not None) + (in_dims[0] is not None)
    return _batch_first(size, in_dims, logits, k, arrays, draws), draws


def _batch_first(
    size: int, in_dims: tuple[Any, ...], logits: Tensor, k: Tensor | None, arrays: tuple[Tensor, ...], draws: int
) -> list[Any]:
    """Give every tensor the mapped dimension as its first batch dimension, so that they broadcast."""
    ranks = [x.ndim - (dim is not None) for x, dim in zip((logits, *arrays), (in_dims[0], *in_dims[2:]), strict=True)]
    rank = max(ranks[:1] + [rank - draws for rank in ranks[1:]])

    def first(x: Tensor, dim: int | None, rank: int, draws: int = 0) -> Tensor:
        x = x.movedim(dim, 0) if dim is not None else x.expand(size, *x.shape)
        missing = rank - (x.ndim - 1 - draws)
        x = x.reshape(size, *x.shape[1 : 1 + draws], *(1,) * missing, *x.shape[1 + draws :])
        return x.movedim(0, draws)

    counts = None if k is None else first(k, in_dims[1], rank - 1)
    companions = [first(x, dim, rank, draws) for x, dim in zip(arrays, in_dims[2:], strict=True)]
    return [first(logits, in_dims[0], rank), counts, *companions]


def for_each_draw(tangent: Tensor, shape: torch.Size) -> Tensor:
    """The tangent of a row for each of its samples; torch takes no view of it."""
    return tangent if tangent.shape == shape else tangent.expand(shape).clone()


ONE = (
    "within a program that torch.compile traces, ksubset takes one derivative, by torch.func.grad or vjp, and "
    "marginals_jvp is one; take others and forward ones of the compiled function, or do not compile"
)


def is_derived_while_compiling() -> bool:
    """Whether `torch.func` takes a reverse derivative of a call, within the program that `torch.compile` traces.

    Raises
    ------
    NotImplementedError
        If it takes others, which a Function would answer wrongly there: forward ones, or any beside another level.
        `torch.compile` then runs the code around the call uncompiled, unless ``fullgraph`` forbids it.
    """
    reverse, others = _levels_while_compiling()
    if others:
        raise NotImplementedError(ONE)
    return reverse


def refuse_derivatives_while_compiling() -> None:
    """Raise where `torch.func` takes a derivative of J · v in such a program: with the logits it would be 0.

    Raises
    ------
    NotImplementedError
        As `is_derived_while_compiling` does.
    """
    if any(_levels_while_compiling()):
        raise NotImplementedError(ONE)


def lifted(like: Tensor, *tensors: Tensor | None) -> list[Tensor | None]:
    """The same numbers at the level of `torch.func` at which ``like`` is tracked; an operation takes only one level."""
    nothing = torch.where(torch.zeros_like(like, dtype=torch.bool), like, 0).sum()
    return [None if x is None else x + nothing.to(x.dtype) for x in tensors]


def _levels_while_compiling() -> tuple[bool, bool]:
    """Whether there is a reverse derivative, and any that a Function would answer wrongly."""
    kinds = [level.key() for level in torch._C._functorch.get_interpreter_stack() or ()]
    forward = torch._C._functorch.TransformType.Jvp in kinds or torch.autograd.forward_ad._current_level >= 0
    reverse = torch._C._functorch.TransformType.Grad in kinds
    return reverse, forward or (reverse and len(kinds) > 1)


vars(_levels_while_compiling)["_dynamo_marked_constant"] = True  # torch.compiler.assume_constant_result imports Dynamo
