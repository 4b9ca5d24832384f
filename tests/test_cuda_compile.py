"""NVRTC compiles the kernels for every architecture that it knows, without a GPU and without a driver."""

import ctypes
import re
from functools import lru_cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from cuda_on_cpu.emulator import OWN_SESSION

from ksubset.backends import _cuda
from ksubset.backends._cuda import Device, Launch

KERNELS = ("ksubset_solve", "ksubset_jacobian", "ksubset_sample")
OLDEST = 75
REGISTERS = 65536 // _cuda.MOST_THREADS
"""What a thread may use if the largest block is to run."""

SHARED = {"sm_75": 64, "sm_80": 163, "sm_86": 99, "sm_90": 227}
"""KiB of shared memory that a block may have."""

SHAPES = [(128, 10, 5), (2000, 20, 10), (128, 350, 10), (32, 1000, 100), (65536, 64, 8), (1024, 4096, 64)]


def library() -> Path | None:
    """NVRTC as installed by the package ``nvidia-cuda-nvrtc``."""
    spec = find_spec("nvidia")
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = [path for folder in folders for path in sorted(Path(folder).glob("**/libnvrtc.so.*"))]
    return found[-1] if found else None


ABSENT = pytest.mark.skipif(library() is None, reason="the package nvidia-cuda-nvrtc is not installed")
pytestmark = [ABSENT, OWN_SESSION]


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


@lru_cache
def report(architecture: int, real: str, slab: bool) -> str:
    """What the assembler says of every kernel, after compiling to machine code."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    options = [*Launch("", real, slab, 0, 0, 0, 0, 0).options, f"-arch=sm_{architecture}", "--ptxas-options=-v"]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    nvrtc().nvrtcCreateProgram(ctypes.byref(program), _cuda.source().encode(), b"_cuda.cu", 0, None, None)
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


@pytest.mark.parametrize("architecture", architectures())
def test_every_variant_compiles_without_spills(architecture):
    for real, slab in product(("float", "double"), (False, True)):
        text = report(architecture, real, slab)
        assert "warning" not in text, text
        assert set(re.findall(r"(\d+) bytes spill", text)) == {"0"}, text
        used = registers(architecture, real, slab)
        assert set(used) == set(KERNELS)
        assert max(used.values()) <= REGISTERS


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_fit(dtype, kernel):
    """Run with -s to see the table: threads, registers on sm_90, KiB of shared memory, and where the tree is."""
    for rows, n, k in SHAPES:
        x, draws = np.broadcast_to(np.zeros((), dtype), (rows, n)), 1 if kernel == "ksubset_sample" else 0
        launches = {
            arch: _cuda.plan(kernel, x, k, Device(size * 1024, 132), draws=draws, outside=not draws)
            for arch, size in SHARED.items()
        }
        for arch, launch in launches.items():
            assert launch.shared_bytes <= SHARED[arch] * 1024
            assert launch.threads <= _cuda.MOST_THREADS
            assert launch.threads % _cuda.WARP == 0
        hopper = launches["sm_90"]
        used = registers(90, hopper.real, hopper.slab)[kernel]
        places = [f"{arch}:{'slab' if x.slab else f'{x.shared_bytes / 1024:.1f}'}" for arch, x in launches.items()]
        shape = f"{rows},{n},{k}"
        print(f"{kernel:17} {dtype} {shape:12} {hopper.threads:4} threads {used:4} registers ", *places)
