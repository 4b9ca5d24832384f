"""The tables of sparse_vae.md, made from results/sparse_vae.json by `python docs/experiments/vae_report.py`."""

import json
from collections import defaultdict
from collections.abc import Iterable
from statistics import mean, median, stdev
from typing import Any

from support import RESULTS
from vae_model import METHODS

Runs = list[dict[str, Any]]
SUBSETS = {10: "10-subset", 1: "1-subset"}


def main() -> None:
    """Print them."""
    results = json.loads((RESULTS / "sparse_vae.json").read_text())
    _print(["model", "rate", "own", "seeds", "−ELBO", "own objective", "s per epoch"], _finals(results["runs"]))
    _print(["model", "rate", "own", "own objective", "−ELBO"], map(_searched, results["searches"]))


def _finals(runs: Runs) -> Iterable[list[str]]:
    """For each model the result of all seeds after the epochs of the shortest run, and of the first seed in the end."""
    groups: dict[tuple[str, int], Runs] = defaultdict(list)
    for run in runs:
        groups[run["method"], run["k"]].append(run)
    for seeds in groups.values():
        epochs = min(run["epochs"] for run in seeds)
        yield _final(seeds, epochs)
        if epochs < seeds[0]["epochs"]:
            yield _final(seeds[:1], seeds[0]["epochs"])


def _final(seeds: Runs, epochs: int) -> list[str]:
    exact, own = ([run["curve"][epochs - 1][name] for run in seeds] for name in ("exact", "own"))
    seconds = median(epoch["seconds"] for run in seeds for epoch in run["curve"])
    count = f"{len(seeds)} × {epochs} epochs"
    return [*_named(seeds[0]), count, _spread(exact), _spread(own), f"{seconds:.0f}"]


def _searched(run: dict[str, Any]) -> list[str]:
    return [*_named(run), *(f"{run['curve'][-1][name]:.1f}" for name in ("own", "exact"))]


def _named(run: dict[str, Any]) -> list[str]:
    method = METHODS[run["method"]]
    own = f"{method.parameter} = {run['value']:g}" if method.parameter else "–"
    return [f"{SUBSETS[run['k']]}, {method.title}", f"{run['rate']:g}", own]


def _spread(values: list[float]) -> str:
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def _print(head: list[str], rows: Iterable[list[str]]) -> None:
    for row in [head, ["---"] * len(head), *rows]:
        print("| " + " | ".join(row) + " |")
    print()


if __name__ == "__main__":
    main()
