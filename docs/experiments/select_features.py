"""Which selector of features leaves the best linear model? SubsetSelector beside scikit-learn's own.

Each selector chooses k features on three fifths of the data; a linear model fitted on these features is scored on the
rest. The data sets come with scikit-learn. What is done is kept in runs/, so that an interrupted run resumes.

    python docs/experiments/select_features.py
"""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.feature_selection import (
    RFE,
    SelectFromModel,
    SelectKBest,
    SequentialFeatureSelector,
    f_classif,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
)
from sklearn.linear_model import LassoCV, LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from support import HERE, RUNS, folder, parser, save
from tqdm import tqdm

from ksubset.backends.sklearn import SubsetSelector

SEEDS = range(5)
PAGE = HERE.parent / "howto" / "scikit-learn.md"
START, END = "<!-- written by select_features.py -->", "<!-- end -->"


class DataSet(NamedTuple):
    load: Callable[..., Any]
    k: int
    classifies: bool = True


DATA = {
    "breast_cancer": DataSet(datasets.load_breast_cancer, 5),
    "wine": DataSet(datasets.load_wine, 5),
    "digits": DataSet(datasets.load_digits, 10),
    "diabetes": DataSet(datasets.load_diabetes, 5, classifies=False),
}

Make = Callable[[DataSet, int], Any]


def model(data: DataSet) -> Any:
    return LogisticRegression(max_iter=1000) if data.classifies else Ridge()


def sparse_model(data: DataSet) -> Any:
    return LogisticRegression(l1_ratio=1, solver="saga", max_iter=5000) if data.classifies else LassoCV()


def mutual_information(data: DataSet, seed: int) -> Any:
    score = mutual_info_classif if data.classifies else mutual_info_regression
    return SelectKBest(partial(score, random_state=seed), k=data.k)


SELECTORS: dict[str, Make] = {
    "SubsetSelector": lambda data, seed: SubsetSelector(data.k, random_state=seed),
    "SelectKBest, F": lambda data, _: SelectKBest(f_classif if data.classifies else f_regression, k=data.k),
    "SelectKBest, mutual information": mutual_information,
    "RFE": lambda data, _: RFE(model(data), n_features_to_select=data.k),
    "SelectFromModel, L1": lambda data, _: SelectFromModel(sparse_model(data), threshold=-np.inf, max_features=data.k),
    "SequentialFeatureSelector": lambda data, _: SequentialFeatureSelector(
        model(data), n_features_to_select=data.k, cv=3
    ),
}


def run(data: DataSet, make: Make, seed: int) -> dict[str, float]:
    """Accuracy or R² on what was held out, and the seconds that the choice took."""
    X, y = data.load(return_X_y=True)
    stratify = y if data.classifies else None
    train, test, y_train, y_test = train_test_split(X, y, test_size=0.4, stratify=stratify, random_state=seed)
    varies = np.ptp(train, axis=0) > 0
    train, test = train[:, varies], test[:, varies]
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    began = time.perf_counter()
    selector = make(data, seed).fit(train, y_train)
    seconds = time.perf_counter() - began
    score = model(data).fit(selector.transform(train), y_train).score(selector.transform(test), y_test)
    return {"score": float(score), "seconds": seconds}


def everything(options: Namespace, seeds: range) -> Iterator[tuple[str, str, list[dict[str, float]]]]:
    """The runs of each selector on each data set, from runs/ where they are there."""
    place: Path = folder(options, RUNS / "select_features")
    for name, data in DATA.items():
        for method, make in SELECTORS.items():
            runs = []
            for seed in tqdm(seeds, desc=f"{name}, {method}", unit="seed"):
                path = place / f"{name} {method} {seed}.json"
                if not path.is_file():
                    path.write_text(json.dumps(run(data, make, seed)))
                runs.append(json.loads(path.read_text()))
            yield name, method, runs


def summary(runs: list[dict[str, float]], with_times: bool) -> dict[str, float]:
    scores = np.array([r["score"] for r in runs])
    found = {
        "mean": round(float(scores.mean()), 4),
        "standard error": round(float(scores.std(ddof=1) / len(runs) ** 0.5), 4),
    }
    return found | ({"seconds": round(float(np.median([r["seconds"] for r in runs])), 4)} if with_times else {})


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Each data set a column; the best of a column in bold."""
    best = {name: max(found["mean"] for found in methods.values()) for name, methods in results.items()}
    lines = ["| selector | " + " | ".join(f"{name}, k = {DATA[name].k}" for name in results) + " |"]
    lines.append("|---" * (len(results) + 1) + "|")
    for method in SELECTORS:
        cells = [cell(results[name][method], best[name]) for name in results]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(found: dict[str, float], best: float) -> str:
    text = f"{found['mean']:.3f}"
    text = f"**{text}**" if found["mean"] == best else text
    text += f" ± {found['standard error']:.3f}"
    return text + (f", {found['seconds']:.2g} s" if "seconds" in found else "")


def write_page(results: dict[str, dict[str, dict[str, float]]]) -> None:
    before, rest = PAGE.read_text().split(START)
    PAGE.write_text(f"{before}{START}\n\n{table(results)}\n\n{END}{rest.partition(END)[2]}")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--times", action="store_true", help="write times, too: on an idle machine, with runs/ empty"
    )
    options = arguments.parse_args()
    seeds, spent, results = SEEDS[:2] if options.quick else SEEDS, 0.0, {name: {} for name in DATA}
    for name, method, runs in everything(options, seeds):
        results[name][method] = summary(runs, options.times)
        spent += sum(r["seconds"] for r in runs)
    save(options, "select_features", {"seeds": list(seeds), "results": results}, time.time() - spent)
    print(table(results))
    if not options.quick:
        write_page(results)


if __name__ == "__main__":
    main()
