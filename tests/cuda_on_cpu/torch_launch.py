"""CPU tensors in the place of CUDA tensors, whose launches end in the emulator."""

import re
from contextlib import nullcontext
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cuda_on_cpu.emulator import Emulator

from ksubset.backends._cuda.launch import KERNELS, Launch, source
from ksubset.backends._cuda.launchers import Launcher
from ksubset.backends.torch import ADAPTER, cuda

STREAM = 4711
"""The address of torch's current stream."""


class Direct:
    """The shortest launcher: it hands the emulator what a launcher hands the driver."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def run(self, launch: Launch, values: list[Any], index: int, stream: int) -> None:
        assert (index, stream) == (0, STREAM)
        self.emulator.launch(launch, values)


def signature(kernel: str) -> list[str]:
    """What the source declares: ``pointer`` or ``int`` for each parameter."""
    text = source(KERNELS[kernel]).replace("\\\n", "")
    declared = re.search(rf"\b{kernel}\((.*?)\) {{", text, re.DOTALL)
    assert declared
    parameters = declared[1]
    for name, several in re.findall(r"#define (BATCH|TEAM|DRAWING)(.*)", text):
        parameters = parameters.replace(name, several)
    return list(map(_kind, parameters.split(","))) if parameters else []


def _kind(parameter: str) -> str:
    if "*" in parameter:
        return "pointer"
    assert re.fullmatch(r"\s*int \w+\s*", parameter), parameter
    return "int"


WIDTHS = {np.uint64: "pointer", np.int32: "int"}


def install(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, shared_bytes: int, launcher: Launcher | None = None
) -> None:
    """Let every launch of a kernel by torch run on the CPU, on a device with so much shared memory."""
    device = SimpleNamespace(shared_memory_per_block_optin=shared_bytes, multi_processor_count=4)
    by, run = launcher or Launcher("the emulator", Direct(emulator).run), cuda._run

    def checked(launch: Launch, values: list[Any], index: int, stream: int) -> None:
        assert [WIDTHS[type(x)] for x in values] == signature(launch.kernel)
        assert index is None  # a CPU tensor's device has no number
        by.run(launch, values, 0, stream)

    def lending(launch: Launch, arguments: list[Any], like: torch.Tensor) -> None:
        emulator.lent = [x.detach().numpy() if isinstance(x, torch.Tensor) else x for x in arguments]
        run(launch, arguments, like)

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda index: SimpleNamespace(cuda_stream=STREAM))
    monkeypatch.setattr(cuda, "_device", lru_cache(cuda._device.__wrapped__))
    monkeypatch.setattr(cuda, "launcher", lambda index: Launcher(by.name, checked))
    monkeypatch.setattr(cuda, "_run", lending)


def as_cuda(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let CPU tensors count as CUDA tensors; the names of the kernels launched, as they come."""
    names: list[str] = []
    emulator = Emulator()
    run = emulator.execute
    monkeypatch.setattr(emulator, "execute", lambda launch, *rest: names.append(launch.kernel) or run(launch, *rest))
    install(monkeypatch, emulator, 200_000)
    monkeypatch.setattr(cuda, "DEVICE", "cpu")
    monkeypatch.setattr(ADAPTER, "is_readable", lambda x: False)
    monkeypatch.setenv("KSUBSET_FAST", "0")
    return names
