"""What is run on a machine with a GPU, and what in its place where there is none."""

import os
import shutil
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
CORE = ["tests/api", "tests/law", "tests/engine", "tests/potential", "tests/estimators", "tests/survey"]
MATRIX = {
    "torch": (*CORE, "tests/battery", "tests/backends/torch", "tests/backends/cuda/test_gpu.py"),
    "cupy": (*CORE, "tests/battery", "tests/backends/cuda/test_gpu.py"),
    "jax": ("tests/api/test_values.py", "tests/engine/test_sampling.py", "tests/law/test_grad.py"),
}
"""Tests by framework; XLA compiles too long for all of them."""

EMULATED = {
    "torch": ("", ["tests/backends/cuda/test_cuda_torch_functions.py", "-k", "test_values or backward"]),
    "cupy": ("", ["tests/backends/cuda/test_cuda_cupy.py", "-k", "divergence or config"]),
    "jax": ("jax-cpu", ["tests/api/test_values.py", "-k", "test_mode"]),
}
"""In the place of the matrix: the targets and the tests."""

TOOLS = {"memcheck": ["--report-api-errors", "no"], "racecheck": []}
"""Of compute-sanitizer, with their options: what torch asks the driver in vain is no error of a kernel."""

SHARED = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""JAX takes memory as it needs it, and leaves the rest to the others."""

SANITIZER = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")


@dataclass(frozen=True)
class Step:
    """A process: its name, command and seconds; ``absent`` says why it is left out."""

    name: str
    command: list[str]
    limit: float
    environment: dict[str, str] = field(default_factory=dict)
    absent: str = ""


def steps(out: Path, emulated: bool) -> list[list[Step]]:
    """Groups of steps that run at the same time; what is timed runs alone."""
    return [
        [_self_check(emulated)],
        [_script("paths", 60)],
        [_script("launches", 120)],
        [_script("bench", 200, "--out", str(out / "bench.json"))],
        [_matrix(framework, emulated) for framework in MATRIX],
        [_sanitizer(tool, emulated) for tool in TOOLS],
    ]


def _self_check(emulated: bool) -> Step:
    """Of everything, or of what needs no kernel to be compiled."""
    command = [sys.executable, "-m", "ksubset"]
    if emulated:
        return Step("self-check", [*command, "numpy"], 120, {"KSUBSET_FAST": "0"})
    return Step("self-check", command, 180)


def _script(name: str, limit: float, *arguments: str) -> Step:
    absent = "" if find_spec("torch") else "torch is not installed"
    return Step(name, [sys.executable, str(HERE / f"{name}.py"), *arguments], limit, SHARED, absent=absent)


def _matrix(framework: str, emulated: bool) -> Step:
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    if emulated:
        targets, chosen = EMULATED[framework]
    else:
        targets, chosen = f"{framework}-cuda", [*MATRIX[framework], *_workers()]
    environment = {"KSUBSET_TARGETS": targets, **SHARED}
    absent = "" if find_spec(framework) else f"{framework} is not installed"
    return Step(f"matrix {framework}", [*pytest, *chosen], 240, environment, absent)


def _workers() -> list[str]:
    """Processes for one of the frameworks, which share the processors."""
    if find_spec("xdist") is None:
        return []
    return ["-n", str(max(1, (os.cpu_count() or 1) // len(MATRIX))), "--dist", "loadfile"]


def _sanitizer(tool: str, emulated: bool) -> Step:
    absent = ""
    if emulated:
        absent = "the emulator has looked for races and indices out of bounds in every step before"
    elif SANITIZER is None:
        absent = "compute-sanitizer is not installed"
    options = ["--tool", tool, *TOOLS[tool], "--kernel-name", "kns=ksubset", "--error-exitcode", "9"]
    return Step(tool, [SANITIZER or "", *options, sys.executable, str(HERE / "launches.py")], 200, absent=absent)
