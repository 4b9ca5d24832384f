"""Torch's hook for raw CUDA source, replaced by one that runs the kernels on the CPU."""

from contextlib import nullcontext
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cuda_on_cpu.emulator import Emulator

from ksubset.backends._cuda import calls
from ksubset.backends._cuda.geometry import Launch
from ksubset.backends.torch import cuda


class Kernel:
    """Stands in for what torch's hook returns."""

    def __init__(self, emulator: Emulator, name: str, options: list[str]) -> None:
        self.emulator, self.name, self.allowed = emulator, name, 0
        definitions = dict(option.removeprefix("-D").split("=") for option in options)
        self.real, self.slab = definitions["KSUBSET_REAL"], definitions["KSUBSET_SLAB"] == "1"

    def set_shared_memory_config(self, size: int) -> None:
        self.allowed = size

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: list[Any], *, shared_mem: int) -> None:
        assert shared_mem <= self.allowed
        launch = Launch(self.name, self.real, self.slab, grid[0], block[0], shared_mem, 0, 0)
        values = [_array(x) if isinstance(x, torch.Tensor) else x for x in args]
        self.emulator.run(launch, values, values[0])


class Nothing:
    """The empty kernel by which the hook is tried."""

    def set_shared_memory_config(self, size: int) -> None: ...
    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: list[Any], *, shared_mem: int) -> None: ...


def _array(x: torch.Tensor) -> Any:
    return x.detach().numpy() if x.data_ptr() else None


def install(monkeypatch: pytest.MonkeyPatch, emulator: Emulator, shared_bytes: int) -> None:
    """Let every launch of a kernel by torch run on the CPU, on a device with so much shared memory."""
    device = SimpleNamespace(shared_memory_per_block_optin=shared_bytes, multi_processor_count=4)

    def compile_kernel(kernel_source: str, kernel_name: str, *, nvcc_options: list[str] | None = None) -> Any:
        if nvcc_options is None:
            return Nothing()
        assert kernel_source == calls.source()
        return Kernel(emulator, kernel_name, nvcc_options)

    monkeypatch.setattr(torch.cuda, "_compile_kernel", compile_kernel, raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    for name in ("_kernel", "_device", "obstacle"):
        monkeypatch.setattr(cuda, name, _fresh(getattr(cuda, name)))


def _fresh(cached: Any) -> Any:
    """The same cache, empty."""
    return lru_cache(cached.__wrapped__)
