"""The measurements as Markdown: what follows from them, and the numbers, each between two marks of a page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from case import Record
from page import put

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

IN_SHORT = """In float32 on one thread, a training step through exact samples takes {Gumbel} of the time of Gumbel
top-k, {Gumbel, log log} with its fastest noise, and {SoftSub} of the time of SoftSub. The CPU kernels of the extra
`fast` take {core} of the time of the array code.

The table has the time that ksubset takes, divided by the time of the other: below 1, ksubset is faster. It goes from
the least to the greatest ratio over all sizes, in float32 on one thread, and over float32 and float64 on one thread
and two. A ratio counts as slower above 1.05."""
QUICK = "**From a quick run, which checks the program: the numbers mean nothing.**"
SLOWER = "Each number is a ratio: with 1.3 ksubset takes 1.3 times as long."

Settings = tuple[str, int]
ONE: Settings = ("float32", 1)


def write(result: dict[str, Any], page: Path) -> None:
    """Replace what stands between the marks of a page."""
    put(page, "tests/benchmarks/run.py", conclusions=conclusions(result), numbers=numbers(result))


def conclusions(result: dict[str, Any]) -> str:
    """How the peers fare over all shapes, and where they are faster."""
    found = {experiment: _known(result["records"], *experiment[:2]) for experiment in RATIOS}
    steps = {peer: _range(known, ONE) for (what, peer, _), known in found.items() if what == "step"}
    head = ["", _words(*ONE), "all settings", "slower than the other"]
    rows = ([title, _range(known, ONE), _range(known), _slower(known)] for (*_, title), known in found.items() if known)
    losses = [line for experiment in RATIOS for line in not_faster(result, *experiment)]
    warning = [QUICK] if result["conditions"]["quick"] else []
    parts = [*warning, IN_SHORT.format(**steps), _table(head, rows), "### Where it is slower", SLOWER]
    return "\n\n".join(["## In short", *parts, "\n".join(losses)])


def _known(records: list[Record], experiment: str, peer: str) -> list[tuple[Settings, float]]:
    rows = _ratios(records, experiment, peer).values()
    return [(setting, ratio) for row in rows for setting, ratio in row.items() if isinstance(ratio, float)]


def _range(known: list[tuple[Settings, float]], where: Settings | None = None) -> str:
    ratios = [ratio for setting, ratio in known if where in (None, setting)]
    ends = [_short(end) for end in (min(ratios), max(ratios))] if ratios else []
    return " to ".join(dict.fromkeys(ends))


def _slower(known: list[tuple[Settings, float]]) -> str:
    return f"{sum(ratio > NOTABLE for _, ratio in known)} of {len(known)}"


def numbers(result: dict[str, Any]) -> str:
    """Conditions, ratios and times."""
    parts = ["## Conditions", conditions(result["conditions"])]
    parts += ["## Ratios", ratio_tables(result), "## Times", "Medians, and quartiles in brackets."]
    for experiment, title in TIMES:
        parts += [f"### {title}", times_table(_chosen(result["records"], experiment))]
    return "\n\n".join(parts)


def conditions(found: dict[str, Any]) -> str:
    """The machine, the versions and the load."""
    return "\n".join(f"- {name}: {value}" for name, value in found.items() if name != "quick")


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
