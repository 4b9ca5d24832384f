"""The device of torch that the scripts of this folder work on: the GPU, or the emulator in its place."""

import os
import time
from typing import Any

import torch

EMULATED = bool(os.environ.get("KSUBSET_EMULATED"))


def enter() -> str:
    """The name of the device; emulated, CPU tensors count as CUDA tensors from now on."""
    if not EMULATED:
        return "cuda"
    import pytest
    from cuda_on_cpu import torch_launch

    torch_launch.as_cuda(pytest.MonkeyPatch())
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
