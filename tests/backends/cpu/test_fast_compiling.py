"""What becomes of a kernel's functions: their code depends on themselves alone, not on who calls them first."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from numba import config, float64

from ksubset.backends._cpu import compiling


@compiling.inner
def squared(x: float) -> float:
    return x * x


@compiling.apart
def halved(x: float) -> float:
    return x / 2


@compiling.inlined
def between(x: float) -> float:
    return squared(x) + halved(x)


def outermost(x: float) -> float:
    return between(x) + 1


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    kernel = compiling.kernel(outermost)
    assert kernel(3.0) == 11.5
    return kernel


def test_a_function_is_forced_into_its_callers_only_if_it_says_so(kernel: Any) -> None:
    forced = {part: part.overloads[float64,].fndesc.inline for part in (squared, halved, between)}
    assert forced == {squared: False, halved: False, between: True}


def test_a_loop_apart_has_code_of_its_own(kernel: Any) -> None:
    code = kernel.inspect_llvm((float64,))
    defined = [line for line in code.splitlines() if line.startswith("define")]
    assert any("halved" in line for line in defined)
    assert not any("squared" in line for line in defined)
