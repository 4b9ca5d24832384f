"""`cupy.RawModule`, replaced by one that runs the kernels in the emulator."""

from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.emulator import Emulator

from ksubset.backends._cuda.launch import KERNELS, PROGRAMS, Device, Launch, source


class Module:
    """Stands in for `cupy.RawModule`."""

    def __init__(
        self, emulator: Emulator, code: str, options: tuple[str, ...], enable_cooperative_groups: bool
    ) -> None:
        self.cooperative = enable_cooperative_groups
        (self.program,) = (program for program in PROGRAMS if code == source(program))
        self.emulator, self.options = emulator, options

    def get_function(self, name: str) -> "Kernel":
        assert KERNELS[name] == self.program
        return Kernel(self.emulator, name, self.options, self.cooperative)


class Kernel:
    """Stands in for `cupy.RawKernel`: NumPy scalars are passed as they are, arrays by their address."""

    max_dynamic_shared_size_bytes = 0

    def __init__(self, emulator: Emulator, name: str, options: tuple[str, ...], cooperative: bool) -> None:
        self.emulator, self.name, self.cooperative = emulator, name, cooperative
        self.defined = dict(option.removeprefix("-DKSUBSET_").split("=") for option in options[1:])

    def __call__(self, grid: tuple[int], block: tuple[int], args: tuple[Any, ...], *, shared_mem: int) -> None:
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise ValueError(f"{shared_mem} bytes of shared memory are not in an acceptable range")
        assert all(isinstance(x, np.ndarray | np.int32 | np.uint64) for x in args)
        values = [np.uint64(x.ctypes.data) if isinstance(x, np.ndarray) else x for x in args]
        slab = self.defined.get("SLAB")
        geometry = grid[0], block[0], shared_mem
        launch = Launch(self.name, self.defined["REAL"], *geometry, slab and slab == "1", wide=self.cooperative)
        assert self.cooperative == ("WIDE" in self.defined)
        self.emulator.launch(launch, values)


def install(monkeypatch: pytest.MonkeyPatch, emulator: Emulator, shared_bytes: int) -> list[int]:
    """Let CuPy's launches run on the CPU; return the addresses of the streams that become current, as they come."""
    from ksubset.backends._cuda import by_cupy

    streams = []

    def from_external(stream: Any) -> nullcontext[None]:
        streams.append(stream.__cuda_stream__()[1])
        return nullcontext()

    monkeypatch.setattr(by_cupy, "device", lambda index: Device(shared_bytes, 2))
    monkeypatch.setattr("cupy.RawModule", partial(Module, emulator))
    monkeypatch.setattr("cupy.cuda.Device", lambda index: nullcontext())
    monkeypatch.setattr("cupy.cuda.Stream.from_external", from_external)
    for name in ("_module", "_kernel"):
        monkeypatch.setattr(by_cupy, name, lru_cache(getattr(by_cupy, name).__wrapped__))
    return streams
