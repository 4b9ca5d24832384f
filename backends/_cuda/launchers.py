"""Who launches kernels on memory of a framework that cannot do it itself, as torch: `cuda.core`, else CuPy."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from ksubset.backends._cuda.launch import TRIAL, Launch

PACKAGES = (
    ("cuda-core", "cuda.core", "by_cuda_core"),
    ("cupy-cuda12x", "CuPy", "by_cupy"),
    ("cupy-cuda13x", "CuPy", "by_cupy"),
)
"""Packages that can launch kernels, in the order of preference, each with its name in the world and our module."""


@dataclass(frozen=True)
class Launcher:
    """What launches kernels.

    Attributes
    ----------
    name
        Its name and version.
    run
        ``run(launch, values, index, stream)`` runs a kernel on a stream of a device. ``values`` are NumPy scalars.
    """

    name: str
    run: Callable[[Launch, list[Any], int, int], None]


def installed() -> dict[str, str]:
    """From names with versions to our modules, of the packages that are installed."""
    found = {}
    for package, name, module in PACKAGES:
        try:
            found[f"{name} {metadata.version(package)}"] = module
        except metadata.PackageNotFoundError:
            continue
    return found


def find(index: int, stream: int, cuda: str) -> Launcher | str:
    """The first that launches an empty kernel on a stream of a device; or why none does, and what to install.

    ``cuda`` is the version of CUDA that the framework is built for.
    """
    problems = []
    for name, module in installed().items():
        try:
            run = import_module(f"ksubset.backends._cuda.{module}").run
            run(TRIAL, [], index, stream)
        except Exception as error:  # of an import, a compiler or a driver, each with errors of its own
            problems.append(f"{name} fails, {in_short(error)}")
        else:
            return Launcher(name, run)
    return "; ".join(problems) or absent(f"cuda{cuda.partition('.')[0]}")


def in_short(error: Exception) -> str:
    """The kind of an error and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def absent(extra: str = "cuda13 (or cuda12)") -> str:
    """What to install."""
    return f"no package that launches kernels is installed; the extra {extra} has one, cuda.core"


def in_words() -> str:
    """Which package would be tried first, by what is installed alone."""
    found = [*installed()]
    return f"kernels launched by {found[0]}" if found else f"the core, {absent()}"
