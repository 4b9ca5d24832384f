"""Pictures of how the time grows, in PNG."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from case import Record
from matplotlib.axes import Axes

AXES = {
    "scaling: n": ("n", "items n (32 rows, k = 10)"),
    "scaling: k": ("k", "size of the subset k (32 rows, n = 2000)"),
    "scaling: batch": ("rows", "rows (n = 64, k = 8)"),
}
LABELS = {
    "ksubset": ("ksubset", "C0", "o-"),
    "core": ("ksubset, without the fast path", "C0", "o:"),
    "Gumbel": ("Gumbel top-k, straight-through", "C1", "s-"),
    "SoftSub": ("SoftSub", "C2", "^-"),
}


def draw(result: dict[str, Any], folder: Path) -> None:
    """Draw every picture, at ``folder/benchmark_*.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for experiment, (field, title) in AXES.items():
        records = [r for r in result["records"] if r["experiment"] == experiment]
        figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        _curves(axes, records, field)
        axes.set(xscale="log", yscale="log", xlabel=title, ylabel="a whole step, ms (float32, one thread)")
        axes.legend()
        _save(figure, folder / f"benchmark_{field}.png")
    _draw_items([r for r in result["records"] if r["experiment"] == "scaling: items"], folder)


def _curves(axes: Axes, records: list[Record], field: str) -> None:
    """A line for each job: medians, and the quartiles as a band."""
    for name, (label, colour, style) in LABELS.items():
        points = [(r[field], r["times"][name]) for r in records if name in r["times"]]
        x = [place for place, _ in points]
        low, middle, high = ([t[key] for _, t in points] for key in ("q25_ms", "median_ms", "q75_ms"))
        axes.plot(x, middle, style, color=colour, label=label, markersize=4)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def _draw_items(records: list[Record], folder: Path) -> None:
    """Nanoseconds per item, which neither k nor n makes grow."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for number, n in enumerate(sorted({r["n"] for r in records})):
        chosen = [r for r in records if r["n"] == n]
        each = [r["times"]["ksubset"]["median_ms"] * 1e6 / (r["rows"] * n) for r in chosen]
        axes.plot([r["k"] for r in chosen], each, "o-", color=f"C{number}", markersize=4, label=f"n = {n:,}")
    axes.set(xscale="log", xlabel="size of the subset k", ylabel="sample and J · v, ns per item (float32, one thread)")
    axes.set_ylim(bottom=0)
    axes.legend(ncols=2)
    _save(figure, folder / "benchmark_items.png")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)
