"""Speed of the CPU fast path, in one process: against the core, against what people use in its place, and the floor.

    python tests/benchmarks/run.py --out docs/benchmark.json --figures docs/figures --page docs/benchmark.md

``KSUBSET_FLOOR`` may name the library of the floor. `docs/benchmark.md` says what is measured.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import report
from case import FULL, QUICK, SHAPES, Budget, Case, Record

THREADS, DTYPES = (1, 2), ("float32", "float64")


def measure_all(budget: Budget) -> Iterator[Record]:
    """Every experiment, in both dtypes, on one and on two threads."""
    from draws import compare_draws
    from kernels import compare_kernels
    from layers import compare_layers, compare_marginals
    from scaling import scale_up, vary_length_and_size
    from settings import thread_count

    for threads, dtype in product(THREADS, DTYPES):
        with thread_count(threads):
            for case in (
                Case(*shape, dtype, threads) for shape in SHAPES if shape[0] * shape[1] <= budget.most_numbers
            ):
                yield from compare_layers(case, budget)
                yield compare_marginals(case, budget)
                yield from compare_kernels(case, budget)
            yield compare_draws(dtype, threads, budget)
    with thread_count(1):
        yield from scale_up(budget)
        yield from vary_length_and_size(budget)


def measure(quick: bool) -> dict[str, Any]:
    """All records, and the conditions under which they came about."""
    from settings import require_fast
    from timing import grow_heap

    require_fast()
    grow_heap()
    began, load, records = time.perf_counter(), os.getloadavg()[0], []
    for record in measure_all(QUICK if quick else FULL):
        print(describe(record), flush=True)
        records.append(record)
    found = conditions() | {"load before": round(load, 2), "minutes": round((time.perf_counter() - began) / 60, 1)}
    return {"conditions": found | {"quick": quick}, "records": records}


def conditions() -> dict[str, Any]:
    """The machine and the versions."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "torch"))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "processors available": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "software": f"Python {platform.python_version()}, {packages}, {platform.system()}",
        "floor": "compiled" if os.environ.get("KSUBSET_FLOOR") else "not given",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def describe(record: Record) -> str:
    """A line to read while waiting."""
    rows, n, k, dtype, threads = (record[field] for field in Case._fields)
    ours = record["times"]["ksubset"]["median_ms"]
    others = (f"{name} {ours / t['median_ms']:.2f}" for name, t in record["times"].items() if name != "ksubset")
    place = f"{record['experiment']} ({rows}, {n}, {k}) {dtype} × {threads}"
    return f"{place}: {ours:.3f} ms; ratio to others: {', '.join(others) or 'none'}"


def main() -> None:
    """Measure or read, then write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="check the program: few calls, small shapes")
    parser.add_argument("--read", type=Path, help="JSON of an earlier run, in place of measuring")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--page", type=Path, help="Markdown in which to put the tables")
    parser.add_argument("--figures", type=Path, help="folder in which to put the pictures")
    options = parser.parse_args()
    result = json.loads(options.read.read_text()) if options.read else measure(options.quick)
    if options.out:
        records = ",\n".join(map(json.dumps, result["records"]))
        options.out.write_text(f'{{"conditions": {json.dumps(result["conditions"])},\n"records": [\n{records}\n]}}\n')
    if options.page:
        report.write(result, options.page)
    if options.figures:
        import figures

        figures.draw(result, options.figures)
    print(f"\n{report.ratio_tables(result)}")


if __name__ == "__main__":
    main()
