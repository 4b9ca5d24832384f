"""Derivatives for torch: `ksubset._law.derivatives` attached through `torch.autograd.Function`.

`Evaluate` and `Product` are in the form that `torch.func` and `torch.compile` understand. Their forward-mode
subclasses are chosen outside of `torch.compile`, which refuses a Function that defines one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import array_api_compat.torch as xp
import torch
from torch import Tensor

from ksubset._law import functions
from ksubset._law.derivatives import (
    GRADIENTS,
    INVERSES,
    JACOBIANS,
    MAPS,
    change_of_logits,
    find,
    gradient_of_marginals,
    moments,
)
from ksubset.backends.torch.transforms import (
    for_each_draw,
    forward_over_forward,
    is_derived_while_compiling,
    is_differentiated,
    is_tracked,
    mapped,
)

Value = Callable[..., Tensor]


@dataclass(frozen=True)
class Call:
    """The parameters of a call, apart from its tensors.

    Attributes
    ----------
    name
        The name of one of ``ksubset._law.functions`` or ``ksubset._law.weighted``.
    size
        k where it is one number, else −1 and k a tensor.
    width
        A static bound on min(k, n − k).
    value
        ``value(call, logits, k, *arrays)`` computes the value.
    solution
        The solution, where it is known.
    sampler
        ``sampler(logits, k)`` draws the sample, where that takes no uniforms. It holds no tensor that it returns:
        such a tensor would hold itself through the node of its gradient.
    """

    name: str
    size: int
    width: int
    value: Value
    solution: Any = None
    sampler: Callable[[Tensor, int | Tensor], Tensor] | None = None

    @property
    def function(self) -> Callable[..., Any]:
        return find(self.name)

    def other(self, function: Callable[..., Any]) -> "Call":
        """The call of another function of the same distribution."""
        return Call(function.__name__, self.size, self.width, self.value)


@dataclass(frozen=True)
class Differentiable:
    """Marginals and J · v as torch differentiates them; see `ksubset._law.derivatives.Differentiable`."""

    call: Call
    k: Tensor | None
    xp: Any = xp

    def marginals(self, logits: Tensor) -> Tensor:
        return evaluate(self.call.other(moments(self.call.function)[0]), logits, self.k)

    def product(self, logits: Tensor, v: Tensor) -> Tensor:
        return product(self.call, logits, self.k, v)

    def solve(self, logits: Tensor, v: Tensor) -> Tensor:
        return solve(self.call, logits, self.k, v)


def evaluate(call: Call, logits: Tensor, k: Tensor | None, *arrays: Tensor) -> Tensor:
    """The value of a function, with its derivatives."""
    return _apply(Evaluate, EvaluateForward, call, logits, k, *arrays)


def product(call: Call, logits: Tensor, k: Tensor | None, v: Tensor) -> Tensor:
    """J · v, with its derivatives."""
    return _linear(call.other(moments(call.function)[1]), logits, k, v)


def solve(call: Call, logits: Tensor, k: Tensor | None, v: Tensor) -> Tensor:
    """The x of J · x = v, with its derivatives."""
    return _linear(call.other(functions.jacobian_solve), logits, k, v)


def _linear(call: Call, logits: Tensor, k: Tensor | None, v: Tensor) -> Tensor:
    return _apply(Product, ProductForward, call, logits, k, v)


def _apply(compiled: Any, eager: Any, call: Call, logits: Tensor, k: Tensor | None, *arrays: Tensor) -> Tensor:
    """Choose the form of a Function that the caller's transformation understands."""
    result: Tensor
    if torch.compiler.is_compiling():
        needed = is_derived_while_compiling() or is_differentiated(logits, *arrays)
        result = (compiled.apply if needed else call.value)(call, logits, k, *arrays)
    elif not is_tracked(logits, *arrays):
        result = call.value(call, logits, k, *arrays)
    elif forward_over_forward():
        result = _plain(call, logits, k, *arrays)
    else:
        result = eager.apply(call, logits, k, *arrays)
    return result


class Evaluate(torch.autograd.Function):
    """A function of `GRADIENTS` or `JACOBIANS`, or one without a derivative."""

    @staticmethod
    def forward(call: Call, logits: Tensor, k: Tensor | None, *arrays: Tensor) -> Tensor:
        value = call.value(call, logits, k, *arrays)
        return value.clone() if call.function is functions.rsample else value  # of views torch takes no tangents

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.call, *tensors = inputs
        ctx.shape = output.shape
        ctx.set_materialize_grads(False)
        if ctx.call.function in JACOBIANS:
            tensors = tensors[:2]
        elif ctx.call.function in INVERSES:
            tensors = [output, tensors[1]]
        elif ctx.call.function in MAPS:
            tensors = [*tensors, output]
        elif ctx.call.function not in GRADIENTS:
            ctx.mark_non_differentiable(output)
            return
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> Any:
        nothing = [None] * (len(ctx.needs_input_grad) - 2)
        if grad is None:
            return None, None, *nothing
        logits, k, *arrays = ctx.saved_tensors
        rules, call = Differentiable(ctx.call, k), ctx.call
        if call.function in JACOBIANS:
            image = rules.product(logits, JACOBIANS[call.function] * grad.sum_to_size(logits.shape))
            return None, image, *nothing
        if call.function in INVERSES:
            return None, gradient_of_marginals(rules, logits, grad), *nothing
        if call.function in MAPS:
            return None, MAPS[call.function][1](rules, logits, arrays[0].detach(), grad), *nothing
        gradients = GRADIENTS[call.function](rules, logits, *arrays)
        pulled = [(grad[..., None] * g).sum_to_size(x.shape) for g, x in zip(gradients, (logits, *arrays), strict=True)]
        return None, pulled[0], None, *pulled[1:]

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Call, logits: Tensor, k: Any, *arrays: Tensor) -> Any:
        moved, place = mapped(call.function, info.batch_size, in_dims[1:], logits, k, arrays)
        return evaluate(call, *moved), place


class EvaluateForward(Evaluate):
    """With forward mode."""

    @staticmethod
    def jvp(ctx: Any, _: None, dlogits: Tensor | None, dk: None, *darrays: Tensor | None) -> Tensor | None:
        if ctx.call.function not in {*JACOBIANS, *GRADIENTS, *INVERSES, *MAPS}:
            return None
        logits, k, *arrays = ctx.saved_tensors
        rules, call = Differentiable(ctx.call, k), ctx.call
        if call.function in JACOBIANS:
            if dlogits is None:
                return None
            return for_each_draw(JACOBIANS[call.function] * rules.product(logits, dlogits), ctx.shape)
        if call.function in INVERSES:
            return None if dlogits is None else change_of_logits(rules, logits, dlogits)
        if call.function in MAPS:
            return None if dlogits is None else MAPS[call.function][0](rules, logits, arrays[0].detach(), dlogits)
        gradients = GRADIENTS[call.function](rules, logits, *arrays)
        terms = [(g * d).sum(-1) for g, d in zip(gradients, (dlogits, *darrays), strict=True) if d is not None]
        return sum(terms[1:], terms[0]) if terms else None


class Product(torch.autograd.Function):
    """J · v, or the x of J · x = v: linear and symmetric in v. Both derive in the logits from J · v, as array code."""

    @staticmethod
    def forward(call: Call, logits: Tensor, k: Tensor | None, v: Tensor) -> Tensor:
        return call.value(call, logits, k, v)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.call, *tensors = inputs
        ctx.set_materialize_grads(False)
        if ctx.call.function is functions.jacobian_solve:
            tensors[2] = output
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> Any:
        if grad is None:
            return None, None, None, None
        call, (logits, k, v) = ctx.call, ctx.saved_tensors
        dlogits, dv = None, None
        if call.function is functions.jacobian_solve:
            dv = _linear(call, logits, k, grad)
            if ctx.needs_input_grad[1]:
                dlogits = -_third_cumulant(call, logits, k, v, dv)
            return None, dlogits, None, dv
        if ctx.needs_input_grad[1]:
            dlogits = _third_cumulant(call, logits, k, v, grad).sum_to_size(logits.shape)
        if ctx.needs_input_grad[3]:
            dv = _linear(call, logits, k, grad).sum_to_size(v.shape)
        return None, dlogits, None, dv

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Call, logits: Tensor, k: Any, v: Tensor) -> Any:
        moved, place = mapped(call.function, info.batch_size, in_dims[1:], logits, k, (v,))
        return _linear(call, *moved), place


class ProductForward(Product):
    """With forward mode."""

    @staticmethod
    def jvp(ctx: Any, _: None, dlogits: Tensor | None, dk: None, dv: Tensor | None) -> Tensor:
        call, (logits, k, v) = ctx.call, ctx.saved_tensors
        solving = call.function is functions.jacobian_solve
        terms = []
        if dlogits is not None:
            change = _third_cumulant(call, logits, k, v, dlogits)
            terms.append(-_linear(call, logits, k, change) if solving else change)
        if dv is not None:
            terms.append(_linear(call, logits, k, dv))
        return sum(terms[1:], terms[0])


def _remember_signature(function: Any) -> None:
    """Torch asks for the signature of ``forward`` at every call, and it takes long to work out."""
    function.__signature__ = signature(function)


_remember_signature(Evaluate.forward)
_remember_signature(Product.forward)


def _third_cumulant(call: Call, logits: Tensor, k: Tensor | None, v: Tensor, w: Tensor) -> Tensor:
    """Σ_jk κ_ijk v_j w_k, the derivative of J · v along w: symmetric, so reverse mode gives the forward one as well."""
    call = call.other(moments(call.function)[1])
    shape = (logits + v).shape
    logits, v, w = logits.expand(shape), v.expand(shape), w.expand(shape)
    result: Tensor = torch.func.vjp(lambda x: _plain(call, x, k, v), logits)[1](w)[0]
    return result


def _plain(call: Call, logits: Tensor, k: Tensor | None, *arrays: Tensor) -> Tensor:
    """The core's array code, which torch differentiates step by step."""
    from ksubset.backends.torch import LAZY

    if call.function in INVERSES or call.function is functions.jacobian_solve:
        raise NotImplementedError(f"{call.name} has no forward mode within forward mode: let one be reverse mode")
    size = call.size if k is None else k
    result: Tensor = call.function(LAZY, logits, size, call.width, *arrays)
    if call.function is functions.rsample:
        mean: Tensor = functions.marginals(LAZY, logits, size, call.width)
        result = result.detach() + (mean - mean.detach())
    return result
