"""A value whose gradient is a rule of its own, for ``ksubset.estimators``."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ksubset.backends.torch.transforms import is_differentiated

Rule = Callable[..., tuple[Tensor | None, ...]]


def surrogate(rule: Rule, value: Tensor, *arrays: Tensor) -> Tensor:
    """``value``, with the gradients ``rule(g, *arrays)`` with respect to ``arrays``."""
    if torch.compiler.is_compiling() and not is_differentiated(*arrays):  # it would take the rule for the value
        return value
    result: Tensor = Surrogate.apply(rule, value, *arrays)  # type: ignore[no-untyped-call]  # torch leaves it so
    return result


class Surrogate(torch.autograd.Function):
    """Reverse mode; `torch.func` and its ``vmap`` included."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rule: Rule, value: Tensor, *arrays: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.rule, _, *arrays = inputs
        ctx.save_for_backward(*arrays)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, None, *ctx.rule(grad, *ctx.saved_tensors)


def value_and_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The values of ``function`` and, detached, the gradient of their sum."""
    value, pullback = torch.func.vjp(function, x.detach())[:2]
    return value, pullback(torch.ones_like(value))[0].detach()


def gammas(generator: torch.Generator | None, concentration: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Gamma variates of scale 1."""
    parameter = torch.full(shape, concentration, dtype=like.dtype, device=like.device)
    return torch._standard_gamma(parameter, generator=generator)
