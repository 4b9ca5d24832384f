"""Machine code of the kernels, compiled by NVRTC through `cuda.core` once for all processes, and kept on disk.

A file is named after all that it follows from: source, macros, architecture and NVRTC's version. Its head shows that it
is whole. Code is read only from a folder that nobody else may write to.
"""

import os
import sys
import warnings
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from threading import get_ident

from cuda.bindings import nvrtc
from cuda.core import Program, ProgramOptions

from ksubset.backends.trust import distrust

Macros = tuple[tuple[str, str], ...]
DIGEST = 32
"""Bytes at the head of a file that stand for those that follow."""

FOLDER = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
REMEDY = f"each process compiles the CUDA kernels anew, unless {FOLDER} names a folder that you alone may write to"


def machine_code(source: str, macros: Macros, architecture: str) -> bytes:
    """A cubin of a source for an architecture such as ``sm_90``, from the disk where it is there."""
    folder = _folder(os.environ.get(FOLDER))
    if folder is None:
        return compiled(source, macros, architecture)
    name = sha256(repr((source, macros, architecture, version())).encode()).hexdigest()
    file = folder / f"{name[:DIGEST]}.cubin"
    if (code := _read(file)) is None:
        code = compiled(source, macros, architecture)
        _write(file, code)
    return code


def compiled(source: str, macros: Macros, architecture: str) -> bytes:
    """A cubin, made now."""
    options = ProgramOptions(name="kernels.cu", std="c++17", arch=architecture, define_macro=list(macros) or None)
    return bytes(Program(source, "c++", options).compile("cubin").code)


@lru_cache
def version() -> tuple[int, ...]:
    """The version of NVRTC."""
    error, *numbers = nvrtc.nvrtcVersion()
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"NVRTC does not give its version: {error}")
    return tuple(numbers)


@lru_cache
def _folder(caches: str | None) -> Path | None:
    """Where machine code is kept, in the user's folder of caches; None where there is no safe place."""
    try:
        folder = (Path(caches) if caches else Path.home() / ".cache") / "ksubset"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = distrust(str(folder))
    except (OSError, RuntimeError) as error:
        _warn(f"there is no folder for compiled CUDA kernels, {error}: {REMEDY}")
        return None
    if reason:
        _warn(f"compiled CUDA kernels are not kept in {folder}: {reason}: {REMEDY}")
    return None if reason else folder


def _read(file: Path) -> bytes | None:
    reason: object = "it is damaged"
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        content, reason = b"", error
    code = content[DIGEST:]
    if sha256(code).digest() == content[:DIGEST]:
        return code
    _warn(f"the compiled CUDA kernel {file} cannot be read, and is compiled anew: {reason}")
    return None


def _write(file: Path, code: bytes) -> None:
    """Under another name first: a process that reads meanwhile sees all of it or nothing."""
    new = file.with_suffix(f".{os.getpid()}-{get_ident()}")
    try:
        new.write_bytes(sha256(code).digest() + code)
        os.replace(new, file)
    except OSError as error:
        _warn(f"compiled CUDA kernels cannot be kept in {file.parent}, {error.strerror}: {REMEDY}")
        new.unlink(missing_ok=True)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
