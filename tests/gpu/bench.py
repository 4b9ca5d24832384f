"""Time a training step on the device beside what people run there today: kernels, whole calls, memory, bandwidth.

    python tests/gpu/bench.py [--out FILE.json] [--seconds 180]

A step draws subsets and goes back through them. Times are by the device's events. The time of a kernel has no gap
before it; that of a call has all of them. The bandwidth is that of the arrays a kernel is given, against a copy's.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from benchmarks.peers import dynamic_programme, gumbel_straight_through, softsub, uniform_noise
from device import EMULATED, Span, enter

import ksubset
from ksubset.backends._cuda.launch import Launch
from ksubset.backends.torch import cuda

SHAPES = [
    (128, 10, 5),
    (2000, 20, 10),
    (128, 350, 10),
    (32, 1000, 100),
    (64, 2000, 1000),
    (8, 131_072, 4096),
    (1, 1_000_000, 500_000),
    (16_384, 8, 2),
    (65_536, 64, 8),
    (131_072, 64, 8),
    (1024, 4096, 64),
    (8192, 256, 32),
]
SMALL = [(2, 9, 4), (3, 33, 5)]
LEAST, MOST, ENOUGH = 3, 50, 1000.0
"""Repetitions, and the milliseconds after which there are no more."""

Layer = Callable[[torch.Tensor, int], torch.Tensor]


def several_sizes(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Subsets of k − 6 to k items."""
    return ksubset.rsample(logits, ksubset.between(max(k - 6, 0), k))


LAYERS: dict[str, Layer] = {
    "ksubset": ksubset.rsample,
    "ksubset, seven sizes": several_sizes,
    "gumbel": gumbel_straight_through,
    "gumbel, faster noise": partial(gumbel_straight_through, noise=uniform_noise),
    "softsub": softsub,
    "dynamic programme": dynamic_programme,
}
WORK: dict[str, float] = {"softsub": 5e8, "dynamic programme": 3e8}
"""Above its number of rows · n · k a peer is left out: it would take all of the time or the memory."""


class Kernels:
    """Times the kernels of a step while it is entered, with the bytes of their arrays."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span, int]] = []

    def __enter__(self) -> "Kernels":
        self.run = cuda._run
        cuda._run = self._timed
        return self

    def __exit__(self, *error: object) -> None:
        cuda._run = self.run

    def _timed(self, launch: Launch, arguments: list[Any], like: torch.Tensor) -> None:
        with Span() as span:
            self.run(launch, arguments, like)
        arrays = [x for x in arguments if isinstance(x, torch.Tensor)]
        self.spans.append((launch.kernel, span, sum(x.numel() * x.element_size() for x in arrays)))

    def found(self, bandwidth: float) -> dict[str, dict[str, float]]:
        """By kernel: the median of its milliseconds, and the share of the bandwidth, in bytes to the millisecond."""
        sizes = {name: size for name, _, size in self.spans}
        times = {name: median(span.milliseconds for other, span, _ in self.spans if other == name) for name in sizes}
        return {
            name: {"ms": times[name], "share of bandwidth": size / times[name] / bandwidth}
            for name, size in sizes.items()
        }


def step(layer: Layer, logits: torch.Tensor, target: torch.Tensor, k: int) -> None:
    x = logits.clone().requires_grad_()
    ((layer(x, k) - target) ** 2).sum().backward()


def timed(task: Callable[[], object]) -> float:
    with Span() as span:
        task()
    return span.milliseconds


def bandwidth(place: str) -> float:
    """Bytes to the millisecond of a copy, which reads and writes."""
    source = torch.zeros(1 << (16 if EMULATED else 28), dtype=torch.float32, device=place)
    goal = torch.empty_like(source)
    return 2 * source.numel() * 4 / median(timed(lambda: goal.copy_(source)) for _ in range(5))


def repeated(task: Callable[[], object]) -> dict[str, float]:
    """The time of the first call, the median of the others, and the memory they need beside what there was."""
    first, again = timed(task), timed(task)
    before = 0 if EMULATED else torch.cuda.memory_allocated()
    if not EMULATED:
        torch.cuda.reset_peak_memory_stats()
    count = 1 if EMULATED else max(LEAST, min(MOST, int(ENOUGH / max(again, 0.01))))
    found = {"first ms": first, "ms": median(timed(task) for _ in range(count))}
    return found if EMULATED else found | {"MiB": (torch.cuda.max_memory_allocated() - before) / 2**20}


def measure(place: str, rows: int, n: int, k: int, peak: float, end: float) -> dict[str, Any]:
    """All that is known of a shape, by layer."""
    torch.manual_seed(0)
    logits, target = torch.randn(rows, n, device=place), torch.rand(rows, n, device=place)
    found: dict[str, Any] = {"rows": rows, "n": n, "k": k, **quality(logits, k)}
    for name, layer in LAYERS.items():
        if time.monotonic() > end or rows * n * k > WORK.get(name, float("inf")):
            found[name] = "out of time" if time.monotonic() > end else "too large"
            continue
        try:
            found[name] = repeated(partial(step, layer, logits, target, k))
        except Exception as error:  # of memory, for example: the others may have enough
            found[name] = f"{type(error).__name__}: {str(error)[:120]}"
    with Kernels() as kernels:
        for _ in range(1 if EMULATED else 5):
            step(ksubset.rsample, logits, target, k)
    return found | {"kernels": kernels.found(peak)}


def quality(logits: torch.Tensor, k: int) -> dict[str, Any]:
    """How far marginals are from summing to k, and whether subsets have k items."""
    off = float((ksubset.marginals(logits, k).sum(-1) - k).abs().max())
    return {"sum of marginals off by": off, "k ones": bool((ksubset.sample(logits, k).sum(-1) == k).all())}


def in_words(found: dict[str, Any]) -> str:
    """A line."""
    mine = found["ksubset"]
    cells = [f"({found['rows']}, {found['n']}, {found['k']})"]
    for name in LAYERS:
        value = found[name]
        if isinstance(value, str) or isinstance(mine, str):
            cells.append(f"{name} {value}")
        else:
            ratio = "" if name == "ksubset" else f" (x{value['ms'] / mine['ms']:.2f})"
            cells.append(f"{name} {value['ms']:.3f} ms{ratio}")
    for name, kernel in found["kernels"].items():
        cells.append(f"{name} {kernel['ms']:.3f} ms, {kernel['share of bandwidth']:.0%} of the bandwidth")
    return "; ".join([*cells, f"off by {found['sum of marginals off by']:.1e}", f"k ones: {found['k ones']}"])


def main() -> None:
    """Print a line for each shape, and write everything."""
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ask.add_argument("--out", type=Path)
    ask.add_argument("--seconds", type=float, default=180)
    asked, place = ask.parse_args(), enter()
    end, peak = time.monotonic() + asked.seconds, bandwidth(place)
    name = "the emulator" if EMULATED else torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}, ksubset {ksubset.__version__}, {peak / 1e6:.0f} GB/s", flush=True)
    results = []
    for shape in SMALL if EMULATED else SHAPES:
        results.append(measure(place, *shape, peak, end))
        print(in_words(results[-1]), flush=True)
        if asked.out:
            document = {"device": name, "torch": torch.__version__, "GB/s": peak / 1e6, "shapes": results}
            asked.out.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
