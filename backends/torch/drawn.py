"""Samples with the gradient of `rsample`, whose backward pass starts from the λ that a kernel's draw has found."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends.torch.cpu import is_plain
from ksubset.backends.torch.transforms import for_each_draw

Product = Callable[[FixedSize, Tensor, Tensor, Tensor], Tensor]


class _Draw(NamedTuple):
    """The data that the gradient of samples needs.

    ``product(law, logits, v, tilts)`` is J · v from λ, and ``differentiate(logits, v)`` is J · v with derivatives.
    """

    law: FixedSize
    tilts: Tensor
    product: Product
    differentiate: Callable[[Tensor, Tensor], Tensor]


def attached(
    differentiate: Callable[[Tensor, Tensor], Tensor],
    product: Product,
    function: Callable[..., Any],
    law: Law,
    parameters: Tensor,
    drawn: tuple[Tensor, Any],
) -> Tensor:
    """Subsets, ``drawn`` with λ; subsets of `rsample` with their gradient. See `_Draw`."""
    z, tilts = drawn
    derived = parameters.requires_grad or torch.autograd.forward_ad._current_level >= 0
    if function is functions.rsample and derived and isinstance(law, FixedSize):
        draw = _Draw(law, tilts, product, differentiate)
        z = Drawn.apply(parameters, law.counts, (z, draw))  # type: ignore[no-untyped-call]  # torch leaves it so
    return z


class Drawn(torch.autograd.Function):
    """A sample with the SIMPLE gradient.

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
        if torch.is_grad_enabled() or not is_plain(v, device=logits.device.type):
            return draw.differentiate(logits, v), None, None
        return draw.product(draw.law, logits, v, draw.tilts), None, None

    @staticmethod
    def jvp(ctx: Any, dlogits: Tensor, *_: None) -> Tensor:
        (logits,) = ctx.saved_tensors
        return for_each_draw(ctx.draw.differentiate(logits, dlogits), ctx.shape)
