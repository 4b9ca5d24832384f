"""Batches and programs that JAX spreads over several devices.

Rows do not depend on one another, so a batch sharded along its own axes needs no communication. Three things would
bring some in: a loop that ends when every row has settled, which asks all devices; a gather from a flattened array,
which the partitioner cannot attribute to rows; and a foreign call, which it cannot split without a rule.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from ksubset._typing import Array, State, Step


def several_devices() -> bool:
    """Whether a program may run on more devices than one."""
    return jax.device_count() > 1


def lowered_with_devices(*primitives: Any) -> None:
    """Have JAX tell the lowering of primitives which devices a program is for, as `partitioned` needs; it keeps no programs
    for unknown devices then.
    """
    import_module("jax._src.dispatch").prim_requires_devices_during_lowering.update(primitives)


def repeat(step: Step, state: State, limit: int) -> State:
    """As many steps for all rows: a row that has settled stays as it is."""
    final: State = fold(lambda state, _: (step(state), None), state, None, length=limit)[0]
    return final


def pick(x: Array, index: Array) -> Array:
    """``x[index]`` along the first axis; what follows it is of ``x`` (nodes, rows), of ``index`` (nodes, draws, rows)."""
    return jnp.take_along_axis(x[:, :, None, :], index, axis=0)


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
    kind = x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)
    return frozenset(getattr(kind, "vma", None) or ())


def varying(x: Array, over: frozenset[str]) -> Array:
    """The array, said to vary over further axes."""
    missing = tuple(sorted(over - axes(x)))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def together(*arrays: Any) -> tuple[Any, ...]:
    """Arrays that vary over the same axes, as the operands of one primitive must; None and ints as they are."""
    over = frozenset().union(*(axes(x) for x in arrays if isinstance(x, jax.Array)))
    return tuple(varying(x, over) if over and isinstance(x, jax.Array) else x for x in arrays)


def automatic(function: Callable[..., Array], per_row: bool, logits: Array, *arrays: Array) -> Array:
    """Call a function on arrays whose types name shardings, letting the compiler choose those in between.

    The result is sharded as the batch is; ``per_row`` says that it lacks the axis of the items.
    """
    present = [x for x in (logits, *arrays) if isinstance(x, jax.Array)]
    if not any(_is_explicit(jax.typeof(x)) for x in present):
        return function(logits, *arrays)
    shape = jax.eval_shape(jax.sharding.auto_axes(function, out_sharding=PartitionSpec()), logits, *arrays).shape
    batch = [_names(x)[: x.ndim - 1] for x in (logits, *(x for x in present[1:] if x.ndim >= logits.ndim))]
    rank = len(shape) - (not per_row)
    spec = [next((names[i - rank] for names in batch if rank - i <= len(names) and names[i - rank]), None)
            for i in range(rank)]
    out = PartitionSpec(*spec, *(() if per_row else (None,)))
    result: Array = jax.sharding.auto_axes(function, out_sharding=out)(logits, *arrays)
    return result


def _is_explicit(kind: Any) -> bool:
    mesh = kind.sharding.mesh
    return any(t == jax.sharding.AxisType.Explicit for t in mesh.axis_types) and any(kind.sharding.spec)


def _names(x: Array) -> tuple[Any, ...]:
    spec = tuple(jax.typeof(x).sharding.spec)
    return (*spec, *(None,) * (x.ndim - len(spec)))


def partitioned(kernel: Callable[..., Array], logits: Array, *operands: Array) -> Array:
    """Call a kernel on each device's rows; items that are spread over devices are brought together first."""

    def rows(mesh: Any, sharded: Any) -> NamedSharding:
        spec = tuple(sharded[0].sharding.spec)[: logits.ndim - 1]
        return NamedSharding(mesh, PartitionSpec(*spec))

    def partition(mesh: Any, given: Any, result: Any) -> Any:
        return mesh, kernel, rows(mesh, given), tuple(rows(mesh, given) for _ in given)

    batch = " ".join(f"b{i}" for i in range(logits.ndim - 1))
    whole = f"{batch} n"
    given = ", ".join(whole if x.ndim == logits.ndim else batch for x in (logits, *operands))
    call: Any = custom_partitioning(lambda *x: kernel(*x))  # it refuses a function with keywords
    call.def_partition(
        partition=partition,
        infer_sharding_from_operands=lambda mesh, given, result: rows(mesh, given),
        sharding_rule=f"{given} -> {whole}",
        need_replication_factors=("n",),
    )
    answer: Array = call(logits, *operands)
    return answer
