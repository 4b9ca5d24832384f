"""The stated accuracy, as checks of whole batches, with the bounds of tests/engine/test_accuracy.py."""

from typing import Any

import numpy as np
from strategies import Rows

SMALLEST = 1e-30
"""Marginals below this may lose their relative accuracy, and are checked absolutely. So are images under J."""


def bound(case: Rows, single: float = 1e-5, double: float = 1e-13) -> float:
    return single if case.dtype == "float32" else double


def check_scalars(case: Rows, found: np.ndarray, truth: Any, lost: Any = 0) -> None:
    """Relative to the larger of 1 and the truth, which is infinite where it overflows in the dtype of the case.

    ``lost`` is the error of the truth itself.
    """
    found, truth, most = found.astype(np.longdouble), np.asarray(truth, np.longdouble), np.finfo(case.dtype).max
    truth = np.where(np.abs(truth) > most, np.copysign(np.inf, truth), truth)
    same = found == truth
    error = np.abs(np.where(same, 0, found) - np.where(same, 0, truth))
    assert (same | (error <= bound(case) * np.maximum(1, np.abs(truth)) + lost)).all(), f"{found} is not {truth}"


def rounding_of_the_truth(case: Rows) -> np.ndarray:
    """The error of a sum in long double where logits as large as 1e19 cancel."""
    finite = np.abs(np.where(np.isinf(case.logits), 0, case.logits)).astype(np.longdouble)
    return np.finfo(np.longdouble).eps * finite.sum(axis=1)


def check_marginals(case: Rows, found: np.ndarray, truth: np.ndarray) -> None:
    error = np.abs(found.astype(np.longdouble) - truth)
    fine = (error <= bound(case, 1e-5, 5e-14) * truth) | ((truth <= SMALLEST) & (error <= SMALLEST))
    assert fine.all(), f"{found[~fine]} is not {truth[~fine]}"
    assert np.isin(found[np.isinf(case.logits)], (0, 1)).all()


def check_sums(case: Rows, marginals: np.ndarray) -> None:
    total = marginals.sum(axis=-1, dtype=np.longdouble)
    assert (np.abs(total - case.k) <= bound(case, 1e-6, 1e-14) * case.k).all(), f"{total} is not {case.k}"


def rounding_of_nothing(case: Rows) -> np.ndarray:
    """Where J · v is 0 because all v are equal, they differ from their rounded mean by its rounding error."""
    size = [np.abs(np.where(np.isinf(x), 0, x)).reshape(len(x), -1).max(axis=1) for x in (case.logits, case.v)]
    n = case.logits.shape[1]
    return np.maximum(SMALLEST, n * float(np.finfo(case.dtype).eps) ** 2 * np.maximum(*size).astype(float))


def check_images(case: Rows, found: np.ndarray, truth: np.ndarray) -> None:
    """J · v, (rows, ..., n): in norm, and exactly 0 at the items that ±∞ decides."""
    size, error = (np.linalg.norm(x.astype(float), axis=-1) for x in (truth, found - truth))
    lost = np.reshape(rounding_of_nothing(case), (-1, *(1,) * (error.ndim - 1)))
    assert (error <= np.maximum(lost, bound(case) * size)).all(), f"errors {error} beside norms {size}"
    assert (np.moveaxis(found, -1, 1)[np.isinf(case.logits)] == 0).all()


def has_one_subset(case: Rows) -> np.ndarray:
    """Which rows: J is 0 there, where the 80-bit recursion has roundings alone."""
    forced, free = (case.logits == np.inf).sum(axis=1), np.isfinite(case.logits).sum(axis=1)
    return (case.k == forced) | (case.k == forced + free)
