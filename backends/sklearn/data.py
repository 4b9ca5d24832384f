"""From what the user gives to what is trained on: standardised features, targets in columns, weights that sum to 1."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

TASKS = ("auto", "classification", "regression")


class Data(NamedTuple):
    """Features (m, n), targets (m, columns) and weights (m,) of m samples."""

    features: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    classifies: bool


def weights_of(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    """The weights of the samples, checked."""
    weights: np.ndarray = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weights.min() < 0 or not weights.sum() > 0:
        raise ValueError(f"sample_weight must be at least 0, and not 0 for all; got a smallest of {weights.min()}")
    return weights


def prepared(X: np.ndarray, y: np.ndarray, weights: np.ndarray, task: str) -> Data:
    """The data of a task, without samples of weight 0."""
    if task not in TASKS:
        raise ValueError(f"task must be {', '.join(map(repr, TASKS))}; got {task!r}")
    classifies = task == "classification" or (task == "auto" and y.dtype.kind != "f")
    X, y, weights = (a[weights > 0] for a in (X, y, weights))
    targets = _indicators(y) if classifies else _numbers(y, weights)
    return Data(standardised(X, weights), targets, weights, classifies)


def _indicators(y: np.ndarray) -> np.ndarray:
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError("y must hold at least two classes where samples have a weight; got 1 class")
    return np.eye(len(classes))[codes]


def _numbers(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    try:
        numbers = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError("y must hold numbers for regression: task='classification' takes classes") from error
    return standardised(numbers[:, None], weights)


def standardised(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Columns of weighted mean 0 and variance 1; 0 where a column is constant but for rounding."""
    share = weights / weights.sum()
    centred = x - share @ x
    deviation = np.sqrt(share @ centred**2)
    varies = deviation > len(x) * np.finfo(x.dtype).eps * np.abs(x).max(axis=0)
    return np.where(varies, centred / np.where(varies, deviation, 1), 0)
