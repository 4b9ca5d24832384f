"""Adapters: one module per framework, chosen by the type of the logits. This file imports no framework.

A module in this package is an adapter if it provides

1. ``ops(x)``: the framework as the core sees it, a `ksubset._engine.ops.Ops`, and ``namespace(x)``, its ``xp``;
2. ``is_array(x, like=None)``: whether ``x`` belongs to the framework, that of ``like`` if the adapter serves several;
3. ``is_readable(x)``: whether the values of ``x`` may be read here and now: it is eager, and on a CPU;
   ``readable(x)``: its values in the form in which they are checked fastest; ``extremes(x)``: the least
   and the largest, both NaN if one is or they cannot be read, 0 if there are none;
4. ``same_device(x, y)``: whether two arrays may be used in one operation;
5. ``uniforms(rng, shape, like)``: independent uniforms in [−1/2, 1/2), in the dtype and on the device of ``like``,
   resolved near 0 from both sides to at least 2⁻⁵², from the framework's own generator, an int seed or None;
6. ``solve(logits, k, width)``: the `ksubset._engine.inference.Solution` of a batch, without gradients;
7. ``evaluate(function, logits, k, width, *arrays, solution)``: the value of one of ``ksubset._law.functions``, or of
   ``ksubset._law.weighted``, whose ``logits`` hold log-weights too and whose k and width are the least and largest
   count, with whatever the framework needs around it: derivatives, compilation, a faster kernel;

and may, where it has faster kernels, offer

8. ``path(name, logits, width)``: how kernels compute one of ``ksubset._law.functions`` or ``ksubset._law.weighted``, or
   ``draw`` or ``weighted_draw``, a ``_cpu.calls.Path`` or ``_cuda.geometry.Launch``; or why the core does;
9. ``draw(function, logits, k, width, rng, sample_shape)``: the value of ``sample`` or ``rsample`` without uniforms that
   the core could use, or None where they go through `uniforms` and `evaluate`; and ``draw_weighted(logits, low, high,
   rng, sample_shape)``, samples under a cardinality potential;

and may, for ``ksubset.estimators``, offer

10. ``surrogate(rule, value, *arrays)``: ``value``, of which ``rule(g, *arrays)`` gives the gradients with respect to
    ``arrays``, None for those that have none; without it the estimators return values without a gradient;
11. ``value_and_gradient(function, x)``: the values of a function of the caller's, and the gradient of their sum as a
    constant;
12. ``gammas(rng, concentration, shape, like)``: gamma variates of scale 1, as `uniforms` draws its own.

and may, where the framework's own conversion warns,

13. ``astype(x, dtype)``: results in the dtype that was asked for, in silence where they overflow in it;

and may, where a user can have faults found in a program,

14. ``by_own_settings(function)``: the function, in which none are found;

and may, where arrays are computed later and in parts, offer in the place of ``ops``, ``extremes`` and 5 to 14

15. ``prepare(start, logits, k, max_k, validate, name)``: the `_call.problem.Problem` of a call, whose methods put off
    the work; ``start`` makes one of a part of the logits and of its k.

Adapters contain no mathematics beyond "the gradient of this is J · v". They are given arrays that are whole on this
process: of one that is spread over several, `spread` takes out the rows of this one first.
"""

from typing import TYPE_CHECKING, cast

from ksubset._call.arguments import kind
from ksubset._call.backend import Backend, Spread

if TYPE_CHECKING:
    from ksubset._engine.ops import Array

REGISTRY = {
    "numpy": "array_api",
    "array_api_strict": "array_api",
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "cupy": "cupy",
    "dask": "dask",
}
"""From the top-level module in which an array's type, or a type it derives from, is defined."""


KNOWN: dict[type, Backend] = {}
"""By an array's own type: what adapters enter when they are imported, so that `find` need not search."""


def find(x: object, name: str) -> Backend:
    """The adapter for ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not an array.
    """
    return KNOWN.get(type(x)) or _search(x, name)


def _search(x: object, name: str) -> Backend:
    for base in type(x).__mro__:
        adapter = REGISTRY.get(base.__module__.partition(".")[0])
        if adapter and (module := load(adapter)).is_array(x):
            return module
    if hasattr(x, "__array_namespace__") and (module := load("array_api")).is_array(x):
        return module
    expected = "an array of NumPy, torch, JAX, CuPy, Dask or another array API namespace"
    raise TypeError(f"{name} must be {expected}; got {kind(x)}")


def is_spread(x: object) -> bool:
    """Whether ``x`` is an array of which each of several processes holds a part, by the module of its type."""
    return type(x).__module__.startswith("torch.distributed.tensor")


def spread(x: object, name: str) -> Spread | None:
    """Where the rows of ``x`` are, if it is spread over processes; adapters see the rows of one alone."""
    if not is_spread(x):
        return None
    from ksubset.backends.torch.dtensor import Shards

    return Shards(cast("Array", x), name)


def load(adapter: str) -> Backend:
    """Import an adapter by name, by a statement for each: those are what `torch.compile` can follow."""
    module: object
    if adapter == "torch":
        from ksubset.backends import torch as module
    elif adapter == "jax":
        from ksubset.backends import jax as module
    elif adapter == "cupy":
        from ksubset.backends import cupy as module
    elif adapter == "dask":
        from ksubset.backends import dask as module
    else:
        from ksubset.backends import array_api as module
    return cast("Backend", module)
