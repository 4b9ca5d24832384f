"""Programs in JAX."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from programs.execute import COMMON, Arguments, Stage, variable
from programs.grammar import MAPS, Program
from programs.rows import UNBATCHED

FIXED = (*UNBATCHED, "whole key")


@contextmanager
def settings(program: Program) -> Iterator[None]:
    with jax.enable_x64(program.x64):
        yield


def arguments(program: Program, arrays: dict[str, np.ndarray]) -> Arguments:
    made = {name: jnp.asarray(x, program.dtype if x.dtype.kind == "f" else None) for name, x in arrays.items()}
    maps = sum(name in MAPS for name in program.transforms)
    key = jax.random.key(program.seed)
    if maps:
        return {**made, "key": jax.random.split(key, program.batch[:maps])}
    return {**made, "whole key": key}


def rng(program: Program, args: Arguments) -> object:
    return args.get("whole key", args.get("key"))


def distribution(program: Program) -> Any:
    from ksubset.backends.numpyro import KSubset

    return KSubset


def to_numpy(x: Any) -> np.ndarray:
    return np.asarray(x).astype(np.float64)


def derivative(apply: Callable[..., Any]) -> Callable[[Stage, Program, int], Stage]:
    """Of a way to differentiate a function at a point along a direction."""

    def around(stage: Stage, program: Program, place: int) -> Stage:
        name = variable(program)

        def of(args: Arguments) -> Any:
            direction = args.get(f"g{place}", args.get(f"v{place}"))
            return apply(lambda x: stage({**args, name: x}), args[name], direction)

        return of

    return around


def mapped(axis: int) -> Callable[[Stage, Program, int], Stage]:
    def around(stage: Stage, program: Program, place: int) -> Stage:
        def of(args: Arguments) -> Any:
            dims = {name: None if name in FIXED else 0 for name in args} | {"logits": axis}
            return jax.vmap(stage, in_axes=(dims,))({**args, "logits": jnp.moveaxis(args["logits"], 0, axis)})

        return of

    return around


def scanned(stage: Stage, program: Program, place: int) -> Stage:
    def of(args: Arguments) -> Any:
        fixed = {name: x for name, x in args.items() if name in FIXED}
        return jax.lax.map(lambda row: stage({**fixed, **row}), {n: x for n, x in args.items() if n not in FIXED})

    return of


TRANSFORMS = {
    **COMMON,
    "jit": lambda stage, program, place: jax.jit(stage),
    "checkpoint": lambda stage, program, place: jax.checkpoint(stage),
    "grad": derivative(lambda f, x, g: jax.grad(lambda x: (f(x) * g).sum())(x)),
    "vjp": derivative(lambda f, x, g: jax.vjp(f, x)[1](g)[0]),
    "jvp": derivative(lambda f, x, v: jax.jvp(f, (x,), (v,))[1]),
    "linearize": derivative(lambda f, x, v: jax.linearize(f, x)[1](v)),
    "jacrev": derivative(lambda f, x, _: jax.jacrev(f)(x)),
    "jacfwd": derivative(lambda f, x, _: jax.jacfwd(f)(x)),
    "vmap": mapped(0),
    "vmap of the second axis": mapped(1),
    "scan": scanned,
}
