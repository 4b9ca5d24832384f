"""Where the time of the goals that are missed goes: tables of the same page, written by the same session.

    python tests/benchmarks/profiles.py --page docs/benchmark_goals.md

One thread. ``--quick`` makes few calls, which checks the program.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from case import Case
from goal import Call
from goal_rows import FIRST, IMPORT, MANY, THREE, WIDE, compiled_step, small_step, step, words
from page import put, table
from settings import require_fast, thread_count
from timing import Job, grow_heap, interleaved, summary

import ksubset
from ksubset._law import functions
from ksubset.backends._cpu import small
from ksubset.backends._cpu.prepared import prepared

Row = tuple[str, ...]


def medians(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Milliseconds of calls in turn."""
    times = interleaved({name: Job(call) for name, call in calls.items()}, seconds, turn=0.01)
    return {name: summary(found)["median_ms"] for name, found in times.items()}


def kernel(name: str, logits: np.ndarray, k: int, *others: np.ndarray) -> Call:
    """A kernel on a few rows without what leads to it."""
    n, rows, address = logits.shape[-1], logits.size // logits.shape[-1], small.NUMPY.address
    launch = small.launcher(prepared(name, logits.dtype, rows, n, min(k, n - k)), k)
    out, given = np.empty(others[0].shape if others else logits.shape, logits.dtype), tuple(map(address, others))
    arguments = {
        "moments": (0, 0, address(out), 0),
        "scores": (*given, sum(x.size for x in others) // logits.size, address(out)),
        "divergences": (*given, address(out)),
    }[name]
    return lambda _alive=(others, out): launch(address(logits), *arguments)


def ask(name: str, k: int, x: Any, *second: Any) -> Any:
    """One of the three functions, by its name."""
    function = getattr(ksubset, name)
    return function(x, *second, k) if name == "kl_divergence" else function(x, k, *second)


def few_items(name: str, shape: tuple[int, int, int], draws: int, seconds: float) -> Row:
    """What the kernel takes of a call that is over soon."""
    x, k = Case(*shape).normal(), shape[-1]
    second = {
        "marginals": [],
        "log_prob": [ksubset.sample(x, k, rng=0, sample_shape=(draws,))],
        "kl_divergence": [x[:, ::-1].copy()],
    }[name]
    kind = np.float64 if name == "kl_divergence" else np.float32
    arrays = [array.astype(kind) for array in (x, *second)]
    way_found = partial(small.value, getattr(functions, name), k, small.NUMPY, 1e8, x, *second)
    found = medians(
        {
            "kernel": kernel(KERNELS[name], arrays[0], k, *arrays[1:]),
            "way found": way_found,
            "numpy": partial(ask, name, k, x, *second),
            "torch": partial(ask, name, k, *map(torch.from_numpy, (x, *second))),
        },
        seconds,
    )
    what = f"{name}{f' of {draws} subsets' if draws > 1 else ''}, {words(shape)}"
    return what, *(
        f"{1e3 * ms:.1f}" if call != "way found" or way_found() is not None else "" for call, ms in found.items()
    )


KERNELS = {"marginals": "moments", "log_prob": "scores", "kl_divergence": "divergences"}
FEW = [
    ("marginals", (1, 10, 5), 1),
    ("marginals", (1, 50, 20), 1),
    ("log_prob", (1, 50, 20), 1),
    ("log_prob", (1, 200, 80), 1000),
    ("kl_divergence", (1, 50, 20), 1),
]


def numbers_of_rows(seconds: float) -> list[Row]:
    """What a divergence consists of, as multiples of float32's marginals."""
    x, k = Case(*WIDE).normal(), WIDE[-1]
    wide, other = x.astype(float), x[:, ::-1].copy()
    found = medians(
        {
            "unit": lambda: ksubset.marginals(x, k),
            "marginals": lambda: ksubset.marginals(wide, k),
            "entropy": lambda: ksubset.entropy(wide, k),
            "log_normalizer": lambda: ksubset.log_normalizer(wide, k),
            "kl_to_uniform of float32": lambda: ksubset.kl_to_uniform(x, k),
            "kl_divergence of float32": lambda: ksubset.kl_divergence(x, other, k),
        },
        seconds,
    )
    unit = found.pop("unit")
    return [(name, f"{ms / unit:.2f} ×") for name, ms in found.items()]


class Nothing(torch.autograd.Function):
    """The least that a derivative of one's own costs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad


@torch.library.custom_op("ksubset_benchmark::nothing", mutates_args=())
def nothing(x: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@nothing.register_fake
def _(x: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


nothing.register_autograd(lambda ctx, grad: (grad, None))


def drawn_from_nothing(x: torch.Tensor) -> torch.Tensor:
    drawn: torch.Tensor = nothing(x, torch.randint(2**63 - 1, ()))
    return drawn


def steps(seconds: float) -> list[Row]:
    """What torch takes of a step, by functions and operations that do nothing."""
    compiled = torch.compile(drawn_from_nothing, fullgraph=True)
    found = {}
    for shape in (WIDE, MANY):
        ours, eager = compiled_step(shape)
        calls = {"ours": ours, "eager": eager, "nothing": step(compiled, *shape), "less": step(Nothing.apply, *shape)}
        found[shape] = medians(calls, seconds)
    rows = [
        (
            f"{' × '.join(map(str, shape[:2]))}: compiled over eager",
            f"{ms['ours'] - ms['eager']:.2f} ms",
            f"{ms['nothing'] - ms['less']:.2f} ms",
        )
        for shape, ms in found.items()
    ]
    ours, gumbel = small_step()
    ms = medians({"ours": ours, "Gumbel": gumbel, "less": step(Nothing.apply, 128, 10, 5)}, seconds)
    return [*rows, ("128 × 10: a step, eager", f"{ms['ours']:.2f} ms", f"{ms['less']:.2f} ms")]


def stages(codes: dict[str, str]) -> list[Row]:
    """Seconds of the stages of first calls."""
    rows = []
    for name, code in codes.items():
        with tempfile.TemporaryDirectory() as cache:
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            program = [sys.executable, str(Path(__file__).with_name("compile_stages.py")), code]
            out = subprocess.run(program, check=True, env=environment, capture_output=True, text=True).stdout
        seconds = json.loads(out)
        whole = seconds.pop("whole")
        parts = [seconds.get(part, 0.0) for part in ("types", "lowering", "LLVM", "other passes")]
        rows.append((name, *(f"{part:.1f}" for part in (*parts, whole - sum(parts), whole))))
    return rows


SECOND = {
    "import ksubset": "import ksubset",
    "import numba": "import numba",
    "the sources of all kernels": "import ksubset.backends._cpu.calls",
    "marginals": "ksubset.marginals(x, 3)",
    "rsample, backward": "ksubset.rsample(x, 3).sum().backward()",
}
CLOCK = "import time, json; times = []; mark = lambda: times.append(time.perf_counter()); mark()\n"


def second_process(processes: int) -> list[Row]:
    """Milliseconds of the steps of a process that finds its kernels compiled, medians of some processes."""
    code = IMPORT + CLOCK + "".join(f"{step}; mark()\n" for step in SECOND.values()) + "print(json.dumps(times))"
    with tempfile.TemporaryDirectory() as cache:
        environment, runs = os.environ | {"NUMBA_CACHE_DIR": cache}, []
        for _ in range(processes + 1):
            program = [sys.executable, "-c", code]
            out = subprocess.run(program, check=True, env=environment, capture_output=True, text=True).stdout
            runs.append(np.diff(json.loads(out)))
    times = 1e3 * np.median(runs[1:], axis=0)
    return [(name, f"{ms:.0f}") for name, ms in zip(SECOND, times, strict=True)]


def main() -> None:
    """Measure, print, and write the page if one is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="check the program: few calls")
    parser.add_argument("--page", type=Path, help="Markdown in which to put the tables")
    options = parser.parse_args()
    require_fast()
    grow_heap()
    seconds, first = (0.01, {"mode": FIRST["mode"]}) if options.quick else (0.5, FIRST)
    codes = {name: f"import ksubset; {code}" for name, code in first.items()}
    codes |= {} if options.quick else {"marginals, rsample, backward": THREE}
    parts: dict[str, Callable[[], str]] = {
        "Calls of few items, in µs": lambda: table(
            ("what", "the kernel alone", "its way found", "NumPy", "torch"),
            [few_items(*given, seconds) for given in FEW],
        ),
        "Divergences, 4096 × 64, k = 8, float64": lambda: table(
            ("what", "of marginals in float32"), numbers_of_rows(seconds)
        ),
        "Steps in torch": lambda: table(("what", "ours", "a function that does nothing"), steps(seconds)),
        "First calls, cache empty, in s": lambda: table(
            ("what", "types", "lowering", "LLVM", "other passes", "the rest", "whole"), stages(codes)
        ),
        "A second process, in ms": lambda: table(("what", "time"), second_process(1 if options.quick else 5)),
    }
    with thread_count(1):
        text = "\n\n".join(f"### {name}\n\n{make()}" for name, make in parts.items())
    print(text)
    if options.page:
        put(options.page, "tests/benchmarks/profiles.py", profiles=text)


if __name__ == "__main__":
    main()
