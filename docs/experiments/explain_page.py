"""The tables of the page, put between two marks, and its picture."""

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from explain_methods import EVERY, METHODS
from matplotlib.axes import Axes
from support import FIGURES, HERE

BEGIN, END = "<!-- from here on written by explain.py -->", "<!-- up to here -->"
PANELS = {
    "accuracy": "test accuracy",
    "cross_entropy": "test cross-entropy, nats",
    "precision": "chosen tokens that people marked",
}
LEGEND = """\
Excerpts from the first test review of either verdict, favourable and unfavourable, where the choice is densest:
<b>chosen</b> by the network trained with SIMPLE, k = 10; <mark>marked</mark> by a person; <mark><b>both</b></mark>."""

Results = dict[str, Any]


def write(results: Results, examples: str) -> None:
    """Both; ``examples`` of reviews follow the tables."""
    page = HERE / "explain.md"
    head, _, rest = page.read_text().partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"{page} must contain {BEGIN!r} and after it {END!r}")
    page.write_text(f"{head}{BEGIN}\n\n{markdown(results, examples)}\n\n{END}{tail}")
    draw(results)


def markdown(results: Results, examples: str) -> str:
    """The scores, what the search has found, and what was chosen."""
    parts = [_scores(results), "### The search", _search(results["search"], results["scores"]), "### What was chosen"]
    return "\n\n".join([*parts, LEGEND, examples])


def draw(results: Results) -> None:
    """Each score against k, one colour to an estimator; a dot for each seed."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(12, 4.4), layout="constrained")
    for place, (score, title) in zip(axes, PANELS.items(), strict=True):
        for number, name in enumerate(METHODS):
            _curve(place, [row for row in results["scores"] if row["method"] == name], score, number)
        _references(place, results, score)
        place.set(
            xlabel="k, the number of tokens chosen", title=title, xticks=sorted({r["k"] for r in results["scores"]})
        )
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / "explain.png", dpi=120)
    plt.close(figure)


def _curve(axes: Axes, rows: list[Results], score: str, number: int) -> None:
    rows = sorted(rows, key=lambda row: row["k"])
    x = [row["k"] + 0.35 * (number - 1.5) for row in rows]
    middle, spread = zip(*(row[score] for row in rows), strict=True)
    label = EVERY[rows[0]["method"]].title
    axes.errorbar(x, middle, spread, fmt="o", capsize=3, color=f"C{number}", label=label)
    for place, row in zip(x, rows, strict=True):
        axes.plot([place] * len(row["values"][score]), row["values"][score], ".", color=f"C{number}", alpha=0.4)


def _references(axes: Axes, results: Results, score: str) -> None:
    """What the choice of no token, and of random ones, would give."""
    if score == "precision":
        axes.axhline(results["chance"], color="grey", linestyle=":", label="chance")
        axes.annotate("chance", (0.98, results["chance"]), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        return
    for name, style in (("all", "--"), ("random", ":")):
        rows = sorted((row for row in results["scores"] if row["method"] == name), key=lambda row: row["k"])
        if len(rows) == 1:
            axes.axhline(rows[0][score][0], color="grey", linestyle=style, label=EVERY[name].title)
        else:
            axes.plot([r["k"] for r in rows], [r[score][0] for r in rows], style, color="grey", label=EVERY[name].title)


def _scores(results: Results) -> str:
    header = [
        "k",
        "chosen by",
        "accuracy, %",
        "cross-entropy",
        "precision, %",
        "weight on k, %",
        "seeds",
        "s per training",
    ]
    rows = []
    names = [*EVERY]
    for row in sorted(
        results["scores"], key=lambda row: (row["method"] == "all", row["k"], names.index(row["method"]))
    ):
        accuracy, precision = (f"{100 * row[s][0]:.1f} ± {100 * row[s][1]:.1f}" for s in ("accuracy", "precision"))
        loss, weight = "{:.3f} ± {:.3f}".format(*row["cross_entropy"]), f"{100 * row['weight on k']:.0f}"
        seconds = sum(row["processor seconds"]) / len(row["seeds"])
        k, title = "–" if row["method"] == "all" else str(row["k"]), EVERY[row["method"]].title
        rows.append([k, title, accuracy, loss, precision, weight, str(len(row["seeds"])), f"{seconds:.0f}"])
    return f"{_table(header, rows)}\n\nChance precision: {100 * results['chance']:.1f} %."


def _search(searched: list[Results], scores: list[Results]) -> str:
    """Validation losses; the one whose setting serves for the scores is in bold."""
    served = {row["method"]: (row["rate"], row["parameters"]) for row in scores}
    rows: dict[tuple[str, str], list[str]] = {}
    for trial in searched:
        words = ", ".join(f"{key.rstrip('_')} = {value:g}" for key, value in trial["parameters"].items())
        loss = f"{trial['validation cross_entropy']:.3f} ({trial['rate']:g})"
        if served.get(trial["method"]) == (trial["rate"], trial["parameters"]):
            loss = f"**{loss}**"
        rows.setdefault((EVERY[trial["method"]].title, words or "–"), []).append(loss)
    header = ["chosen by", "its parameters", "validation cross-entropy (learning rate)"]
    return _table(header, [[*key, ", ".join(losses)] for key, losses in rows.items()])


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
