"""Every kernel on the device, in shared memory and in a slab, in both dtypes, beside the core; for sanitizers too."""

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from device import EMULATED, enter

import ksubset
from ksubset._selfcheck.checks import BOUND
from ksubset.backends._cuda.geometry import Device
from ksubset.backends.torch import cuda

N, COUNTS, DRAWS = 37, [0, 1, 9, 18, 37], 3
RNG = np.random.default_rng(5)
LOGITS, V = RNG.normal(size=(2, len(COUNTS), N))
U = RNG.uniform(-0.5, 0.5, (DRAWS, len(COUNTS), N - 1))

Array = Callable[[Any], Any]


def errors(array: Array, numpy: Array) -> Iterator[tuple[str, float]]:
    """What the kernels compute, and how far from the truth it is."""
    logits, k = array(LOGITS), array(np.array(COUNTS))
    exact, given = np.asarray(numpy(logits), dtype=np.float64), np.array(COUNTS)
    truth = ksubset.marginals(exact, given)
    yield "marginals", _off(numpy(ksubset.marginals(logits, k)), truth)
    v = array(V)
    product = ksubset.marginals_jvp(exact, given, np.asarray(numpy(v), dtype=np.float64))
    found = numpy(ksubset.marginals_jvp(logits, k, v))
    size = np.maximum(np.linalg.norm(product, axis=1), 1e-30)
    yield "J · v", float(np.max(np.linalg.norm(found - product, axis=1) / size))
    for name, drawn in (
        ("sample", ksubset.sample(logits, k, sample_shape=(DRAWS,))),
        ("sample from uniforms", ksubset.sample_from_uniforms(logits, k, array(U))),
    ):
        yield name, float(np.max(np.abs(numpy(drawn).sum(-1) - given)))


def _off(found: Any, truth: Any) -> float:
    return float(np.max(np.abs(found - truth) / np.maximum(truth, 1e-30)))


def by_torch(place: str, dtype: str, slab: bool, launched: list[Any]) -> Iterator[tuple[str, float]]:
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
        yield from errors(array, lambda x: x.cpu().numpy())
    finally:
        vars(cuda).update(_device=device, _run=run)


def by_cupy(dtype: str) -> Iterator[tuple[str, float]]:
    """With CuPy's arrays, where it is installed."""
    if find_spec("cupy") is None:
        return
    import cupy

    yield from errors(lambda x: cupy.asarray(x, dtype if x.dtype.kind == "f" else None), cupy.asnumpy)


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
    for dtype in BOUND:
        for slab in (False, True):
            launched: list[Any] = []
            where = "slab" if slab else "shared memory"
            well &= told(f"torch, {where}", dtype, by_torch(place, dtype, slab, launched))
            names = {launch.kernel for launch in launched if launch.slab == slab}
            if names != {"ksubset_solve", "ksubset_jacobian", "ksubset_sample"}:
                well = False
                print(f"launched were only {sorted(names)}: {cuda.launcher(0)}")
        if not EMULATED:
            well &= told("CuPy", dtype, by_cupy(dtype))
    print("every kernel agrees" if well else "NOT every kernel agrees")
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
