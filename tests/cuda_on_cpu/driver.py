"""A CUDA driver for `cuda.core`: it has one device, and whatever is launched runs in the emulator."""

import ctypes
import subprocess
from functools import cache, lru_cache
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cuda_on_cpu.emulator import COMPILER, HERE, Emulator

from ksubset.backends._cuda.launch import PROGRAMS, Launch, source

SONAME = "libcuda.so.1"


class Launched(ctypes.Structure):
    """What the driver is asked to launch."""

    _fields_ = (
        ("image", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("cooperative", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
    )


LISTENER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Launched))


@cache
def library() -> ctypes.CDLL:
    """Loaded before `cuda.core` looks for a driver, which finds this one by its name."""
    assert COMPILER
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", f"-Wl,-soname,{SONAME}"]
    with TemporaryDirectory() as folder:
        file = f"{folder}/{SONAME}"
        command = [COMPILER, *flags, str(HERE / "driver.cpp"), "-ldl", "-o", file]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        return ctypes.CDLL(file)


def need() -> None:
    """Skip a test where `cuda.core` is not installed, or has a driver of its own."""
    pytest.importorskip("cuda.core", reason="the package cuda-core is not installed", exc_type=ImportError)
    if not library.cache_info().currsize:
        try:
            ctypes.CDLL(SONAME)
        except OSError:
            return
        pytest.skip(f"{SONAME} of a real CUDA driver is loaded here, and cuda.core would use it, not the emulator's")


class Driver:
    """The driver, and the streams of the launches as they come."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
        from ksubset.backends._cuda import by_cuda_core, cubin

        self.emulator, self.error = emulator, None
        self.streams: list[int | None] = []
        self.listener = LISTENER(self._launch)
        library().tell(self.listener)
        monkeypatch.setattr(cubin, "machine_code", _image)
        for name in ("_code", "kernel"):
            monkeypatch.setattr(by_cuda_core, name, lru_cache(getattr(by_cuda_core, name).__wrapped__))

    def _launch(self, pointer: Any) -> int:
        """What a launch ends in; an error must not cross the driver."""
        launched = pointer[0]
        try:
            assert (*launched.grid[1:], *launched.block[1:]) == (1, 1, 1, 1)
            program, *values = launched.image.decode().split()
            macros = dict(value.split("=") for value in values)
            name, geometry = launched.name.decode(), (launched.grid[0], launched.block[0], launched.shared_bytes)
            self.streams.append(launched.stream)
            slab, wide = macros.get("KSUBSET_SLAB"), "KSUBSET_WIDE" in macros
            launch = Launch(name, macros["KSUBSET_REAL"], *geometry, slab and slab == "1", wide=wide)
            assert launch.program == program
            assert launched.cooperative == wide
            self.emulator.execute(launch, launched.parameters)
        except Exception as error:
            self.error = error
            return 1
        return 0


def _image(code: str, macros: tuple[tuple[str, str], ...], architecture: str) -> bytes:
    """In the place of a cubin: which program and variant it is."""
    (program,) = (program for program in PROGRAMS if code == source(program))
    assert architecture == "sm_90"
    return " ".join([program, *map("=".join, macros)]).encode() + b"\0"
