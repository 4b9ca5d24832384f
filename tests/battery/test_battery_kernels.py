"""The battery: the kernels, each of them forced, and the core on the same rows: all agree with the truth.

A call of the library takes one way of these. Which one goes by the numbers of rows and items, so that the short rows
which enumeration can judge would never meet some of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from battery_bounds import check_images, check_marginals, check_scalars, check_sums, has_one_subset
from conftest import Target
from oracle import recursion
from strategies import Rows, battery

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from ksubset._engine import inference
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cpu import calls, dispatch, planning
from ksubset.backends.array_api import NUMPY

MANY = 10**9
Answers = tuple[np.ndarray, np.ndarray, np.ndarray]
Way = Callable[[np.ndarray, Any, np.ndarray], Answers]


@contextmanager
def planned(widest: int, fewest: int) -> Iterator[None]:
    """Let the recursion serve k up to ``widest`` alone, and lanes be rows from ``fewest`` rows on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "WIDEST", dict.fromkeys(planning.WIDEST, widest))
        patch.setattr(planning, "FEWEST", fewest)
        yield


def kernels(widest: int, fewest: int) -> Way:
    """μ, 1 − μ and J · v by the kernels that such a plan chooses."""

    def answers(logits: np.ndarray, k: Any, v: np.ndarray) -> Answers:
        with planned(widest, fewest):
            found = calls.moments(logits, k, partition=False)
            return found.chosen, found.unchosen, calls.jacobian_product(logits, k, v)

    return answers


def core(logits: np.ndarray, k: Any, v: np.ndarray) -> Answers:
    with np.errstate(all="ignore"):
        found = inference.moments(NUMPY, logits, k, partition=False)
        return found.chosen, found.unchosen, inference.jacobian_product(NUMPY, logits, k, v)


WAYS: dict[str, Way] = {
    "contour, rows in lanes": kernels(-1, 1),
    "contour, items in lanes": kernels(-1, MANY),
    "recursion": kernels(MANY, 1),
    "core": core,
}


def log_normalizers(logits: np.ndarray, k: Any) -> Iterator[np.ndarray]:
    """By the core, and from the log-partition of the contour's kernels, which is found in float64 for all dtypes."""
    wide, law = logits.astype(float), FixedSize(k, logits.shape[1])
    with np.errstate(all="ignore"):
        yield functions.log_normalizer(NUMPY, law, logits)
        for fewest in (1, MANY):
            with planned(-1, fewest):
                solution = dispatch.moments(law, wide, sides=False)
            yield functions.log_normalizer(NUMPY, law, wide, solution=solution)


def scalars(case: Rows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Entropies and log-normalisers by their own kernels."""
    for widest, fewest in ((-1, 1), (-1, MANY), (12, 1)):
        with planned(widest, fewest):
            logits, k, _ = arguments(case)
            yield calls.scalars(logits, k, normaliser=False), calls.scalars(logits, k, normaliser=True)


def check_log_probs(case: Rows) -> None:
    """Of a subset and of its complement, against the core in float64."""
    (logits, k, _), z = arguments(case), np.stack([case.z, 1 - case.z])
    with np.errstate(all="ignore"):
        expected = functions.log_prob(NUMPY, FixedSize(k, logits.shape[1]), logits.astype(float), z)
    for widest, fewest in ((-1, 1), (-1, MANY), (12, 1)):
        with planned(widest, fewest):
            for found, truth in zip(calls.log_prob(logits, k, z), expected, strict=True):
                check_scalars(case, found, truth)


def varied(case: Rows) -> Rows:
    """Of some rows a few items are moved far away, and in some the likelier items are moved from the others."""
    rng, (rows, n) = np.random.default_rng(case.seed + 1), case.logits.shape
    few = (rng.random((rows, n)) < 1.5 / n) & (rng.random((rows, 1)) < 0.25)
    far = np.where(few, rng.choice([-1, 1], (rows, n)) * 10 ** rng.uniform(0, 2.5, (rows, 1)), 0)
    likely = np.arange(n) < case.k[:, None]
    apart = np.where(rng.random((rows, 1)) < 0.25, rng.uniform(0, 30, (rows, 1)), 0) * np.where(likely, 0.5, -0.5)
    with np.errstate(over="ignore"):
        moved = (case.logits + far + apart).astype(case.dtype).astype(float)
    logits = np.where(np.isfinite(moved), moved, case.logits)
    return Rows(case.dtype, logits, case.k, case.one_size, case.seed)


def check_log_normalizers(case: Rows, truth: list[float]) -> None:
    """But for what large logits that cancel lose in float64, where the core adds up float32, and in 80 bits."""
    size = np.abs(np.where(np.isinf(case.logits), 0, case.logits)).sum(axis=1, dtype=np.longdouble)
    slack, finite = size * (2.0**-50 if case.dtype == "float32" else 2.0**-60), np.isfinite(truth)
    for found in log_normalizers(*arguments(case)[:2]):
        near = finite & (np.abs(found - np.where(finite, truth, np.longdouble(0))) <= slack)
        check_scalars(case, found.astype(case.dtype), np.where(near, found, truth))


def check_own_scalars(case: Rows, entropies: np.ndarray, normalizers: np.ndarray) -> None:
    """But for what large logits that cancel lose in float64."""
    size = np.abs(np.where(np.isinf(case.logits), 0, case.logits)).max(axis=1).astype(np.longdouble)
    slack = 4 * size * np.finfo(float).eps
    for entropy, normalizer in scalars(case):
        check_scalars(case, entropy, entropies)
        check_scalars(case, normalizer, normalizers, slack)
    check_log_probs(case)


def arguments(case: Rows) -> tuple[np.ndarray, Any, np.ndarray]:
    k = int(case.k[0]) if case.one_size else case.k
    return case.logits.astype(case.dtype), k, case.v.astype(case.dtype)


def check_ways(case: Rows, chosen: np.ndarray, unchosen: np.ndarray, image: np.ndarray) -> None:
    for name, way in WAYS.items():
        try:
            mu, rest, product = way(*arguments(case))
            check_marginals(case, mu, chosen)
            check_marginals(case, rest, unchosen)
            check_sums(case, mu)
            check_images(case, product, image)
        except AssertionError as error:
            error.add_note(name)
            raise


on_arrays = pytest.mark.backends("numpy", reason="kernels are called with NumPy's arrays, whoever calls them")


@on_arrays
@battery(0.2, sizes=tuple(range(1, 15)))
def test_every_way_is_enumeration(target: Target, case: Rows) -> None:
    case = varied(case)
    rows = case.truth
    image = np.stack([row.jvp(v) for row, v in zip(rows, case.v, strict=True)])
    check_ways(case, np.stack([row.marginals for row in rows]), np.stack([row.unchosen for row in rows]), image)
    normalizers = [np.inf if np.inf in row.logits else row.log_normalizer for row in rows]
    check_log_normalizers(case, normalizers)
    check_own_scalars(case, [row.entropy for row in rows], normalizers)


@on_arrays
@battery(0.05, sizes=(48, 70, 200))
def test_every_way_is_the_recursion_of_long_rows(target: Target, case: Rows) -> None:
    """Of variances large enough for power sums."""
    case = varied(case)
    truth = [recursion(*row) for row in zip(case.logits, case.k, case.v, strict=True)]
    chosen, unchosen, image = (
        np.stack([getattr(row, name) for row in truth]) for name in ("chosen", "unchosen", "jvp")
    )
    check_ways(case, chosen, unchosen, np.where(has_one_subset(case)[:, None], 0, image))
    sizes = zip(case.logits, truth, strict=True)
    normalizers = [np.inf if np.inf in logits else float(row.log_normalizer) for logits, row in sizes]
    check_log_normalizers(case, normalizers)
    check_own_scalars(case, [row.entropy for row in truth], normalizers)
