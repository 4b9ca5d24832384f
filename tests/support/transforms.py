"""The same transformations in the words of torch and of JAX."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from capabilities import needs

differentiable = needs("reverse mode")
"""Runs on every target that differentiates."""

Function = Callable[..., Any]


@dataclass(frozen=True)
class Transforms:
    """Each takes a function and returns one, as in `torch.func` and `jax`."""

    grad: Callable[..., Function]
    jacrev: Callable[..., Function]
    jacfwd: Callable[..., Function]
    hessian: Callable[..., Function]
    vmap: Callable[..., Function]
    compile: Callable[..., Function]
    jvp: Callable[..., Any]
    vjp: Callable[..., Any]


def transforms(backend: str) -> Transforms:
    if backend == "torch":
        import torch
        from torch import func

        def compiled(function: Function) -> Function:
            return torch.compile(function, fullgraph=True, backend="aot_eager")

        def vmap(function: Function, in_dims: Any = 0) -> Function:
            return func.vmap(function, in_dims=in_dims, randomness="different")

        return Transforms(func.grad, func.jacrev, func.jacfwd, func.hessian, vmap, compiled, func.jvp, func.vjp)
    import jax

    return Transforms(jax.grad, jax.jacrev, jax.jacfwd, jax.hessian, jax.vmap, jax.jit, jax.jvp, jax.vjp)
