"""Runs the CUDA kernels on the CPU: a `Runtime` for NumPy arrays that stands in for a GPU."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from ksubset.backends._cuda.calls import Runtime
from ksubset.backends._cuda.launch import KERNELS, Device, Launch, source
from ksubset.backends.array_api import NUMPY

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
NEEDED = pytest.mark.skipif(COMPILER is None, reason="g++, which compiles the kernels for the CPU, is not installed")
OWN_SESSION = pytest.mark.skipif(
    bool(os.environ.get("KSUBSET_TARGETS")), reason="concerns no target of KSUBSET_TARGETS; run by `nox -s cuda`"
)


class EmulatorError(AssertionError):
    """What the emulator refuses: a race, an index out of bounds, a barrier not reached together."""


class Geometry(ctypes.Structure):
    _fields_ = (
        ("blocks", ctypes.c_int),
        ("threads", ctypes.c_int),
        ("shared_bytes", ctypes.c_int),
        ("arrays", ctypes.c_int),
        ("cooperative", ctypes.c_int),
        ("seed", ctypes.c_ulonglong),
    )


class Region(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("scratch", ctypes.c_bool))


Macros = tuple[tuple[str, str], ...]


def library(folder: Path, program: str, macros: Macros) -> Path:
    """Where a program is built."""
    return folder / f"{'-'.join([program, *(value for _, value in macros)])}.so"


def compile_program(folder: Path, program: str, macros: Macros, changed: str | None = None) -> ctypes.CDLL:
    """Build the host program around a program of kernels, or around a changed version of its source."""
    folder.mkdir(parents=True, exist_ok=True)
    file, built = folder / f"{program}.cu", library(folder, program, macros)
    file.write_text(changed or source(program), encoding="utf-8")
    flags = [
        "-std=c++17",
        "-O1",
        "-fPIC",
        "-shared",
        "-w",
        "-fsanitize=bounds-strict",
        "-fsanitize-undefined-trap-on-error",
    ]
    entries = " ".join(f"ENTRY({kernel})" for kernel, own in KERNELS.items() if own == program)
    definitions = [f'-DKSUBSET_SOURCE="{file}"', f"-DKSUBSET_ENTRIES={entries}"]
    definitions += [f"-D{name}={value}" for name, value in macros]
    assert COMPILER
    command = [COMPILER, *flags, *definitions, str(HERE / "host.cpp"), "-o", str(built)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return ctypes.CDLL(str(built))


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="kernels")


@cache
def built(program: str, macros: Macros) -> ctypes.CDLL:
    """A program, built once in this process."""
    return compile_program(Path(_folder().name), program, macros)


class Emulator:
    """A GPU with a given amount of shared memory, or with none to spare for a tree, so that slabs are used."""

    def __init__(
        self,
        build: Callable[[str, Macros], ctypes.CDLL] = built,
        *,
        shared_bytes: int = 200_000,
        processors: int = 2,
        most_blocks: int = 2**31,
    ):
        self.build, self.seeds, self.most_blocks = build, count(1), most_blocks
        self.cooperates = True  # where a launch asks for that
        self.launches: list[Launch] = []
        self.lent: list[Any] = []
        device = Device(shared_bytes, processors)
        self.runtime = Runtime(NUMPY, lambda _: device, _strides, np.ascontiguousarray, self.run)

    def run(self, launch: Launch, arguments: list[Any], like: np.ndarray) -> None:
        """Launch a kernel as CuPy and torch do; raise an error where the emulator objects."""
        self.lent = arguments
        self.launch(launch, [_value(x) for x in arguments])

    def launch(self, launch: Launch, values: list[np.generic]) -> None:
        """Launch a kernel by scalars of the widths of its parameters. It may touch the arrays in ``lent``."""
        cells = [np.array(x) for x in values]
        pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        self.execute(launch, ctypes.addressof(pointers))

    def execute(self, launch: Launch, parameters: int | None) -> None:
        """Launch a kernel as the driver does: by the address of pointers to its parameters."""
        self.launches.append(launch)
        entry = getattr(self.build(launch.program, launch.macros), f"run_{launch.kernel}")
        entry.restype, entry.argtypes = ctypes.c_char_p, [Geometry, ctypes.c_void_p, ctypes.c_void_p]
        arrays = [x for x in self.lent if isinstance(x, np.ndarray)]
        slab = self.lent[8] if launch.slab else None
        regions = (Region * len(arrays))(*(Region(*_extent(x), x is slab) for x in arrays))
        most = launch.blocks if launch.wide else self.most_blocks  # the fewer, the more rows to each
        shape = min(launch.blocks, most), launch.threads, launch.shared_bytes
        geometry = Geometry(*shape, len(arrays), launch.wide and self.cooperates, next(self.seeds))
        failure = entry(geometry, ctypes.addressof(regions), parameters)
        if failure:
            raise EmulatorError(failure.decode())


def _strides(x: np.ndarray) -> tuple[int, ...]:
    return tuple(stride // x.itemsize for stride in x.strides)


def _extent(x: np.ndarray) -> tuple[int, int]:
    """The first byte of an array, and the number of bytes to its last."""
    low, high = np.lib.array_utils.byte_bounds(x)
    return low, high - low


def _value(x: Any) -> np.generic:
    if isinstance(x, int):
        return np.int32(x)
    return np.uint64(0 if x is None else x.ctypes.data)
