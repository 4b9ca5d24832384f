"""Which three of 14 terms make the Kuramoto-Sivashinsky equation u_t = -u_xx - u_xxxx - u u_x?

A k-subset distribution over the terms is learned, from many random starts, by the SIMPLE gradient of how badly sampled
subsets explain u_t. Beside it stand the best of all subsets, by enumeration, and PySINDy's thresholded least squares.
The full run takes more starts, and repeats the search with other penalties, other gradients and other derivatives of u.

    python docs/experiments/sparse_regression.py --data DIR [--quick]
"""

import time
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pysindy
import torch
from scipy.io import loadmat
from sparse_regression_loss import Moments
from sparse_regression_search import compare, ends, found, learn
from support import FIGURES, Claim, data_file, finish, folder, parser, save

SOURCE = "examples/data/kuramoto_sivishinky.mat of https://github.com/dynamicslab/pysindy, in kuramoto_sivashinsky/"
K, TRUE = 3, ("u_xx", "u_xxxx", "uu_x")
RIDGES, THRESHOLDS = (1e-5, 0.05), (0.1, 1, 3, 10, 30, 100)
"""Of PySINDy's least squares: its example of this equation takes 1e-5 and 10, its defaults are 0.05 and 0.1."""


class Regression(NamedTuple):
    """Terms (rows, terms) and what they should explain (rows), rotated from many points into few rows.

    No sum of squares notices the rotation, so that least squares is that of all points.
    """

    names: list[str]
    points: int
    terms: np.ndarray
    target: np.ndarray

    def result(self, coefficients: np.ndarray) -> dict[str, Any]:
        """Terms that are not 0, and the root of the mean squared error."""
        rmse = np.linalg.norm(self.target - self.terms @ coefficients) / np.sqrt(self.points)
        return {"terms": {self.names[i]: coefficients[i] for i in np.flatnonzero(coefficients)}, "rmse": rmse}

    def fit(self, subset: tuple[int, ...]) -> dict[str, Any]:
        """Least squares with the terms of a subset."""
        coefficients = np.zeros(len(self.names))
        coefficients[list(subset)] = np.linalg.lstsq(self.terms[:, subset], self.target)[0]
        return self.result(coefficients)

    def moments(self) -> Moments:
        """Columns and target scaled to a sum of squares of 1."""
        terms, target = (x / np.linalg.norm(x, axis=0) for x in (self.terms, self.target))
        return Moments(torch.tensor(terms.T @ terms), torch.tensor(terms.T @ target))


def load(path: Path, *, periodic: bool = False) -> Regression:
    """u, u² and the products of 1, u and u² with u_x to u_xxxx; differences of second order, as PySINDy takes them."""
    data = loadmat(path)
    u, x, t = data["uu"], data["x"].ravel(), data["tt"].ravel()
    functions = pysindy.CustomLibrary([lambda u: u, lambda u: u * u], function_names=[lambda u: u, lambda u: u + u])
    differences = {"is_uniform": True, "periodic": periodic}
    library = pysindy.PDELibrary(functions, derivative_order=4, spatial_grid=x, diff_kwargs=differences)
    terms = library.fit_transform(pysindy.AxesArray(u[..., None], {"ax_spatial": 0, "ax_time": 1, "ax_coord": 2}))
    names = [name.replace("1", "x") for name in library.get_feature_names(["u"])]
    slope = np.gradient(u, t[1] - t[0], axis=1, edge_order=2)
    rows = np.linalg.qr(np.column_stack([np.asarray(terms).reshape(-1, len(names)), slope.ravel()]), mode="r")
    return Regression(names, u.size, rows[:, :-1], rows[:, -1])


def enumerate_all(regression: Regression) -> list[dict[str, Any]]:
    """Every subset of K terms, the best first."""
    subsets = combinations(range(len(regression.names)), K)
    return sorted((regression.fit(subset) for subset in subsets), key=lambda row: row["rmse"])


def stlsq(regression: Regression, ridge: float, threshold: float) -> dict[str, Any]:
    """PySINDy's sequentially thresholded least squares, columns normalised."""
    model = pysindy.STLSQ(threshold=threshold, alpha=ridge, normalize_columns=True)
    warnings.filterwarnings("ignore", "Sparsity parameter is too big", UserWarning)
    coefficients = np.ravel(model.fit(regression.terms, regression.target[:, None]).coef_)
    return {"ridge": ridge, "threshold": threshold, **regression.result(coefficients)}


def draw(path: Path, reached: np.ndarray, subsets: list[dict[str, Any]]) -> None:
    """The share of starts at the true subset against steps, and the errors of all subsets."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    left.plot(100 * reached)
    left.set(xlabel="step", ylabel="starts whose mode is the true subset, %", title="search by SIMPLE", ylim=(0, 103))
    errors = [row["rmse"] for row in subsets]
    right.semilogy(range(2, len(errors) + 1), errors[1:], ".", label="another subset")
    right.semilogy(1, errors[0], "*", color="tab:red", markersize=12, label="found: " + ", ".join(subsets[0]["terms"]))
    right.set(xlabel="rank among all subsets", ylabel="root mean squared error of u_t", title="every subset of 3 terms")
    right.legend()
    figure.savefig(path / "sparse_regression.png", dpi=120)


def main() -> None:
    options, started = parser(__doc__).parse_args(), time.time()
    path = data_file(options, "kuramoto_sivashinsky/kuramoto_sivishinky.mat", SOURCE)
    torch.set_num_threads(1)  # on arrays this small, threads cost time
    regression, starts = load(path), 20 if options.quick else 100
    true, moments = tuple(map(regression.names.index, TRUE)), regression.moments()
    modes, everything = learn(moments, starts), enumerate_all(regression)
    reached, learned = found(modes, true).double().mean(-1), ends(modes)
    results: dict[str, Any] = {"points": regression.points, "features": regression.names, "starts": starts}
    results["learned"] = [{"starts": count, **regression.fit(subset)} for subset, count in learned]
    results["best"] = everything[:5]
    results["stlsq"] = [stlsq(regression, ridge, threshold) for ridge in RIDGES for threshold in THRESHOLDS]
    if not options.quick:
        results["others"] = compare(moments, true, starts)
        results["periodic"] = enumerate_all(load(path, periodic=True))[:2]
    draw(folder(options, FIGURES), reached.numpy(), everything)
    save(options, "sparse_regression", results, started)
    share = float(reached[-1])
    finish(
        [
            Claim(f"{share:.0%} of {starts} starts end at {', '.join(TRUE)}, at least 90%", share >= 0.9),
            Claim("no other subset of three terms has a smaller error", tuple(everything[0]["terms"]) == TRUE),
        ]
    )


if __name__ == "__main__":
    main()
