"""The CUDA kernels in XLA's programs: what they compute, as foreign calls that `cuda_handler` launches.

A kernel is compiled where a program is lowered, and its address put into a table that the handler reads when the
program runs. Derivatives, `jax.vmap` and exported programs are as on the CPU; see ``backends.jax.kernels``.
"""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ksubset._engine.inference import Solution
from ksubset._engine.ops import Array, Ops
from ksubset._engine.potential.each_size import OneSize
from ksubset._engine.tilt import Tilt
from ksubset._law import functions
from ksubset._law.by_kernels import WeightedByKernels
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cpu import dispatch
from ksubset.backends._cuda import geometry, launchers, teams
from ksubset.backends._cuda.launch import KERNELS, REALS, TRIAL, Device, Launch
from ksubset.backends.jax.cpu import checked
from ksubset.backends.jax.ops import ops_for
from ksubset.backends.jax.settings import by_own_settings
from ksubset.backends.jax.sharding import several_devices

PLATFORM, BACKEND = "cuda", "gpu"
"""Of programs, and of devices, as JAX names them."""

MOST_SIZES = 32
"""A row is solved once for each weighted size, in memory for each; array code takes fewer tilts in long rows."""

TARGET = "ksubset_cuda"
FAILURE = b"the CUDA driver refuses to launch a kernel of ksubset"
SLOTS = [(kernel, real) for kernel in KERNELS for real in REALS.values()]
"""Kernels in the order of their places in the table, the same in every process."""

_table = np.zeros(len(SLOTS) + 8, np.int64)
_shaped: Any = jax.ShapeDtypeStruct  # JAX leaves these two untyped
_capsule: Any = jax.ffi.pycapsule


def choose(law: Law, name: str, shape: tuple[int, ...], dtype: Any) -> Launch | str:
    """The launch for logits of a shape, or why the core is taken."""
    if several_devices():
        return f"programs for {jax.device_count()} devices take the core, whose programs XLA partitions"
    if not all(isinstance(size, int) for size in shape):
        return f"the shape {shape} is symbolic, and a launch has a geometry"
    if name in (dispatch.COUNTS, "moments") or (name in dispatch.SOLVING and name not in dispatch.OWN):
        return "XLA's programs call kernels for marginals, their Jacobian, scalars and samples alone"
    if isinstance(reason := ready(), str):
        return reason
    if (n := law.items_among(shape[-1])) > teams.BLOCK_ITEMS:
        return f"XLA's programs give a row one block, which takes up to {teams.BLOCK_ITEMS} items; got {n}"
    if isinstance(law, SizeWeighted) and law.sizes > MOST_SIZES:
        return f"XLA's programs call the kernels for up to {MOST_SIZES} weighted sizes; got {law.sizes}"
    found = geometry.path(reason, law, name, _shaped(shape, dtype))
    return found if isinstance(found, str) else replace(found, launcher="XLA")


def computes(law: Law, draws: int = 1, function: Callable[..., Array] | None = None) -> bool:
    """Whether `kernel` or `draw` does so in a program for CUDA; one of other origin may ask for what has no kernel."""
    few = isinstance(law, FixedSize) or (isinstance(law, SizeWeighted) and law.sizes <= MOST_SIZES)
    return few and function is not functions.mode and not several_devices() and not isinstance(ready(), str)


@cache
def ready() -> Device | str:
    """The device, once XLA knows the handler and a trial kernel is loaded; or why kernels are not launched."""
    if obstacle := dispatch.obstacle():
        return f"XLA launches CUDA kernels by a function that Numba compiles: {obstacle}"
    if not any(module == "by_cuda_core" for module in launchers.installed().values()):
        return launchers.absent()
    try:
        _register()
        _loaded(TRIAL.kernel, TRIAL.real)
        return _device()
    except Exception as error:  # of an import, a compiler or a driver, each with errors of its own
        return f"CUDA kernels cannot be loaded, {launchers.in_short(error)}"


def _device() -> Device:
    return Device(0, int(jax.local_devices(backend=BACKEND)[0].core_count))


def _index() -> int:
    """The number that the driver gives to JAX's device."""
    return int(jax.local_devices(backend=BACKEND)[0].local_hardware_id or 0)


def _register() -> None:
    """Tell XLA of the handler, and the handler of the table."""
    from numba import int64

    from ksubset.backends._cpu import compiling
    from ksubset.backends.jax import cuda_handler

    cuda_handler.enter(_table.ctypes.data)
    driver = ctypes.CDLL("libcuda.so.1")
    _table[cuda_handler.LAUNCH] = _address(driver.cuLaunchKernel)
    _table[cuda_handler.FAILURE] = _address(ctypes.c_char_p(FAILURE))
    capsule = _capsule(compiling.handler(cuda_handler.launch, int64))
    jax.ffi.register_ffi_target(TARGET, capsule, platform=PLATFORM.upper())


def _address(x: Any) -> int:
    return ctypes.cast(x, ctypes.c_void_p).value or 0


@cache
def _loaded(kernel: str, real: str) -> int:
    """The place in the table of a kernel, which is loaded."""
    from ksubset.backends.jax import cuda_handler

    by, slot = import_module("ksubset.backends._cuda.by_cuda_core"), SLOTS.index((kernel, real))
    macros = replace(TRIAL, kernel=kernel, real=real).macros
    _table[cuda_handler.FIRST_KERNEL + slot] = by.address(_index(), kernel, macros)
    return slot


def _call(launch: Launch, parameters: list[Any], results: list[Any]) -> Any:
    """A foreign call. A parameter is an array, an int, None, or the place of a result in a list of one."""
    from ksubset.backends.jax.cuda_handler import NOTHING, NUMBER, OPERAND, RESULT

    if not all(prod(result.shape) for result in results):  # of no rows, which jax.vmap may leave
        return [jnp.zeros(result.shape, result.dtype) for result in results]
    operands = [x for x in parameters if isinstance(x, jax.Array)]
    slot, place = _loaded(launch.kernel, launch.real), 0
    numbers = [slot, launch.blocks, launch.threads, launch.shared_bytes, len(parameters)]
    for x in parameters:
        if isinstance(x, jax.Array):
            numbers, place = [*numbers, OPERAND, place], place + 1
        elif isinstance(x, list):
            numbers += [RESULT, *x]
        else:
            numbers += [NOTHING, 0] if x is None else [NUMBER, x]
    return jax.ffi.ffi_call(TARGET, results)(*operands, numbers=np.array(numbers, np.int64))


def _batch(law: Any, logits: Array, counts: tuple[Array, ...]) -> list[Any]:
    """The parameters that all kernels begin with, of logits (rows, n)."""
    rows, n = logits.shape
    k = [checked(x, n, law.width).reshape(-1) for x in counts] or [None]
    return [logits, *k, n, len(counts), 0 if counts else law.k, law.width, rows, n]


def _planned(kernel: str, logits: Array, draws: int = 0) -> Any:
    rows, n = logits.shape
    return teams.plan(kernel, rows, n, logits.dtype, _device(), draws=draws, may_meet=False)


def _moments(law: Any, logits: Array, counts: tuple[Array, ...], *, sides: bool = True) -> tuple[Solution, Tilt]:
    """Everything that functions start from, by one launch, and λ."""
    flat, batch = logits.reshape(-1, logits.shape[-1]), logits.shape[:-1]
    launch = _planned("ksubset_solve", flat)
    wide, narrow = _shaped(flat.shape, flat.dtype), _shaped(flat.shape[:1], flat.dtype)
    both = [wide, wide] if sides else []
    parameters = [
        *_batch(law, flat, counts),
        launch.size,
        None,
        [0],
        [1],
        [2],
        *([[3], [4]] if sides else [None, None]),
    ]
    pair = _shaped((2, flat.shape[0]), flat.dtype)
    (start, shift), t, log_partition, *found = _call(launch, parameters, [pair, wide, narrow, *both])
    solution = Solution(
        t.reshape(logits.shape), log_partition.reshape(batch), *(x.reshape(logits.shape) for x in found)
    )
    return solution, Tilt(start.reshape(batch), shift.reshape(batch))


def _product(law: Any, logits: Array, v: Array, counts: tuple[Array, ...]) -> Array:
    """J · v."""
    flat, n = logits.reshape(-1, logits.shape[-1]), logits.shape[-1]
    launch = _planned("ksubset_jacobian", flat)
    parameters = [*_batch(law, flat, counts), launch.size, None, None, v.reshape(-1, n), n, [0]]
    out: Array = _call(launch, parameters, [_shaped(flat.shape, flat.dtype)])[0]
    return out.reshape(logits.shape)


def _weighted(law: SizeWeighted) -> WeightedByKernels:
    """The law as a mixture over its sizes, solved together."""

    def solve(ops: Ops, logits: Array, k: Array, *, sides: bool) -> tuple[Solution, Tilt]:
        return _moments(FixedSize(None, logits.shape[-1]), logits, (k,), sides=sides)

    def multiply(ops: Ops, logits: Array, k: Array, v: Array) -> Array:
        return _product(FixedSize(None, logits.shape[-1]), logits, v, (k,))

    return WeightedByKernels(law.low, law.high, OneSize(solve, multiply))


@by_own_settings
def kernel(parameters: Array, *operands: Array, function: Callable[..., Array], law: Law) -> Array:
    """The value of the same function as `cpu.KERNEL`."""
    if isinstance(law, SizeWeighted):
        rows = parameters[..., None, :] if function is functions.log_prob else parameters
        return function(ops_for(rows), _weighted(law), rows, *operands)
    arrays, counts = (operands, ()) if law.is_sized else (operands[:-1], operands[-1:])
    if function is functions.marginals_jvp:
        return _product(law, parameters, arrays[0], counts)
    known = {"solution": _moments(law, parameters, counts)[0]}
    sized = law.sized(*counts or (None,))
    if function is functions.kl_divergence:
        known["reference"] = _moments(law, arrays[0], counts)[0]
    if function is functions.log_prob:  # with a place for draws
        found = known["solution"]
        known = {"solution": Solution(found.tilted[..., None, :], found.log_partition[..., None])}
        parameters, sized = parameters[..., None, :], law.sized(counts[0][..., None] if counts else None)
    return function(ops_for(parameters), sized, parameters, *arrays, **known)


@by_own_settings
def draw(parameters: Array, seeds: Array, *counts: Array, draws: int, law: Law) -> Array:
    """Subsets, keys + (draws,) + batch + (n,), from two words for each key."""
    keys, batch = seeds.shape[:-1], parameters.shape[seeds.ndim - 1 : -1]
    flat, sizes = parameters.reshape(-1, parameters.shape[-1]), [None, 0, 0]
    if isinstance(law, SizeWeighted):
        chances = _weighted(law).probabilities(ops_for(flat), flat)
        flat, sizes = law.items(flat), [chances, law.low, law.sizes]
        law = FixedSize(0, law.bound(flat.shape[-1]))
    n = flat.shape[-1]
    launch, of_seed = _planned("ksubset_sample", flat, max(draws, 1)), flat.shape[0] // max(seeds.size // 2, 1)
    own = [launch.size, None, seeds.reshape(-1, 2), of_seed, draws, launch.shares, *sizes, None, [0]]
    out: Array = _call(launch, [*_batch(law, flat, counts), *own], [_shaped((*keys, draws, *batch, n), flat.dtype)])[0]
    return out
