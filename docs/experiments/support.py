"""What the experiments share: arguments, data folders, runs that resume, results that say how they were made."""

import json
import os
import platform
import shlex
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
RESULTS, FIGURES, RUNS = HERE / "results", HERE / "figures", HERE / "runs"
PACKAGES = ("ksubset", "numpy", "torch", "jax", "numba", "pysindy", "scikit-learn")


class Claim(NamedTuple):
    """What an experiment should show, and whether it did."""

    text: str
    holds: bool


def parser(description: str | None) -> ArgumentParser:
    """The arguments every experiment takes."""
    arguments = ArgumentParser(description=(description or "").splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="minutes instead of hours; results go to runs/quick")
    arguments.add_argument("--data", type=Path, help="folder of the data sets; else the variable KSUBSET_DATA")
    return arguments


def data_file(options: Namespace, name: str, source: str) -> Path:
    """A file of a data set, or an end with one line that says where to get it."""
    folder = options.data or os.environ.get("KSUBSET_DATA")
    if not folder:
        sys.exit(f"{name} is needed: {source}. Say where it is with --data DIR or the variable KSUBSET_DATA.")
    path = Path(folder, name)
    if not path.is_file():
        sys.exit(f"{path} does not exist: {source}.")
    return path


def folder(options: Namespace, full: Path) -> Path:
    """``full``, or where quick results go instead; made if absent."""
    chosen = RUNS / "quick" / full.name if options.quick else full
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def save(options: Namespace, name: str, results: Mapping[str, Any], started: float) -> None:
    """Write the results, the command, versions, processor and seconds since ``started`` (of `time.time`)."""
    how = {
        "command": shlex.join(["python", f"docs/experiments/{Path(sys.argv[0]).name}", *_without_data(sys.argv[1:])]),
        "seconds": round(time.time() - started),
        "python": platform.python_version(),
        "packages": {package: found for package in PACKAGES if (found := _version(package))},
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    path = folder(options, RESULTS) / f"{name}.json"
    path.write_text(json.dumps({"how": how, **results}, indent=1) + "\n")
    print(f"wrote {path}")


def finish(claims: list[Claim]) -> None:
    """Print the claims; the process fails if one does not hold."""
    for claim in claims:
        print(f"{'holds' if claim.holds else 'FAILS'}: {claim.text}")
    if not all(claim.holds for claim in claims):
        sys.exit(1)


def _without_data(words: list[str]) -> list[str]:
    """The folder of the data is of no interest to others."""
    apart = [("DIR" if i and words[i - 1] == "--data" else word) for i, word in enumerate(words)]
    return ["--data=DIR" if word.startswith("--data=") else word for word in apart]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
