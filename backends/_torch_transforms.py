"""What torch has under way when a function is called, and how the operands of `torch.func.vmap` come to broadcast."""

from typing import Any

import torch
from torch import Tensor


def is_tracked(*tensors: Tensor) -> bool:
    """Whether some derivative or transformation is under way; if not, a Function would only cost time."""
    if torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
        return True
    return is_differentiated(*tensors)


def is_differentiated(*tensors: Tensor) -> bool:
    """Whether torch's own autograd records what becomes of some tensor."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def forward_over_forward() -> bool:
    """Inside two forward-mode transforms torch drops the outer tangent of a Function (pytorch issue 197867)."""
    if torch.compiler.is_compiling():  # a frame by itself, whose answer is not used
        return False
    stack = torch._C._functorch.get_interpreter_stack() or []
    return sum(level.key() == torch._C._functorch.TransformType.Jvp for level in stack) > 1


def batch_first(
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


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch leaves it so
def derivatives_while_compiling() -> int:
    """How many levels of `torch.func` are around a call in the program that is traced, if they take derivatives.

    2 stands for what a Function would answer wrongly there: forward derivatives, and any other level beside a reverse
    one.
    """
    kinds = [level.key() for level in torch._C._functorch.get_interpreter_stack() or ()]
    forward = torch._C._functorch.TransformType.Jvp in kinds or torch.autograd.forward_ad._current_level >= 0
    reverse = torch._C._functorch.TransformType.Grad in kinds
    return 2 if forward or (reverse and len(kinds) > 1) else int(reverse)
