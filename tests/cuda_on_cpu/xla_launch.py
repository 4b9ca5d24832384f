"""JAX on the CPU in the place of JAX on a GPU: its programs call the handler of CUDA launches."""

import ctypes
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np
import pytest
from cuda_on_cpu.emulator import COMPILER, HERE, Emulator
from numba import int64

from ksubset.backends._cpu import compiling
from ksubset.backends._cuda.launch import Device
from ksubset.backends.jax import cuda, cuda_handler, kernels


class Array(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t))


LISTENER = ctypes.CFUNCTYPE(None, ctypes.POINTER(Array), ctypes.c_int)


@cache
def library() -> ctypes.CDLL:
    assert COMPILER
    with TemporaryDirectory() as folder:
        file = f"{folder}/xla.so"
        command = [COMPILER, "-std=c++17", "-O1", "-fPIC", "-shared", str(HERE / "xla.cpp"), "-o", file]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        return ctypes.CDLL(file)


@contextmanager
def installed(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> Iterator[None]:
    """Let programs for the CPU be what programs for CUDA are."""

    def lend(arrays: Any, count: int) -> None:
        emulator.lent = [_memory(arrays[i]) for i in range(count)]

    listener, real = LISTENER(lend), jax.default_backend
    monkeypatch.setattr(cuda, "_device", lambda: Device(0, 2))
    monkeypatch.setattr(cuda, "_index", lambda: 0)
    monkeypatch.setattr(jax, "default_backend", lambda: cuda.BACKEND)
    for known in (cuda.ready, cuda._loaded):
        known.cache_clear()
    assert not isinstance(reason := cuda.ready(), str), reason
    library().stand_before(ctypes.c_void_p(compiling.handler(cuda_handler.launch, int64)), listener)
    jax.ffi.register_ffi_target(cuda.TARGET, jax.ffi.pycapsule(library().handle), platform="cpu")
    kernels.lower_on("cpu", cuda)
    jax.clear_caches()
    try:
        yield
    finally:
        monkeypatch.setattr(jax, "default_backend", real)
        kernels.lower_on("cpu", kernels.cpu)
        jax.clear_caches()


def _memory(array: Array) -> np.ndarray:
    return np.ctypeslib.as_array(ctypes.cast(array.data, ctypes.POINTER(ctypes.c_uint8)), (array.bytes,))
