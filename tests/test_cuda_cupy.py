"""The CuPy launcher without a GPU: `cupy.RawModule` is replaced by one that runs the kernels on the CPU."""

from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.battery import check
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator, compile_kernels

from ksubset.backends import _cuda
from ksubset.backends._cuda import Device, Launch

pytest.importorskip("cupy", exc_type=ImportError)
pytestmark = [NEEDED, OWN_SESSION]


class CurrentDevice(nullcontext):
    id = 0


class Module:
    """Stands in for `cupy.RawModule`."""

    def __init__(self, emulator: Emulator, code: str, options: tuple[str, ...]) -> None:
        assert code == _cuda.source()
        self.emulator, self.options = emulator, options

    def get_function(self, name: str) -> "Kernel":
        return Kernel(self.emulator, name, self.options)


class Kernel:
    """Stands in for `cupy.RawKernel`: NumPy scalars are passed as they are, arrays by their address."""

    max_dynamic_shared_size_bytes = 0

    def __init__(self, emulator: Emulator, name: str, options: tuple[str, ...]) -> None:
        self.emulator, self.name = emulator, name
        self.real, self.slab = ("float" if "-DKSUBSET_REAL=float" in options else "double"), options[-1].endswith("1")

    def __call__(self, grid: tuple[int], block: tuple[int], args: tuple[Any, ...], *, shared_mem: int) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        assert all(isinstance(x, np.ndarray | np.int32 | np.uintp) for x in args)
        values = [None if isinstance(x, np.uintp) else int(x) if isinstance(x, np.int32) else x for x in args]
        launch = Launch(self.name, self.real, self.slab, grid[0], block[0], shared_mem, 0, 0)
        self.emulator.run(launch, values, values[0])


@pytest.fixture(params=[200_000, 2_000], ids=["shared", "slab"])
def emulator(request, monkeypatch, tmp_path):
    from ksubset.backends import _cuda_cupy

    inner = Emulator(lru_cache(lambda real, slab: compile_kernels(tmp_path, _cuda.source(), real, slab)))
    outer = Emulator(inner.build, shared_bytes=request.param)
    like = SimpleNamespace(device=CurrentDevice())
    outer.runtime = replace(outer.runtime, run=lambda launch, values, _: _cuda_cupy._run(launch, values, like))
    monkeypatch.setattr(_cuda_cupy, "_device", lambda index: Device(request.param, 2))
    monkeypatch.setattr("cupy.RawModule", lambda code, options: Module(inner, code, options))
    _cuda_cupy._module.cache_clear()
    _cuda_cupy._kernel.cache_clear()
    yield outer
    _cuda_cupy._module.cache_clear()
    _cuda_cupy._kernel.cache_clear()


def test_cupy_launches_every_kernel(emulator):
    check(emulator, np.float32)


def test_the_adapter_imports_and_keeps_its_functions():
    from ksubset.backends import cupy, load

    assert load("cupy") is cupy
    required = ["ops", "is_array", "is_readable", "readable", "same_device", "uniforms", "solve", "evaluate"]
    for name in [*required, "sample"]:
        assert callable(getattr(cupy, name))
