"""The checks for every place, and the time of a standard layer.

The error bounds are the same as in the project's tests of every framework.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import hypot, inf, isfinite
from statistics import median

import ksubset
from ksubset._api.show_config import paths
from ksubset._engine.ops import Array
from ksubset._selfcheck import oracle
from ksubset._selfcheck.places import Place, in_words

LOGITS = [
    [0.75, -0.5, 0.25, 1.0, -0.75, 0.0, -0.25],
    [30.0, -20.0, 12.25, -7.5, 0.0, 3.75, -31.0],
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    [inf, 1.25, -inf, 0.0, -2.0, 0.75, -1.0],
]
"""Moderate, spread, equal and partly infinite; float32 holds them exactly."""

K, EACH = 3, [2, 4, 6, 3]
G = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, -2.0]
BOUND = {"float32": 1e-5, "float64": 1e-13}
DRAWS, FALSE_ALARM, SEED = 20_000, 1e-6, 20261125
LAYER = 128, 350, 10
LEAST, SECONDS = 5, 0.3
"""Repetitions of the layer, at least, and the time after which there are no more."""


@dataclass(frozen=True)
class Finding:
    """Whether an answer is right.

    Attributes
    ----------
    agrees
        True if it is.
    value
        The largest relative error, or the p-value of the chi-squared test; None where an answer is not finite.
    bound
        The largest error allowed, or the smallest p-value.
    problem
        The error that was raised in the place of an answer.
    """

    agrees: bool
    value: float | None
    bound: float
    problem: str | None = None


def marginals(place: Place, dtype: str) -> Finding:
    """Each marginal, for one k and for a k to each row."""
    errors = []
    for k, argument in (([K] * len(LOGITS), K), (EACH, place.array(EACH, "int32"))):
        found = place.values(ksubset.marginals(place.array(LOGITS, dtype), argument))
        for row, expected in zip(found, _true_marginals(tuple(k)), strict=True):
            errors += [_relative([a], [b]) for a, b in zip(row, expected, strict=True)]
    return _within(errors, dtype)


def gradient(place: Place, dtype: str) -> Finding:
    """The gradient of a sample, J · g, in each row; and that the sample has k ones."""
    logits, g = place.array(LOGITS, dtype), place.array([G] * len(LOGITS), dtype)
    z, found = map(place.values, place.layer(logits, K, g, place.rng(SEED)))
    errors = [_relative(*rows) for rows in zip(found, _true_gradients(), strict=True)]
    return _within([*errors, *(_relative(sorted(row), [0] * (len(G) - K) + [1] * K) for row in z)], dtype)


def sampling(place: Place, dtype: str) -> Finding:
    """How often each subset comes up."""
    drawn = ksubset.sample(place.array(LOGITS[0], dtype), K, rng=place.rng(SEED), sample_shape=(DRAWS,))
    p = oracle.chi_squared(Counter(map(tuple, place.values(drawn))), oracle.distribution(LOGITS[0], K))
    return Finding(p > FALSE_ALARM, p, FALSE_ALARM)


CHECKS: dict[str, Callable[[Place, str], Finding]] = {
    "marginals": marginals,
    "sampling": sampling,
    "gradient": gradient,
}


def attempt(name: str, place: Place, dtype: str) -> Finding:
    """Apply one of `CHECKS`; an error is a wrong answer."""
    try:
        return CHECKS[name](place, dtype)
    except Exception as error:
        return Finding(False, None, FALSE_ALARM if name == "sampling" else BOUND[dtype], in_words(error))


def time_layer(place: Place, dtype: str) -> float:
    """Milliseconds of a standard layer, forward and backward, until a number of the result is at hand; the median."""
    (logits, g), rng, times = _layer_arrays(place, dtype), place.rng(SEED), list[float]()
    while len(times) <= LEAST or sum(times[1:]) < SECONDS:
        start = time.perf_counter()
        float(place.layer(logits, LAYER[2], g, rng)[1][0, 0])
        times.append(time.perf_counter() - start)
    return 1e3 * median(times[1:])  # the first compiles


def layer_paths(place: Place, dtype: str) -> dict[str, str]:
    """How each function is computed for the logits of a standard layer."""
    return paths(_layer_arrays(place, dtype)[0], LAYER[2])


def _layer_arrays(place: Place, dtype: str) -> tuple[Array, Array]:
    rows, n, _ = LAYER
    logits = [[((37 * i + 11 * r) % 64) / 16 - 2 for i in range(n)] for r in range(rows)]
    return place.array(logits, dtype), place.array([[float(i % 3) for i in range(n)]] * rows, dtype)


@cache
def _true_marginals(k: tuple[int, ...]) -> list[list[float]]:
    return [oracle.marginals(row, count) for row, count in zip(LOGITS, k, strict=True)]


@cache
def _true_gradients() -> list[list[float]]:
    return [oracle.jacobian_product(row, K, G) for row in LOGITS]


def _relative(found: Sequence[float], expected: Sequence[float]) -> float:
    """The size of the error over that of the truth."""
    error, size = hypot(*(a - b for a, b in zip(found, expected, strict=True))), hypot(*expected)
    if error == 0:
        return 0.0
    return error / size if size else inf


def _within(errors: Iterable[float], dtype: str) -> Finding:
    """NaN is not."""
    errors = list(errors)
    if not all(map(isfinite, errors)):
        return Finding(False, None, BOUND[dtype])
    return Finding(max(errors) <= BOUND[dtype], max(errors), BOUND[dtype])
