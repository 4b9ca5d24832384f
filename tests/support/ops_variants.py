"""The ops of a target, and variants as in other frameworks: all must give the same answers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from conftest import Target

from ksubset._engine.inference import jacobian_product, moments
from ksubset._engine.ops import Array, Ops, repeat_all
from ksubset.backends import find


def own(target: Target) -> Ops:
    """As the target has them."""
    x = target.array([0.0])
    return find(x, "x").ops(x)


def variants(target: Target) -> dict[str, Ops]:
    """As they are; for arrays whose values cannot be read; and with loops as JAX has them, which NumPy can play."""
    base = own(target)
    found = {"itself": base, "lazy": lazy(base)}
    if not base.scan:
        found["unread"] = replace(base, eager_on_cpu=False)
    if target.backend in ("numpy", "strict"):
        loop = python_scan(base.xp)
        found |= {f"{name}, in a loop": replace(found[name], scan=loop) for name in ("unread", "lazy")}
    return found


def lazy(ops: Ops) -> Ops:
    """Nothing may depend on values."""
    return replace(ops, repeat=repeat_all, choose=None, sweeps=False, item_sums=None, eager_on_cpu=False)


def python_scan(xp: Any) -> Any:
    """`jax.lax.scan` as a loop over the first axis of a tuple of arrays."""

    def scan(step: Any, carry: Any, xs: tuple[Array, ...], length: int) -> tuple[Any, tuple[Array, ...]]:
        assert all(x.shape[0] == length for x in xs)
        found = []
        for i in range(length):
            carry, y = step(carry, tuple(x[i, ...] for x in xs))
            found.append(y)
        return carry, tuple(xp.stack(ys, axis=0) for ys in zip(*found, strict=True))

    return scan


def core_moments(target: Target, ops: Ops, logits: Array, k: Any) -> list[np.ndarray]:
    """The core's own log-partition and marginals, chosen and not, of arrays of the target."""

    def function(x: Array) -> tuple[Array, ...]:
        found = moments(ops, x, k)
        return found.log_partition, found.chosen, found.unchosen

    return [target.to_numpy(x) for x in _called(target, function, logits)]


def product(target: Target, ops: Ops, logits: Array, k: Any, v: Array) -> np.ndarray:
    """The core's own J · v."""
    return target.to_numpy(_called(target, lambda x, v: jacobian_product(ops, x, k, v), logits, v))


def _called(target: Target, function: Callable[..., Any], *arrays: Array) -> Any:
    """JAX would compile a program for every single operation; one program for all is faster."""
    if target.backend == "jax":
        import jax

        return jax.jit(function)(*arrays)
    with np.errstate(all="ignore"):  # the contract speaks through inf and NaN
        return function(*arrays)
