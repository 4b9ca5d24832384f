"""NVRTC compiles the kernels for every architecture that it knows, without a GPU and without a driver."""

import ctypes
import re
from functools import lru_cache

import numpy as np
import pytest
from cuda_on_cpu.emulator import OWN_SESSION
from cuda_on_cpu.nvrtc import NVRTC, library

from ksubset.backends._cuda import teams, tree
from ksubset.backends._cuda.launch import KERNELS, MOST_THREADS, REALS, WARP, Device, Launch, source

OLDEST = 75
REGISTERS = 65536
"""Of a processor: what the threads of the largest block may use together."""

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
def report(architecture: int, kernel: str, real: str, slab: bool | None, wide: bool = False) -> str:
    """What the assembler says of a kernel's program, after compiling to machine code."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    launch = Launch(kernel, real, 0, 0, 0, slab, wide=wide)
    options = [*launch.options, f"-arch=sm_{architecture}", "--ptxas-options=-v"]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    nvrtc().nvrtcCreateProgram(ctypes.byref(program), source(launch.program).encode(), b"kernels.cu", 0, None, None)
    status = nvrtc().nvrtcCompileProgram(program, len(options), array)
    nvrtc().nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc().nvrtcGetProgramLog(program, log)
    nvrtc().nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode()
    assert status == 0, text
    return text


def registers(text: str) -> dict[str, int]:
    """Registers of a thread of each kernel of a program."""
    return {name: int(used) for name, used in re.findall(r"entry function '(\w+)'.*?Used (\d+) reg", text, re.DOTALL)}


DTYPES = {real: dtype for dtype, real in REALS.items()}


VARIANTS = [
    ("ksubset_solve", None),
    ("ksubset_sample", None),
    ("ksubset_sample_with_marginals", None),
    ("ksubset_descend", False),
    ("ksubset_descend", True),
    ("ksubset_nothing", None),
]
"""A kernel of each program, and where its tree is."""


@pytest.mark.parametrize(
    "architecture", [x if x in USUAL else pytest.param(x, marks=pytest.mark.slow) for x in architectures()]
)
def test_every_variant_compiles_without_spills(architecture):
    """Run with -s to see the registers of a thread, by kernel; the tree's in shared memory and in a slab."""
    row = [f"sm_{architecture}"]
    for real in ("float", "double"):
        found = []
        for kernel, slab in VARIANTS:
            text = report(architecture, kernel, real, slab)
            assert "warning" not in text, text
            assert set(re.findall(r"(\d+) bytes spill", text)) == {"0"}, text
            used = registers(text)
            assert set(used) == {name for name, program in KERNELS.items() if program == KERNELS[kernel]}
            most = MOST_THREADS if kernel == "ksubset_descend" else teams.most_threads(kernel, DTYPES[real])
            assert max(used.values()) * most <= REGISTERS
            found += [used[name] for name in KERNELS if name in used and name != "ksubset_nothing"]
        row.append(", ".join(map(str, found)))
    print(f"\n| {' | '.join(row)} |")


@pytest.mark.parametrize("kernel", ["ksubset_solve", "ksubset_sample", teams.TOGETHER])
@pytest.mark.parametrize("real", ["float", "double"])
def test_blocks_that_share_a_row_have_registers_enough(real: str, kernel: str) -> None:
    for architecture in (OLDEST, USUAL[-1]):
        text = report(architecture, kernel, real, None, wide=True)
        assert "warning" not in text, text
        assert set(re.findall(r"(\d+) bytes spill", text)) == {"0"}, text
        assert max(registers(text).values()) * teams.most_threads(kernel, DTYPES[real]) <= REGISTERS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_fit(dtype):
    """Run with -s to see the table: threads to a row and to a block, KiB of shared memory; then the tree's."""
    for rows, n, k in SHAPES:
        x, least, found = np.broadcast_to(np.zeros((), dtype), (rows, n)), Device(64 * 1024, 132), []
        for draws in (0, 1):
            launch = teams.plan("ksubset_sample" if draws else "ksubset_solve", *x.shape, x.dtype, least, draws=draws)
            assert launch.shared_bytes <= 48 * 1024  # which a block may have without asking
            assert launch.threads % WARP == launch.threads % launch.size == 0
            assert launch.size <= WARP or launch.size == launch.threads <= teams.MOST_TEAM[dtype]
            found.append(launch)
        for size in SHARED.values():
            planned = tree.plan(x, k, Device(size * 1024, 132), 1)
            assert planned.shared_bytes <= size * 1024
            assert planned.threads <= MOST_THREADS
            assert planned.threads % WARP == 0
        whole = tree.plan(x, k, Device(1 << 20, 132), 1)
        cells = [found[0].size, found[0].threads, *(f"{y.shared_bytes / 1024:.1f}" for y in (*found, whole))]
        print(f"\n| {rows}, {n}, {k} | {dtype} | {' | '.join(map(str, cells))} |", end="")
