"""Machine code of the kernels: compiled by cuda-core with the NVRTC of the wheels, and kept on disk safely."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cuda_on_cpu.emulator import OWN_SESSION
from cuda_on_cpu.nvrtc import NVRTC, library
from folders import needs_owners

from ksubset.backends._cuda.launch import KERNELS, Launch, source

pytest.importorskip("cuda.core", reason="the package cuda-core is not installed", exc_type=ImportError)
from ksubset.backends._cuda import cubin

pytestmark = [NVRTC, OWN_SESSION]

EMPTY = 'extern "C" __global__ void nothing() {}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where machine code is kept: a folder that does not exist yet."""
    caches = tmp_path / "caches"
    monkeypatch.setenv(cubin.FOLDER, str(caches))
    return caches / "ksubset"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is compiled, as it comes; its machine code is its arguments."""
    found: list[Any] = []
    monkeypatch.setattr(cubin, "compiled", lambda *of: found.append(of) or repr(of).encode())
    return found


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("real", ["float", "double"])
def test_cuda_core_compiles_the_kernels(real: str, kernel: str) -> None:
    launch = Launch(kernel, real, 0, 0, 0, True if kernel == "ksubset_descend" else None)
    code = cubin.compiled(source(launch.program), launch.macros, "sm_90")
    assert code.startswith(b"\x7fELF")
    assert f".text.{kernel}\0".encode() in code


def test_cuda_core_loads_the_compiler_of_the_wheel() -> None:
    """That of nvidia-cuda-nvrtc, on which torch's wheels depend: no toolkit is looked for."""
    assert len(cubin.version()) == 2
    with open("/proc/self/maps") as maps:
        assert str(Path(str(library())).resolve()) in maps.read()


def test_an_error_of_the_compiler_is_told() -> None:
    with pytest.raises(Exception, match="NVRTC_ERROR_COMPILATION"):
        cubin.machine_code("no source", (), "sm_90")


def test_another_process_compiles_nothing(folder: Path) -> None:
    script = f"""
from ksubset.backends._cuda import cubin
made = cubin.compiled
cubin.compiled = lambda *of: print("compiles") or made(*of)
print(cubin.machine_code({EMPTY!r}, (), "sm_90")[:4])
"""
    run = [sys.executable, "-W", "error", "-c", script]
    printed = [subprocess.run(run, check=True, capture_output=True, text=True).stdout.split() for _ in range(2)]
    assert printed == [["compiles", "b'\\x7fELF'"], ["b'\\x7fELF'"]]
    assert len([*folder.iterdir()]) == 1


def test_a_file_is_for_one_source_macros_architecture_and_compiler(made: list[Any], monkeypatch) -> None:
    variants = [("a", (), "sm_90"), ("b", (), "sm_90"), ("a", (("A", "0"),), "sm_90"), ("a", (), "sm_75")]
    for _ in range(2):
        assert [cubin.machine_code(*of) for of in variants] == [repr(of).encode() for of in variants]
    assert made == variants
    monkeypatch.setattr(cubin, "version", lambda: (99, 0))
    cubin.machine_code(*variants[0])
    assert made == [*variants, variants[0]]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100])
def test_a_damaged_file_is_compiled_anew(made: list[Any], folder: Path, content: bytes) -> None:
    code = cubin.machine_code("a", (), "sm_90")
    (file,) = folder.iterdir()
    file.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"\.cubin cannot be read, and is compiled anew: it is damaged"):
        assert cubin.machine_code("a", (), "sm_90") == code
    assert cubin.machine_code("a", (), "sm_90") == code
    assert len(made) == 2


@needs_owners
def test_a_folder_that_others_may_write_to_is_refused(made: list[Any], folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f"not kept in .*: other users may write to {folder}"):
        cubin.machine_code("a", (), "sm_90")
    cubin.machine_code("a", (), "sm_90")  # the warning comes once
    assert len(made) == 2
    assert [*folder.iterdir()] == []


def test_where_there_can_be_no_folder_each_process_compiles(made: list[Any], folder: Path) -> None:
    folder.parent.write_text("a file in the way")
    with pytest.warns(RuntimeWarning, match="there is no folder for compiled CUDA kernels"):
        cubin.machine_code("a", (), "sm_90")
    assert len(made) == 1


def test_a_full_disk_costs_time_alone(made: list[Any], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def replace(*names: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.warns(RuntimeWarning, match="cannot be kept in .*, No space left on device"):
        assert cubin.machine_code("a", (), "sm_90")
    assert [*folder.iterdir()] == []


def test_the_folder_is_the_users_own_if_no_other_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cubin._folder.__wrapped__(None) == tmp_path / ".cache" / "ksubset"
