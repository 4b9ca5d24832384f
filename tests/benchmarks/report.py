"""The measurements as Markdown, put between two marks of a page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from case import Record

BEGIN, END = "<!-- from here on written by tests/benchmarks/run.py -->", "<!-- up to here -->"

RATIOS = (
    ("step", "Gumbel", "A whole step: ksubset ÷ Gumbel top-k straight-through"),
    ("step", "Gumbel, log log", "A whole step: ksubset ÷ the same with the faster noise"),
    ("step", "SoftSub", "A whole step: ksubset ÷ SoftSub"),
    ("step", "core", "A whole step: fast path ÷ core"),
    ("forward", "Gumbel", "Forward alone: ksubset ÷ Gumbel top-k straight-through"),
    ("draws", "Gumbel", "Many subsets from one row: ksubset ÷ Gumbel top-k"),
    ("marginals", "core", "Marginals: fast path ÷ core"),
    ("marginals", "log-space", "Marginals: ksubset ÷ log-space recursion with autograd"),
    ("kernels", "floor", "Sample and J · v, kernels alone: ksubset ÷ floor"),
    ("NumPy marginals", "floor", "Marginals of NumPy arrays: ksubset ÷ floor"),
)
TIMES = (
    ("step", "A whole step, ms"),
    ("forward", "Forward alone, ms"),
    ("marginals", "Marginals of tensors, ms"),
    ("kernels", "Sample and J · v, kernels alone, ms"),
    ("NumPy marginals", "Marginals of NumPy arrays, ms"),
    ("draws", "1000 subsets from one row of 350 items, k = 10: µs per subset"),
)
NOTABLE = 1.05
"""A ratio up to here is no difference."""

Settings = tuple[str, int]


def write(result: dict[str, Any], page: Path) -> None:
    """Replace what stands between the marks of a page."""
    head, _, rest = page.read_text().partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"{page} must contain {BEGIN!r} and after it {END!r}")
    page.write_text(f"{head}{BEGIN}\n\n{markdown(result)}\n\n{END}{tail}")


def markdown(result: dict[str, Any]) -> str:
    """Conditions, what is not faster, ratios and times."""
    records, losses = result["records"], [line for experiment in RATIOS for line in not_faster(result, *experiment)]
    parts = ["## Conditions", conditions(result["conditions"])]
    parts += ["## What is not faster", "Ratios above 1.05: ksubset takes so many times as long.", "\n".join(losses)]
    parts += ["## Ratios", ratio_tables(result), "## Times", "Medians, and quartiles in brackets."]
    for experiment, title in TIMES:
        parts += [f"### {title}", times_table(_chosen(records, experiment))]
    return "\n\n".join(parts)


def conditions(found: dict[str, Any]) -> str:
    """The machine, the versions and the load."""
    warning = "**From a quick run, which checks the program: the numbers mean nothing.**\n\n" if found["quick"] else ""
    return warning + "\n".join(f"- {name}: {value}" for name, value in found.items() if name != "quick")


def ratio_tables(result: dict[str, Any]) -> str:
    """One table for each peer, by shape and setting. Below 1, ksubset takes less time."""
    parts = ["Of medians; below 1, ksubset takes less time."]
    for experiment, peer, title in RATIOS:
        cells = _ratios(result["records"], experiment, peer)
        if not any(isinstance(ratio, float) for row in cells.values() for ratio in row.values()):
            continue
        settings = sorted({setting for row in cells.values() for setting in row})
        rows = ([shape, *(_short(row.get(s, "")) for s in settings)] for shape, row in cells.items())
        parts += [f"### {title}", _table(["batch × n, k", *(_words(*s) for s in settings)], rows)]
    return "\n\n".join(parts)


def not_faster(result: dict[str, Any], experiment: str, peer: str, title: str) -> Iterator[str]:
    """The shapes at which ksubset takes longer than a peer in some setting."""
    slow = {}
    for shape, row in _ratios(result["records"], experiment, peer).items():
        known = {setting: ratio for setting, ratio in row.items() if isinstance(ratio, float)}
        if over := {setting: ratio for setting, ratio in known.items() if ratio > NOTABLE}:
            slow[shape] = ", ".join(f"{_short(ratio)} ({_words(*setting)})" for setting, ratio in over.items())
    if slow:
        yield "\n".join([f"- {title}", *(f"  - {shape}: {where}" for shape, where in slow.items())])


def times_table(records: list[Record]) -> str:
    """Every measured time of one experiment."""
    names = list(dict.fromkeys(name for r in records for name in (*r["times"], *r["skipped"])))
    rows = ([_shape(r), r["dtype"], str(r["threads"]), *(_time(r, name) for name in names)] for r in records)
    return _table(["batch × n, k", "dtype", "threads", *names], rows)


def _chosen(records: list[Record], experiment: str) -> list[Record]:
    return [r for r in records if r["experiment"] == experiment]


def _ratios(records: list[Record], experiment: str, peer: str) -> dict[str, dict[Settings, float | str]]:
    """By shape and setting: ksubset's median over the peer's, or why there is none."""
    found: dict[str, dict[Settings, float | str]] = {}
    for r in _chosen(records, experiment):
        times = r["times"]
        ratio = times["ksubset"]["median_ms"] / times[peer]["median_ms"] if peer in times else r["skipped"][peer]
        found.setdefault(_shape(r), {})[r["dtype"], r["threads"]] = ratio
    return found


def _shape(r: Record) -> str:
    return f"{r['rows']} × {r['n']}, {r['k']}"


def _words(dtype: str, threads: int) -> str:
    return f"{dtype}, {threads} thread{'s' * (threads > 1)}"


def _short(value: float | str) -> str:
    """Two significant digits without an exponent, or all before the point."""
    if isinstance(value, str):
        return value
    if value < 0.001:
        return "< 0.001"
    return f"{value:.0f}" if value >= 10 else f"{value:#.2g}"


def _time(r: Record, name: str) -> str:
    if name not in r["times"]:
        return str(r["skipped"].get(name, ""))
    low, middle, high = (_short(r["times"][name][key]) for key in ("q25_ms", "median_ms", "q75_ms"))
    return f"{middle} ({low}–{high})" if r["times"][name]["runs"] > 1 else f"{middle} (one call)"


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
