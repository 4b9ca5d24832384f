"""NVRTC compiles the kernels for every architecture that it knows, without a GPU and without a driver."""

import ctypes
import re
from functools import lru_cache
from itertools import product

import numpy as np
import pytest
from cuda_on_cpu.emulator import OWN_SESSION
from cuda_on_cpu.nvrtc import NVRTC, library

from ksubset.backends._cuda import calls, geometry
from ksubset.backends._cuda.geometry import Device, Launch

KERNELS = ("ksubset_solve", "ksubset_jacobian", "ksubset_sample")
OLDEST = 75
REGISTERS = 65536 // geometry.MOST_THREADS
"""What a thread may use if the largest block is to run."""

SHARED = {"sm_75": 64, "sm_80": 163, "sm_86": 99, "sm_90": 227}
"""KiB of shared memory that a block may have."""

SHAPES = [(128, 10, 5), (2000, 20, 10), (128, 350, 10), (32, 1000, 100), (65536, 64, 8), (1024, 4096, 64)]


pytestmark = [NVRTC, OWN_SESSION]


@lru_cache
def nvrtc() -> ctypes.CDLL:
    return ctypes.CDLL(str(library()))


def architectures() -> list[int]:
    """75 for sm_75, and so on up to the newest."""
    if library() is None:
        return [OLDEST]
    size = ctypes.c_int()
    nvrtc().nvrtcGetNumSupportedArchs(ctypes.byref(size))
    values = (ctypes.c_int * size.value)()
    nvrtc().nvrtcGetSupportedArchs(values)
    return [value for value in values if value >= OLDEST]


USUAL = (OLDEST, 80, 90, max(architectures()))


@lru_cache
def report(architecture: int, real: str, slab: bool) -> str:
    """What the assembler says of every kernel, after compiling to machine code."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    options = [*Launch("", real, slab, 0, 0, 0, 0, 0).options, f"-arch=sm_{architecture}", "--ptxas-options=-v"]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    nvrtc().nvrtcCreateProgram(ctypes.byref(program), calls.source().encode(), b"kernels.cu", 0, None, None)
    status = nvrtc().nvrtcCompileProgram(program, len(options), array)
    nvrtc().nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc().nvrtcGetProgramLog(program, log)
    nvrtc().nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode()
    assert status == 0, text
    return text


def registers(architecture: int, real: str, slab: bool) -> dict[str, int]:
    """Registers of a thread of each kernel."""
    text = report(architecture, real, slab)
    return {name: int(used) for name, used in re.findall(r"entry function '(\w+)'.*?Used (\d+) reg", text, re.DOTALL)}


@pytest.mark.parametrize(
    "architecture", [x if x in USUAL else pytest.param(x, marks=pytest.mark.slow) for x in architectures()]
)
def test_every_variant_compiles_without_spills(architecture):
    """Run with -s to see the registers of a thread: moments, jacobian, sample, for each dtype and place of the tree."""
    row = [f"sm_{architecture}"]
    for real, slab in product(("float", "double"), (False, True)):
        text = report(architecture, real, slab)
        assert "warning" not in text, text
        assert set(re.findall(r"(\d+) bytes spill", text)) == {"0"}, text
        used = registers(architecture, real, slab)
        assert set(used) == {*KERNELS, geometry.TRIAL.kernel}
        assert max(used.values()) <= REGISTERS
        row.append(", ".join(str(used[kernel]) for kernel in KERNELS))
    print(f"\n| {' | '.join(row)} |")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_fit(dtype):
    """Run with -s to see the table: threads, and the KiB of shared memory in which moments, jacobian, sample fit."""
    for rows, n, k in SHAPES:
        needed = []
        for kernel in KERNELS:
            x, draws = np.broadcast_to(np.zeros((), dtype), (rows, n)), 1 if kernel == "ksubset_sample" else 0
            launches = [
                geometry.plan(kernel, x, k, Device(size * 1024, 132), draws=draws, outside=not draws)
                for size in (*SHARED.values(), 1 << 20)
            ]
            needed.append(launches[-1].shared_bytes)
            for launch, size in zip(launches, SHARED.values(), strict=False):
                assert launch.slab == (needed[-1] > size * 1024)
                assert launch.shared_bytes <= size * 1024
                assert launch.threads <= geometry.MOST_THREADS
                assert launch.threads % geometry.WARP == 0
        cells = " | ".join(f"{size / 1024:.1f}" for size in needed)
        print(f"\n| {rows}, {n}, {k} | {dtype} | {launches[-1].threads} | {cells} |", end="")
