"""The report of the self-check: a table for people, or JSON. Each gives whether all is well."""

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

import ksubset
from ksubset._selfcheck import Checked, Unusable
from ksubset._selfcheck.checks import BOUND, CHECKS, DRAWS, FALSE_ALARM, LAYER, LEAST, Finding
from ksubset._selfcheck.places import is_installed
from ksubset.backends._cpu import dispatch
from ksubset.backends._cuda import launchers

OPTIONAL = {
    "numpy": ("numpy", "NumPy arrays, and random numbers for namespaces that have none"),
    "torch": ("torch", "torch tensors on CPUs and GPUs, with gradients"),
    "jax": ("jax", "JAX arrays on CPUs and accelerators, with gradients, jit and vmap"),
    "cupy": ("cupy", "CuPy arrays on NVIDIA GPUs, by CUDA kernels"),
    "cuda.core": ("cuda13", "CUDA kernels for torch tensors on NVIDIA GPUs; cuda12, where torch is built for CUDA 12"),
    "numba": ("fast", "speed on CPUs: compiled kernels for NumPy, torch and JAX"),
    "numpyro": ("numpyro", "ksubset.backends.numpyro.KSubset, a distribution for NumPyro's models"),
}
"""Optional packages, by module: the extra that installs each, and its benefit."""

COLUMNS = "{:<24} {:<12} {:<8} {:<12} {:<12} {:<12} {:>9}  {}"
BOUNDS = ", ".join(f"{bound:g} for {dtype}" for dtype, bound in BOUND.items())
LEGEND = f"""
marginals, gradient: the largest relative error against enumeration; at most {BOUNDS}
sampling: the p-value of a chi-squared test of {DRAWS} subsets; at least {FALSE_ALARM:g}, its rate of false alarms
layer: rsample forward and backward, {LAYER[0]} rows of {LAYER[1]} items, k = {LAYER[2]}; the median of at least {LEAST}
"""

Results = Iterable[Checked | Unusable]


def is_well(results: Sequence[Checked | Unusable], asked: Sequence[str]) -> bool:
    """Something was checked, and everything that was asked for, and all of it agrees."""
    checked = [r for r in results if isinstance(r, Checked)]
    return bool(checked) and all(r.agrees for r in checked) and set(asked) <= {r.framework for r in checked}


def missing() -> dict[str, tuple[str, str]]:
    """The entries of `OPTIONAL` that are not installed."""
    return {module: about for module, about in OPTIONAL.items() if not is_installed(module)}


def as_json(results: Results, asked: Sequence[str]) -> bool:
    """Print one object."""
    results = list(results)
    well = is_well(results, asked)
    document = {
        "ksubset": ksubset.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "agrees": well,
        "fast_path": {"on": dispatch.obstacle() is None, "obstacle": dispatch.obstacle()},
        "cuda_tensors_of_torch": launchers.in_words(),
        "checked": [{"agrees": r.agrees, **asdict(r)} for r in results if isinstance(r, Checked)],
        "unusable": [asdict(r) for r in results if isinstance(r, Unusable)],
        "missing": [{"module": m, "extra": extra, "brings": brings} for m, (extra, brings) in missing().items()],
    }
    print(json.dumps(document, indent=1, allow_nan=False))
    return well


def print_table(results: Results, asked: Sequence[str]) -> bool:
    """Print a row for each place and dtype as soon as it is checked, then the remarks about them."""
    obstacle = dispatch.obstacle()
    print(f"ksubset {ksubset.__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"CPU fast path: {f'off, {obstacle}' if obstacle else 'on'}")
    print(f"CUDA tensors of torch: {launchers.in_words()}\n" if is_installed("torch") else "")
    found = [*_printed(results)]
    if any(isinstance(r, Checked) for r in found):
        print(LEGEND)
    for lines in (_paths(found), _problems(found), _unusable(found), _missing()):
        if lines:
            print(*lines, "", sep="\n")
    print(_verdict(found, asked))
    return is_well(found, asked)


def _printed(results: Results) -> Iterator[Checked | Unusable]:
    """Pass results on, printed, under a header if there is anything to print."""
    header = COLUMNS.format("framework", "device", "dtype", *CHECKS, "layer", "computed by")
    for result in results:
        if isinstance(result, Checked):
            print(*filter(None, [header, _row(result)]), sep="\n", flush=True)
            header = ""
        yield result


def _row(result: Checked) -> str:
    cells = [_cell(name, finding) for name, finding in result.findings.items()]
    time = "failed" if result.layer_ms is None else f"{result.layer_ms:.2f} ms"
    kernels = [path.partition(":")[0] for name, path in result.paths.items() if name != "everything else"]
    place = f"{result.framework} {result.version}", result.device, result.dtype
    return COLUMNS.format(*place, *cells, time, ", ".join(dict.fromkeys(kernels)))


def _cell(name: str, finding: Finding) -> str:
    if finding.value is None:
        text = "not finite" if finding.problem is None else "failed"
    else:
        text = f"p = {finding.value:.2g}" if name == "sampling" else f"{finding.value:.1e}"
    return _coloured(f"{text:<12}" if finding.agrees else f"{'✗ ' + text:<12}", finding.agrees)


def _coloured(text: str, good: bool) -> str:
    """Green or red, where a person looks at a terminal that has colours and wants them."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{32 if good else 31}m{text}\x1b[0m"


def _paths(results: Results) -> list[str]:
    """How the layer is computed, told once for the places that compute it in the same way."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for r in results:
        if isinstance(r, Checked):
            groups.setdefault(tuple(r.paths.items()), []).append(f"{r.framework} {r.device} {r.dtype}")
    lines = []
    for paths, places in groups.items():
        lines.append(f"the layer on {', '.join(places)}:")
        ways = dict.fromkeys(path for _, path in paths)
        lines += [f"  {', '.join(name for name, path in paths if path == way)}: {way}" for way in ways]
    return lines


def _problems(results: Results) -> list[str]:
    return [
        f"{r.framework} {r.device} {r.dtype}, {name}: {finding.problem}"
        for r in results
        if isinstance(r, Checked)
        for name, finding in r.findings.items()
        if finding.problem
    ]


def _unusable(results: Results) -> list[str]:
    found = [r for r in results if isinstance(r, Unusable)]
    lines = [f"  {' '.join(filter(None, (r.framework, r.device)))}: {r.reason}" for r in found]
    return ["installed, but not to be used here:", *lines] if lines else []


def _missing() -> list[str]:
    lines = [f"  {extra:<8} {brings}" for extra, brings in missing().values()]
    return ['not installed; python -m pip install ".[EXTRA]" in a clone, with the extra', *lines] if lines else []


def _verdict(results: Results, asked: Sequence[str]) -> str:
    checked = [r for r in results if isinstance(r, Checked)]
    wrong = [f"{r.framework} {r.device} {r.dtype}" for r in checked if not r.agrees]
    absent = [name for name in asked if name not in {r.framework for r in checked}]
    if wrong:
        return _coloured(f"WRONG: {', '.join(wrong)}", False)
    if absent:
        return _coloured(f"NOT CHECKED, though asked for: {', '.join(absent)}", False)
    if not checked:
        return _coloured("NOTHING CHECKED: there is no array framework that can be used", False)
    return _coloured("Everything agrees.", True)
