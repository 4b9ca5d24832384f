"""The device of torch that the scripts of this folder work on: the GPU, or the emulator in its place."""

import os
import time
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ksubset.backends.torch import ADAPTER, cuda

EMULATED = bool(os.environ.get("KSUBSET_EMULATED"))


def enter() -> str:
    """The name of the device; emulated, CPU tensors count as CUDA tensors from now on."""
    if not EMULATED:
        return "cuda"
    import pytest
    from cuda_on_cpu import emulator, torch_launch

    patch, folder = pytest.MonkeyPatch(), TemporaryDirectory()
    build = lru_cache(partial(emulator.compile_program, Path(folder.name)))
    torch_launch.install(patch, emulator.Emulator(build), 200_000)
    patch.setattr(cuda, "DEVICE", "cpu")
    patch.setattr(ADAPTER, "is_readable", lambda x: False)
    patch.setenv("KSUBSET_FAST", "0")
    return "cpu"


class Span:
    """The time between two points of the device's stream, or of the clock."""

    def __enter__(self) -> "Span":
        self.start = self._point()
        return self

    def __exit__(self, *error: object) -> None:
        self.end = self._point()

    @staticmethod
    def _point() -> Any:
        if EMULATED:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @property
    def milliseconds(self) -> float:
        """Waits for the device."""
        if EMULATED:
            return 1e3 * float(self.end - self.start)
        self.end.synchronize()
        return float(self.start.elapsed_time(self.end))
