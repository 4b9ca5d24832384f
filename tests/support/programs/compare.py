"""The answer of a program beside the truth, within what docs/guarantees.md promises."""

import numpy as np
from significance import check_frequencies

from programs import truth
from programs.functions import FUNCTIONS
from programs.grammar import PULL, PUSH, Program
from programs.rows import Numbers, numbers
from programs.truth import Row, Tensors

EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
TINY = {"float16": 2.0**-24, "bfloat16": 1e-30}
SMALLEST = 1e-30
"""Marginals below it may lose their relative accuracy, and norms of J · v."""


def check(program: Program, found: np.ndarray) -> None:
    """Raise AssertionError if the answer is wrong."""
    asked = numbers(program)
    out = final_shape(program)
    assert found.shape == (*program.batch, *out), f"shape {found.shape}, not {(*program.batch, *out)}"
    values = found.reshape((len(asked.rows), *out))
    if FUNCTIONS[program.function].draws and not program.derivatives:
        check_draws(program, asked.rows, values)
        return
    for place, (row, value) in enumerate(zip(asked.rows, values, strict=True)):
        check_row(program, asked, place, row, value)


def final_shape(program: Program) -> tuple[int, ...]:
    out, m = program.out, program.n if program.wrt == "logits" else program.n + 1
    for name in program.derivatives:
        out = (m,) if name in PULL else out if name in PUSH else (*out, m)
    return out


def check_row(program: Program, asked: Numbers, place: int, row: Row, value: np.ndarray) -> None:
    tensors, size = told(program, row), 1.0
    for step, name in enumerate(program.transforms):
        vector = {
            key: x.reshape((len(asked.rows), *x.shape[len(program.batch) :]))[place]
            for key, x in asked.arrays.items()
            if key in (f"g{step}", f"v{step}")
        }
        if name in PULL:
            tensors, size = truth.pulled(tensors, vector[f"g{step}"]), size * norm(vector[f"g{step}"])
        elif name in PUSH:
            tensors, size = truth.pushed(tensors, vector[f"v{step}"]), size * norm(vector[f"v{step}"])
        elif name in program.derivatives:
            tensors = truth.whole(tensors)
    order = len(program.derivatives)
    expected = tensors[0]
    if order == 0:
        allowed = of_values(program, row, expected)
    else:
        allowed = of_derivatives(program, norm(told(program, row)[order]) * size, norm(expected), order)
    close(value, expected, allowed, -program.least)


def told(program: Program, row: Row) -> Tensors:
    """The truth of the function with respect to what is differentiated."""
    function = FUNCTIONS[program.function]
    tensors = function.tensors(row)
    if function.draws:
        tensors = None, *(np.repeat(x[None], program.draws, axis=0) for x in tensors[1:])
    return truth.restricted(tensors, slice(row.n) if program.wrt == "logits" else slice(row.n, None))


def of_values(program: Program, row: Row, expected: np.ndarray) -> np.ndarray:
    """Relative to each marginal, to the norm of J · v, or to the value or 1 if that is larger."""
    double, name, size = program.dtype == "float64", program.function, np.abs(expected)
    if name in ("marginals", "variance"):
        allowed = np.maximum((5e-14 if double else 1e-5) * (1 + (name == "variance")) * size, SMALLEST)
    elif name == "covariance":
        allowed = np.maximum((1e-13 if double else 1e-5) * np.linalg.norm(expected, axis=-1, keepdims=True), SMALLEST)
    elif name == "marginals_jvp":
        allowed = np.maximum((1e-13 if double else 1e-5) * norm(expected), SMALLEST)
    elif name == "count_log_pmf":
        allowed = (1e-10 if double else 1e-5) * np.maximum(size, 1)
    elif name == "exact_gradient":
        allowed = (1e-13 if double else 1e-5) * np.abs(truth.loss(row.law.subsets)).max()
    else:
        allowed = (1e-13 if double else 1e-5) * np.maximum(size, 1)
    return allowed + rounding(program, size)


def of_derivatives(program: Program, size: float, result: float, order: int) -> float:
    """Of first derivatives that are J times a vector, relative to the norm of the result."""
    double, direct = program.dtype == "float64", FUNCTIONS[program.function]
    if order == 2:
        return (1e-10 if double else 1e-4) * max(size, 1e-3)
    if direct.image and not direct.draws and not (program.out == () and program.derivatives[0] in PUSH):
        return max((1e-13 if double else 1e-5) * result, SMALLEST) + rounding(program, result)
    return (1e-13 if double else 1e-5) * max(size, 1) + rounding(program, result)


def rounding(program: Program, size: np.ndarray | float) -> np.ndarray | float:
    """Of results in float16 and bfloat16."""
    if program.dtype not in EPS:
        return 0.0
    return EPS[program.dtype] / 2 * size + TINY[program.dtype]


def close(found: np.ndarray, expected: np.ndarray, allowed: np.ndarray | float, most: float) -> None:
    """Raise if they differ by more; beyond the largest float of the dtype is infinity."""
    beyond = np.where(np.abs(expected) > most, np.copysign(np.inf, expected), expected)
    same = (found == expected) | (found == beyond)
    error = np.abs(np.where(same, 0, found) - np.where(same, 0, expected))
    bad = ~(same | (error <= allowed))
    assert not bad.any(), f"{found} is not {expected}: off by {error.max():.3g}, allowed {np.min(allowed):.3g}"


def norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(np.ravel(x)))


def check_draws(program: Program, rows: list[Row], values: np.ndarray) -> None:
    """Losses of subsets, subsets of the right size, or samples of the law."""
    kind = FUNCTIONS[program.function].draws
    for row, z in zip(rows, values, strict=True):
        if kind == "loss":
            error = np.abs(truth.loss(row.law.subsets) - z)
            assert error.min() == 0, f"{z} is the loss of no subset"
        elif kind == "size":
            assert np.isin(z, (0, 1)).all(), f"{z} are no subsets"
            assert (z.sum(axis=-1) == row.k).all(), f"{z} have not {row.k} items"
        else:
            assert (places(row, z) >= 0).all(), f"{z} are not all possible"
    if kind == "law" and rows and program.draws > 2:
        pooled = values.reshape(-1, program.n) if program.equal else values[0]
        found = np.bincount(places(rows[0], pooled), minlength=len(rows[0].law.subsets))
        check_frequencies(found, rows[0].law.probabilities)


def places(row: Row, z: np.ndarray) -> np.ndarray:
    """Which of the possible subsets each sample is; −1 if none."""
    same = (z[:, None, :] == row.law.subsets).all(axis=-1)
    return np.where(same.any(axis=1), same.argmax(axis=1), -1)
