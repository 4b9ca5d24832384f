"""Trainings summed up: means, spreads, and whether the order of the estimators is that of the paper."""

from itertools import groupby
from statistics import mean, stdev
from typing import Any

from explain_methods import METHODS

Run = dict[str, Any]
SCORES = ("accuracy", "cross_entropy", "precision")


def summarise(searched: list[Run], runs: list[Run]) -> dict[str, Any]:
    """What the results' file contains: no token of a review."""
    scores = [_row([*group]) for _, group in groupby(sorted(runs, key=_group), key=_group)]
    return {
        "scores": scores,
        "paper's order": {k: order([row for row in scores if row["k"] == k]) for k in sorted({r["k"] for r in scores})},
        "search": [_searched(run) for run in searched],
        "processor seconds": round(sum(run["processor seconds"] for run in searched + runs)),
    }


def order(rows: list[Run]) -> dict[str, bool]:
    """Does SIMPLE have the lowest loss and the highest precision, as in the paper, by the means over seeds?"""
    compared = [row for row in rows if row["method"] in METHODS]
    return {
        "lowest loss": min(compared, key=lambda row: row["cross_entropy"][0])["method"] == "simple",
        "highest precision": max(compared, key=lambda row: row["precision"][0])["method"] == "simple",
    }


def _group(run: Run) -> tuple[str, int]:
    return run["setting"]["method"], run["setting"]["k"]


def _row(runs: list[Run]) -> Run:
    """Mean and standard deviation over the seeds, and the values they are of."""
    setting = {key: value for key, value in runs[0]["setting"].items() if key != "seed"}
    values = {name: [run["test"][name] for run in runs] for name in SCORES}
    return {
        **setting,
        "seeds": [run["setting"]["seed"] for run in runs],
        **{name: [mean(of), stdev(of) if len(of) > 1 else 0.0] for name, of in values.items()},
        "values": values,
        "weight on k": mean(run["weight on k"] for run in runs),
        "epochs done": [len(run["losses"]) for run in runs],
        "processor seconds": [run["processor seconds"] for run in runs],
    }


def _searched(run: Run) -> Run:
    found = run["validation"]
    return {**run["setting"], **{f"validation {name}": found[name] for name in ("accuracy", "cross_entropy")}}
