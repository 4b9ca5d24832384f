"""Every kernel on the device, by parts of warps, warps, blocks and all blocks, beside the core; for sanitizers too."""

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
import torch
from device import EMULATED, enter

import ksubset
from ksubset._selfcheck.checks import BOUND
from ksubset.backends._cuda import tree
from ksubset.backends._cuda.launch import Device
from ksubset.backends.torch import cuda

SIZES = {20: "a part of a warp", 100: "a warp", 300: "a block"} | ({} if EMULATED else {300_000: "all blocks"})
"""Numbers of items, and what handles a row; the emulator would take minutes for the last."""

KERNELS = {
    "ksubset_solve",
    "ksubset_jacobian",
    "ksubset_sample",
    "ksubset_sample_with_marginals",
    "ksubset_descend",
}
DRAWS = 3

Array = Callable[[Any], Any]


def errors(n: int, array: Array, numpy: Array) -> Iterator[tuple[str, float]]:
    """What the kernels compute of rows of n items, and how far from the truth it is."""
    rng, given = np.random.default_rng(5), np.array([0, 1, n // 4, n // 2, n])
    direction, u = rng.normal(size=(given.size, n)), rng.uniform(-0.5, 0.5, (DRAWS, given.size, n - 1))
    logits, k = array(rng.normal(size=(given.size, n))), array(given)
    exact = np.asarray(numpy(logits), dtype=np.float64)
    truth = ksubset.marginals(exact, given)
    yield "marginals", _off(numpy(ksubset.marginals(logits, k)), truth)
    v = array(direction)
    image = ksubset.marginals_jvp(exact, given, np.asarray(numpy(v), dtype=np.float64))
    found = numpy(ksubset.marginals_jvp(logits, k, v))
    size = np.maximum(np.linalg.norm(image, axis=1), 1e-30)
    yield "J · v", float(np.max(np.linalg.norm(found - image, axis=1) / size))
    drawn = ksubset.sample(logits, k, rng=7, sample_shape=(DRAWS,))
    yield "sample", float(np.max(np.abs(numpy(drawn).sum(-1) - given)))
    if n <= tree.MOST_ITEMS:
        drawn = ksubset.sample_from_uniforms(logits, k, array(u))
        yield "sample from uniforms", float(np.max(np.abs(numpy(drawn).sum(-1) - given)))
    drawn, mean = ksubset.sample_with_marginals(logits, k, rng=7)
    yield "marginals with a sample", _off(numpy(mean), truth)
    yield "sample with marginals", float(np.max(np.abs(numpy(drawn).sum(-1) - given)))
    few = ksubset.between(2, 5)
    yield "marginals of several sizes", _off(numpy(ksubset.marginals(logits, few)), ksubset.marginals(exact, few))
    sizes = numpy(ksubset.sample(logits, few, rng=7, sample_shape=(DRAWS,))).sum(-1)
    yield "sample of several sizes", float(np.max(np.maximum(2 - sizes, sizes - 5).clip(0)))


def _off(found: Any, truth: Any) -> float:
    return float(np.max(np.abs(found - truth) / np.maximum(truth, 1e-30)))


def by_torch(n: int, place: str, dtype: str, slab: bool, launched: list[Any]) -> Iterator[tuple[str, float]]:
    """With CUDA tensors; ``launched`` gets what was launched."""
    device, run = cuda._device, cuda._run
    own = device(0)

    def noted(launch: Any, *rest: Any) -> None:
        launched.append(launch)
        run(launch, *rest)

    def array(x: Any) -> torch.Tensor:
        kept = getattr(torch, dtype) if x.dtype.kind == "f" else None
        return torch.as_tensor(x, dtype=kept, device=place)

    vars(cuda)["_device"] = lambda index: Device(300 if slab else own.shared_bytes, own.processors)
    vars(cuda)["_run"] = noted
    try:
        yield from errors(n, array, lambda x: x.cpu().numpy())
    finally:
        vars(cuda).update(_device=device, _run=run)


def by_cupy(n: int, dtype: str) -> Iterator[tuple[str, float]]:
    """With CuPy's arrays, where it is installed."""
    if find_spec("cupy") is None:
        return
    import cupy

    yield from errors(n, lambda x: cupy.asarray(x, dtype if x.dtype.kind == "f" else None), cupy.asnumpy)


def by_jax(n: int, dtype: str) -> Iterator[tuple[str, float]]:
    """With JAX's arrays, where it is installed with a device; that kernels are taken is said by `show_config`."""
    if find_spec("jax") is None:
        return
    import jax

    if jax.default_backend() != "gpu":
        print(f"JAX has no device: its default backend is {jax.default_backend()}")
        return
    with jax.enable_x64(True):
        ksubset.show_config(jax.numpy.zeros((5, n), dtype), 1)
        yield from errors(n, lambda x: jax.numpy.asarray(x, dtype if x.dtype.kind == "f" else None), np.asarray)


def told(title: str, dtype: str, found: Iterator[tuple[str, float]]) -> bool:
    """Print each error, and whether all are small enough."""
    well = True
    for name, off in found:
        allowed = off <= BOUND[dtype]
        well &= allowed
        print(f"{title}, {dtype}, {name}: {off:.1e}{'' if allowed else f', more than {BOUND[dtype]}'}")
    return well


def main() -> int:
    """Whether all kernels ran and all errors are small."""
    place, well = enter(), True
    for (n, team), slab, dtype in product(SIZES.items(), (False, True), BOUND):
        launched: list[Any] = []
        where = f"{team} to a row, trees in {'a slab' if slab else 'shared memory'}"
        well &= told(f"torch, {where}", dtype, by_torch(n, place, dtype, slab, launched))
        names = {launch.kernel for launch in launched if launch.slab in (None, slab)}
        if names != KERNELS - ({"ksubset_descend"} if n > tree.MOST_ITEMS else set()):
            well = False
            print(f"launched were only {sorted(names)}: {cuda.launcher(0)}")
        if not EMULATED and not slab:
            well &= told(f"CuPy, {where}", dtype, by_cupy(n, dtype))
            well &= told(f"JAX, {team} to a row", dtype, by_jax(n, dtype))
    print("every kernel agrees" if well else "NOT every kernel agrees")
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
