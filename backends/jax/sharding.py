"""Batches and programs that JAX spreads over several devices.

Rows do not depend on one another, so a batch sharded along its own axes needs no communication. Three things would
bring some in: a loop that ends when every row has settled, which asks all devices; a gather from a flattened array,
which the partitioner cannot attribute to rows; and a foreign call, which it cannot split without a rule.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.experimental import custom_partitioning
from jax.sharding import NamedSharding

from ksubset._engine import summation
from ksubset._engine.ops import Array, Devices, State, Step

_spec: Any = jax.sharding.PartitionSpec  # JAX leaves these two untyped
_partitioning: Any = custom_partitioning.custom_partitioning


def several_devices() -> bool:
    """Whether a program may run on more devices than one."""
    return jax.device_count() > 1


def on_one_device(*arrays: Any) -> bool:
    """Whether the arrays among these have values, all on one device: then nothing here concerns them."""
    return all(
        not isinstance(x, jax.core.Tracer) and type(x.sharding) is jax.sharding.SingleDeviceSharding
        for x in arrays
        if isinstance(x, jax.Array)
    )


def lowered_with_devices(*primitives: Any) -> None:
    """Have JAX say, where it lowers these primitives, which devices a program is for: `partitioned` needs to know."""
    import_module("jax._src.dispatch").prim_requires_devices_during_lowering.update(primitives)


def is_long(size: int) -> bool:
    """Whether a row of ``size`` items is computed where its items are, if they are spread over devices."""
    return several_devices() and summation.divides(jax.device_count(), size)


def repeat(step: Step, state: State, limit: int) -> State:
    """The same number of steps for all rows: a row that has settled stays as it is."""
    final: State = fold(lambda state, _: (step(state), None), state, None, length=limit)[0]
    return final


def spread_over(devices: int) -> Devices:
    """The functions that the core needs to spread rows over this number of devices."""
    return Devices(devices, Fourier, pick)


def pick(x: Array, index: Array) -> Array:
    """``x[index]`` along the first axis; after it come (nodes, rows) and (nodes, draws, rows)."""
    return jnp.take_along_axis(x[:, :, None, :], index, axis=0)


class Fourier:
    """`jax.numpy.fft` along the first axis, the other axes left on their devices: XLA would gather them."""

    @staticmethod
    def rfft(x: Array, n: int, axis: int) -> Array:
        return _transform(jnp.fft.rfft, n)(x)

    @staticmethod
    def irfft(x: Array, n: int, axis: int) -> Array:
        return _transform(jnp.fft.irfft, n)(x)


@cache
def _transform(function: Callable[..., Array], length: int) -> Callable[[Array], Array]:
    def local(x: Array) -> Array:
        return function(x, n=length, axis=0)

    @jax.custom_batching.custom_vmap
    def call(x: Array) -> Array:
        others = " ".join(f"a{i}" for i in range(x.ndim - 1))
        return _split(local, f"n {others} -> m {others}", ("n", "m"), lambda spec: (None, *spec[1:]), x)

    @call.def_vmap
    def batched(size: int, sharded: list[bool], x: Array) -> tuple[Array, bool]:
        return jnp.moveaxis(call(jnp.moveaxis(x, 0, 1)), 1, 0), True

    return cast("Callable[[Array], Array]", call)


def fold(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, **options: Any) -> tuple[Any, Any]:
    """`jax.lax.scan`; under `jax.shard_map` its carry varies over whatever axes the steps make it vary over."""
    first = None if xs is None else jax.tree.map(lambda x: x[0], xs)
    while True:
        after = jax.eval_shape(lambda carry, x: step(carry, x)[0], carry, first)
        varied = jax.tree.map(lambda x, y: varying(x, axes(x) | axes(y)), carry, after)
        if [axes(x) for x in jax.tree.leaves(varied)] == [axes(x) for x in jax.tree.leaves(carry)]:
            return jax.lax.scan(step, carry, xs, **options)
        carry = varied


def axes(x: Any) -> frozenset[str]:
    """The axes of a `jax.shard_map` over which an array varies."""
    kind: Any = x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)
    manual = getattr(kind, "manual_axis_type", None)
    return frozenset(manual.varying if manual else getattr(kind, "vma", None) or ())  # vma before JAX 0.10


def varying(x: Array, over: frozenset[str]) -> Array:
    """The array, said to vary over further axes."""
    missing = tuple(sorted(over - axes(x)))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def shaped_as(kind: Any, shape: tuple[int, ...]) -> Any:
    """The type of a result that varies over the same axes as an operand of that kind."""
    sharding = NamedSharding(kind.sharding.mesh, _spec(*(None,) * len(shape)))
    return kind.update(shape=shape, weak_type=False, sharding=sharding)


def on_common_axes(*arrays: Any) -> tuple[Any, ...]:
    """Arrays that vary over the same axes, as the operands of one primitive must; None and ints as they are."""
    over = frozenset().union(*(axes(x) for x in arrays if isinstance(x, jax.Array)))
    return tuple(varying(x, over) if over and isinstance(x, jax.Array) else x for x in arrays)


def automatic(function: Callable[..., Array], per_row: bool, logits: Array, k: Array | None, *arrays: Array) -> Array:
    """Call ``function(logits, k, *arrays)``; where types name shardings, the compiler chooses those in between.

    The result is sharded as the batch is; ``per_row`` says that it lacks the axis of the items.
    """
    counts = () if k is None else (k,)
    if not any(map(is_explicit, (logits, *counts, *arrays))):
        return function(logits, k, *arrays)

    def call(logits: Array, *rest: Array) -> Array:
        return function(logits, *(rest if counts else (k, *rest)))

    given = logits, *counts, *arrays
    ranks = [x.ndim - (x is not k) for x in given]
    batches = [_batch(x, max(ranks), own) for x, own in zip(given, ranks, strict=True)]
    last = tuple(jax.typeof(logits).sharding.spec)[logits.ndim - 1 :] if is_long(logits.shape[-1]) else (None,)
    spec = [*map(_first, zip(*batches, strict=True)), *(() if per_row else last)]
    mesh = next(jax.typeof(x).sharding.mesh for x in given if is_explicit(x))
    with jax.sharding.use_abstract_mesh(mesh):
        result: Array = jax.sharding.auto_axes(call, out_sharding=_spec(*spec))(*given)
    return result


def is_explicit(x: Array) -> bool:
    """Whether the type of an array names the axes of devices over which it is spread."""
    sharding = jax.typeof(x).sharding
    return jax.sharding.AxisType.Explicit in sharding.mesh.axis_types and any(sharding.spec)


def _batch(x: Array, rank: int, own: int) -> tuple[Any, ...]:
    """The mesh axes of the first ``own`` axes of an array, as the last of ``rank`` axes."""
    spec = tuple(jax.typeof(x).sharding.spec)
    known = (*spec, *(None,) * (x.ndim - len(spec)))[max(0, own - rank) : own]
    return (*(None,) * (rank - len(known)), *known)


def _first(names: tuple[Any, ...]) -> Any:
    return next((name for name in names if name), None)


def partitioned(kernel: Callable[..., Array], per_row: bool, logits: Array, *operands: Array) -> Array:
    """Call a kernel on each device's rows; items that are spread over devices are brought together first.

    ``per_row`` says that its result lacks the axis of the items.
    """
    batch = " ".join(f"b{i}" for i in range(logits.ndim - 1))
    whole = f"{batch} n"
    given = ", ".join(whole if x.ndim == logits.ndim else batch for x in (logits, *operands))
    return _split(
        kernel,
        f"{given} -> {batch if per_row else whole}",
        ("n",),
        lambda spec: spec[: logits.ndim - 1],
        logits,
        *operands,
    )


def _split(
    function: Callable[..., Array],
    rule: str,
    whole: tuple[str, ...],
    kept: Callable[[tuple[Any, ...]], tuple[Any, ...]],
    *operands: Array,
) -> Array:
    """Call a function on each device's share; ``kept`` selects the part of the first operand's sharding to keep.

    ``rule`` names the axes of operands and result; the axes in ``whole`` are whole on each device.
    """

    def placed(mesh: Any, given: Any, result: Any = None) -> NamedSharding:
        return NamedSharding(mesh, _spec(*kept(tuple(given[0].sharding.spec))))

    def partition(mesh: Any, given: Any, result: Any) -> Any:
        return mesh, function, placed(mesh, given), tuple(placed(mesh, given) for _ in given)

    call = _partitioning(lambda *x: function(*x))  # it refuses a function with keywords
    call.def_partition(
        partition=partition,
        infer_sharding_from_operands=placed,
        sharding_rule=rule,
        need_replication_factors=whole,
    )
    answer: Array = call(*operands)
    return answer
