"""Derivatives for torch: `ksubset._law.derivatives` attached through `torch.autograd.Function`.

`Evaluate` and `Product` are in the form that `torch.func` and `torch.compile` understand. Their forward-mode
subclasses are chosen outside of `torch.compile`, which refuses a Function that defines one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import array_api_compat.torch as xp
import torch
from torch import Tensor

from ksubset._law import functions
from ksubset._law.derivatives import RULES, Inverse
from ksubset._law.law import Law
from ksubset.backends.torch.ops import LAZY
from ksubset.backends.torch.transforms import (
    for_each_draw,
    forward_over_forward,
    is_derived_while_compiling,
    is_tracked,
    lifted,
    mapped,
)

Value = Callable[..., Tensor]


@dataclass(frozen=True)
class Evaluation:
    """The parameters of a call, apart from its tensors.

    Attributes
    ----------
    function
        One of ``ksubset._law.functions``.
    law
        The law in its static form; its sizes, where they are a tensor, come as k.
    value
        ``value(call, parameters, k, *arrays)`` computes the value.
    solution
        The moments, where they are known.
    sampler
        ``sampler(law, parameters, k, seed)`` draws the sample, where that takes a seed in the place of uniforms.
    """

    function: Callable[..., Any]
    law: Law
    value: Value
    solution: Any = None
    sampler: Value | None = None

    def other(self, function: Callable[..., Any]) -> "Evaluation":
        """The call of another function of the same distribution."""
        return Evaluation(function, self.law, self.value)


@dataclass(frozen=True)
class Differentiable:
    """Marginals and J · v as torch differentiates them; see `ksubset._law.derivatives.Differentiable`."""

    call: Evaluation
    k: Tensor | None
    xp: Any = xp

    @property
    def law(self) -> Law:
        return self.call.law

    def marginals(self, parameters: Tensor) -> Tensor:
        return evaluate(self.call.other(functions.marginals), parameters, self.k)

    def product(self, parameters: Tensor, v: Tensor) -> Tensor:
        return product(self.call, parameters, self.k, v)

    def inverse_product(self, logits: Tensor, v: Tensor) -> Tensor:
        return inverse_product(self.call, logits, self.k, v)

    def constant(self, x: Tensor) -> Tensor:
        return x.detach()

    def summed(self, x: Tensor, like: Tensor) -> Tensor:
        return x.sum_to_size(like.shape)


def evaluate(call: Evaluation, logits: Tensor, k: Tensor | None, *arrays: Tensor) -> Tensor:
    """The value of a function, with its derivatives."""
    if torch.compiler.is_compiling() and call.function not in RULES:  # no Function there is without a derivative
        return call.value(call, logits.detach(), k, *(x.detach() for x in arrays))
    return _apply(Evaluate, EvaluateForward, call, logits, k, *arrays)


def product(call: Evaluation, logits: Tensor, k: Tensor | None, v: Tensor) -> Tensor:
    """J · v, with its derivatives."""
    return _linear(call.other(functions.marginals_jvp), logits, k, v)


def inverse_product(call: Evaluation, logits: Tensor, k: Tensor | None, v: Tensor) -> Tensor:
    """The x of J · x = v, with its derivatives."""
    return _linear(call.other(functions.jacobian_solve), logits, k, v)


def _linear(call: Evaluation, logits: Tensor, k: Tensor | None, v: Tensor) -> Tensor:
    return _apply(Product, ProductForward, call, logits, k, v)


def _apply(compiled: Any, eager: Any, call: Evaluation, logits: Tensor, k: Tensor | None, *arrays: Tensor) -> Tensor:
    """Choose the form of a Function that the caller's transformation understands."""
    result: Tensor
    if torch.compiler.is_compiling():
        if is_derived_while_compiling():
            result = compiled.apply(call, logits, *lifted(logits, k, *arrays))
        else:  # an operation, with derivatives of its own
            result = call.value(call, logits, k, *arrays)
    elif not is_tracked(logits, *arrays):
        result = call.value(call, logits, k, *arrays)
    elif forward_over_forward():
        result = _plain(call, logits, k, *arrays)
    else:
        result = eager.apply(call, logits, k, *arrays)
    return result


class Evaluate(torch.autograd.Function):
    """A function with a rule in `RULES`, or one without a derivative."""

    @staticmethod
    def forward(call: Evaluation, parameters: Tensor, k: Tensor | None, *arrays: Tensor) -> Tensor:
        value = call.value(call, parameters, k, *arrays)
        return value.clone() if call.function is functions.rsample else value  # of views torch takes no tangents

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.call, parameters, k, *arrays = inputs
        ctx.shape, ctx.rule = output.shape, RULES.get(ctx.call.function)
        ctx.set_materialize_grads(False)
        if ctx.rule is None:
            ctx.mark_non_differentiable(output)
            return
        kept = k, *ctx.rule.kept((parameters, *arrays), output)
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> Any:
        nothing = [None] * len(ctx.needs_input_grad)
        if grad is None:
            return (*nothing,)
        k, *kept = ctx.saved_tensors
        first, *others = ctx.rule.vjp(Differentiable(ctx.call, k), (*kept,), grad)
        return None, first, None, *others, *nothing[3 + len(others) :]

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Evaluation, logits: Tensor, k: Any, *arrays: Tensor) -> Any:
        moved, place = mapped(call.function, info.batch_size, in_dims[1:], logits, k, arrays)
        return evaluate(call, *moved), place


class EvaluateForward(Evaluate):
    """With forward mode."""

    @staticmethod
    def jvp(ctx: Any, _: None, dparameters: Tensor | None, dk: None, *darrays: Tensor | None) -> Tensor | None:
        if ctx.rule is None:
            return None
        k, *kept = ctx.saved_tensors
        change = ctx.rule.jvp(Differentiable(ctx.call, k), (*kept,), (dparameters, *darrays))
        return for_each_draw(change, ctx.shape)


class Product(torch.autograd.Function):
    """J · v, or the x of J · x = v: linear and symmetric in v. Both derive in the logits from J · v, as array code."""

    @staticmethod
    def forward(call: Evaluation, logits: Tensor, k: Tensor | None, v: Tensor) -> Tensor:
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
        logits, k, _ = ctx.saved_tensors
        image = partial(_linear, ctx.call, logits, k)
        wanted = ctx.needs_input_grad[1], ctx.needs_input_grad[3]
        dlogits, dv = linear_gradients(ctx.call, ctx.saved_tensors, grad, image, wanted)
        return None, dlogits, None, dv

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], call: Evaluation, logits: Tensor, k: Any, v: Tensor) -> Any:
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


def linear_gradients(
    call: Evaluation,
    kept: tuple[Tensor, Tensor | None, Tensor],
    grad: Tensor,
    image: Callable[[Tensor], Tensor],
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of J · v, or of the x of J · x = v, with the logits and v; ``image`` maps v to the same again.

    ``kept`` has the logits, k, and v or x.
    """
    logits, k, v = kept
    if call.function is functions.jacobian_solve:
        dv = image(grad)
        return -_third_cumulant(call, logits, k, v, dv) if wanted[0] else None, dv
    dlogits = _third_cumulant(call, logits, k, v, grad).sum_to_size(logits.shape) if wanted[0] else None
    return dlogits, image(grad).sum_to_size(v.shape) if wanted[1] else None


def _third_cumulant(call: Evaluation, logits: Tensor, k: Tensor | None, v: Tensor, w: Tensor) -> Tensor:
    """Σ_jk κ_ijk v_j w_k, the derivative of J · v along w: symmetric, so reverse mode gives the forward one as well."""
    call = call.other(functions.marginals_jvp)
    shape = (logits + v).shape
    logits, v, w = logits.expand(shape), v.expand(shape), w.expand(shape)
    result: Tensor = torch.func.vjp(lambda x: _plain(call, x, k, v), logits)[1](w)[0]
    return result


def _plain(call: Evaluation, logits: Tensor, k: Tensor | None, *arrays: Tensor) -> Tensor:
    """The core's array code, which torch differentiates step by step."""
    if call.function is functions.jacobian_solve or isinstance(RULES.get(call.function), Inverse):
        name = call.function.__name__
        raise NotImplementedError(f"{name} has no forward mode within forward mode: let one be reverse mode")
    law = call.law.sized(k)
    result: Tensor = call.function(LAZY, law, logits, *arrays)
    if call.function is functions.rsample:
        mean: Tensor = functions.marginals(LAZY, law, logits)
        result = result.detach() + (mean - mean.detach())
    return result
