"""Functions and draws in programs that `torch.compile` traces, with their derivatives.

They are opaque operations, and their derivatives are attached to them: a compiled `torch.vmap` would lose the
derivatives of a Function around one. Only `torch.func` within the program needs Functions, which `autograd` has. A draw
comes from a random integer, which torch draws in the program, so that the same state of its generator repeats it.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ksubset._law import functions
from ksubset._law.derivatives import RULES, find
from ksubset._law.law import Law
from ksubset.backends.torch import operations
from ksubset.backends.torch.autograd import Differentiable, Evaluation, linear_gradients

LINEAR = (functions.marginals_jvp, functions.jacobian_solve)


def evaluate_compiled(name: str, law: Law, parameters: Tensor, k: Tensor | None, arrays: tuple[Tensor, ...]) -> Tensor:
    """One of ``ksubset._law.functions`` by name; ``k`` has the sizes that the static form of the law lacks."""
    result: Tensor = operations.evaluate(name, *operations.numbers_of(law), parameters, k, arrays)
    return result


def draw_compiled(
    sample_shape: tuple[int, ...], law: Law, parameters: Tensor, k: Tensor | None, seed: Tensor
) -> Tensor:
    """`dispatch.draw_from` in a compiled program."""
    result: Tensor = operations.draw(*operations.numbers_of(law), parameters, k, seed, sample_shape)[0]
    return result


class ByOperations(Differentiable):
    """Marginals and J · v where an operation is derived."""

    def marginals(self, parameters: Tensor) -> Tensor:
        return self._evaluate("marginals", parameters)

    def product(self, parameters: Tensor, v: Tensor) -> Tensor:
        return self._evaluate("marginals_jvp", parameters, v)

    def inverse_product(self, logits: Tensor, v: Tensor) -> Tensor:
        return self._evaluate("jacobian_solve", logits, v)

    def _evaluate(self, name: str, parameters: Tensor, *arrays: Tensor) -> Tensor:
        return evaluate_compiled(name, self.law, parameters, self.k, arrays)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    name, weighted, numbers, parameters, k, arrays = inputs
    ctx.function, ctx.law = find(name), operations.law_of(weighted, numbers, None)
    if ctx.function in LINEAR:
        kept = parameters, output if ctx.function is functions.jacobian_solve else arrays[0]
    else:
        kept = RULES[ctx.function].kept((parameters, *arrays), output)
    ctx.save_for_backward(k, *kept)


def _gradients(ctx: Any, grad: Tensor) -> Any:
    k, *kept = ctx.saved_tensors
    wanted = ctx.needs_input_grad[3], *ctx.needs_input_grad[5]
    by = ByOperations(Evaluation(ctx.function, ctx.law, operations.evaluate), k)
    if ctx.function in LINEAR:
        logits, v = kept
        image = by.product if ctx.function is functions.marginals_jvp else by.inverse_product
        first, *others = linear_gradients(by.call, (logits, k, v), grad, partial(image, logits), wanted)
    else:
        first, *others = RULES[ctx.function].vjp(by, (*kept,), grad)
    others += [None] * (len(wanted) - 1 - len(others))
    return None, None, None, first, None, others


def _keep_draw(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *ctx.law, parameters, k, _, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(parameters, k, output[1])


def _gradient_of_draw(ctx: Any, grad: Tensor, _: Any) -> Any:
    """By J · v, from the λ that the sampler found unless that is derived again."""
    (weighted, numbers), (parameters, k, shifts) = ctx.law, ctx.saved_tensors
    v = grad.sum_to_size(parameters.shape)
    if torch.is_grad_enabled():
        image = evaluate_compiled("marginals_jvp", operations.law_of(weighted, numbers, None), parameters, k, (v,))
    else:
        image = operations.product(weighted, numbers, parameters, k, v, shifts)
    return None, None, image, None, None, None


operations.evaluate.register_autograd(_gradients, setup_context=_keep)
operations.draw.register_autograd(_gradient_of_draw, setup_context=_keep_draw)
