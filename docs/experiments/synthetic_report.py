"""Figures and tables of `synthetic.py`, made anew from its results by `python docs/experiments/synthetic_report.py`."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from support import FIGURES, RESULTS, folder, parser

Table = dict[str, dict[str, Any]]

PAPER = {
    "SoftSub of log σ(θ), t = 2": "SoftSub",
    "I-MLE, sum of gamma, λ = 2.5": "I-MLE",
    "score function": "score function",
    "SIMPLE-F, λ = 2.5": "SIMPLE-F",
    "SIMPLE-B, λ = 2.5": "SIMPLE-B",
    "SIMPLE": "SIMPLE",
}
"""The estimators of Fig. 3, set as in the official notebook."""

MORE = {
    "SIMPLE-B": "SIMPLE-B by J·g",
    "AIMLE, sum of gamma": "AIMLE",
    "L2X, τ = 1.0": "L2X, τ = 1",
    "top-k ST, τ = 1.0": "top-k ST, τ = 1",
    "unbiased SIMPLE": "unbiased SIMPLE",
}
TUNED = {
    "SoftSub, t = ": ("SoftSub", "C0"),
    "L2X, τ = ": ("L2X", "C1"),
    "top-k ST, τ = ": ("top-k ST", "C2"),
    "SIMPLE-F, λ = ": ("SIMPLE-F", "C6"),
    "I-MLE, sum of gamma, λ = ": ("I-MLE, sum of gamma", "C4"),
    "I-MLE, Gumbel, λ = ": ("I-MLE, Gumbel", "C5"),
}
PANELS = {"bias": "bias", "variance": "variance", "spread": "variance of the cosine", "error": "error"}


def bars(table: Table, names: dict[str, str], fields: tuple[str, ...], path: Path, title: str) -> None:
    """A panel for each metric, a bar for each estimator; whiskers are standard deviations over seeds."""
    figure, axes = plt.subplots(1, len(fields), figsize=(11, 0.7 + 0.3 * len(names)), sharey=True, layout="constrained")
    for axis, field in zip(axes, fields, strict=True):
        means, deviations = zip(*(table[name][field] for name in names), strict=True)
        colours = ["tab:red" if name == "SIMPLE" else "tab:blue" for name in names]
        axis.barh(list(names.values()), means, xerr=deviations, capsize=2, color=colours, alpha=0.8)
        axis.set(title=PANELS[field], xlim=(0, None))
        axis.grid(axis="x", alpha=0.4)
    axes[0].invert_yaxis()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def tuning(results: dict[str, Table], path: Path) -> None:
    """Error against temperature or step, with SIMPLE and a constant, which have none."""
    chosen = {title: table for title, table in results.items() if title.startswith("k = 5")}
    figure, axes = plt.subplots(1, len(chosen), figsize=(11, 3.8), sharey=True, layout="constrained")
    for axis, (title, table) in zip(axes, chosen.items(), strict=True):
        axis.axhline(table["SIMPLE"]["error"][0], color="tab:red", label="SIMPLE")
        axis.axhline(table["constant"]["error"][0], color="grey", linestyle=":", label="constant")
        for prefix, (label, colour) in TUNED.items():
            _line(axis, table, prefix, label, colour)
        axis.set(xscale="log", xlabel="temperature or step λ", title=title, ylim=(0, None))
    axes[0].set_ylabel("error")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _line(axis: Axes, table: Table, prefix: str, label: str, colour: str) -> None:
    errors = {name.removeprefix(prefix): row["error"][0] for name, row in table.items() if name.startswith(prefix)}
    axis.plot(list(map(float, errors)), list(errors.values()), "o-", color=colour, label=label)


def markdown(table: Table) -> str:
    """All metrics of all estimators."""
    heads = ("estimator", "bias", "variance", "variance of cosine", "error", "sd of error", "zeros", "wins")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in table.items():
        cells = [_cell(row[field]) for field in ("bias", "variance", "spread", "error")]
        cells += [f"{row['error_sd'][0]:.2f}", f"{row['zeros'][0]:.0%}", f"{row['wins']}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(pair: list[float]) -> str:
    return f"{pair[0]:.3f} ± {pair[1]:.3f}"


def report(options: Namespace, outcome: dict[str, Any]) -> None:
    """All that the page shows."""
    path, results = folder(options, FIGURES), outcome["results"]
    for title, table in results.items():
        size, protocol = title.split(", ")
        fields = ("bias", "spread" if protocol == "notebook" else "variance", "error")
        names = PAPER | MORE if size == "k = 5" else {name: name for name in table}
        bars(table, names, fields, path / f"synthetic_{size.replace(' = ', '')}_{protocol}.png", title)
        print(f"\n{title}\n\n{markdown(table)}")
    for size, table in outcome["official seeds"].items():
        print(f"\n{size}, the notebook's own seeds\n\n{markdown(table)}")
    tuning(results, path / "synthetic_tuning.png")


def main() -> None:
    options = parser(__doc__).parse_args()
    report(options, json.loads((folder(options, RESULTS) / "synthetic.json").read_text()))


if __name__ == "__main__":
    main()
