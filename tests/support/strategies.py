"""Generated cases: a case is one row of logits with its k, and all that the functions take beside it.

Hypothesis draws batches of rows. The tests of a target compare ``KSUBSET_CASES`` rows in all, 2000 unless it is set,
or the portion that `PORTIONS` gives to its framework. Every row of a batch is compared on its own, and counts once,
however many functions it is put to. Unless the variable is set, the cases are the same in every run.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from inspect import Signature, signature
from math import ceil
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from oracle import Enumeration, families

CASES = int(os.environ.get("KSUBSET_CASES", "2000"))
ORDINARY = "KSUBSET_CASES" not in os.environ
PORTIONS = {"numpy": 1.0, "torch": 0.5, "strict": 0.1, "jax": 0.2, "cupy": 0.5}
"""Slower frameworks compare fewer rows: array-api-strict for its checks, JAX for compiling each function.

That takes a minute in all for float32; JAX's float64 is left to the night.
"""

DRAWN = 8
"""Rows of a batch that Hypothesis draws item by item."""

COMPARED: Counter[str] = Counter()
"""How many rows the tests of this run compared, by target."""

Test = TypeVar("Test", bound=Callable[..., None])


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch (rows, n), in float64 but exact in ``dtype``."""

    dtype: str
    logits: np.ndarray
    k: np.ndarray
    one_size: bool
    seed: int

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    @cached_property
    def truth(self) -> list[Enumeration]:
        return [Enumeration(row, int(k)) for row, k in zip(self.logits, self.k, strict=True)]

    @cached_property
    def v(self) -> np.ndarray:
        """A vector for each row, some of them far from the origin."""
        rng = self.rng
        v = rng.normal(size=self.logits.shape) + rng.choice([0, 0, 1000], size=(len(self.k), 1))
        return v.astype(np.float32).astype(float)

    @cached_property
    def other(self) -> np.ndarray:
        """A second row of moderate logits, which rules out what the first rules out and sometimes more."""
        rng = self.rng
        eta = (rng.normal(size=self.logits.shape) * 10 ** rng.uniform(-1, 2)).astype(np.float32).astype(float)
        eta = np.where(np.isinf(self.logits) & (rng.random(size=(len(eta), 1)) < 0.7), self.logits, eta)
        for row, k in zip(eta, self.k, strict=True):
            if rng.random() < 0.2:
                free = np.flatnonzero(np.isfinite(row))
                spare = min(len(row) - k - int((row == -np.inf).sum()), len(free))
                row[free[: rng.integers(spare + 1)]] = -np.inf
        return eta

    @cached_property
    def z(self) -> np.ndarray:
        """A subset for each row, feasible for most, of another size for some."""
        rng, z = self.rng, np.zeros(self.logits.shape)
        for row, theta, k in zip(z, self.logits, self.k, strict=True):
            size = k if rng.random() < 0.9 else rng.integers(len(row) + 1)
            score = rng.normal(size=len(row)) + (np.where(np.isinf(theta), theta, 0) if rng.random() < 0.9 else 0)
            row[np.argsort(-score, kind="stable")[:size]] = 1
        return z

    def modes(self, target: Any) -> np.ndarray:
        """The most likely subsets; XLA compares subnormal numbers as if they were 0."""
        tiny = np.finfo(self.dtype).tiny if target.backend == "jax" else 0.0
        seen = np.where(np.abs(self.logits) < tiny, 0.0, self.logits)
        return np.stack([Enumeration(row, int(k)).mode for row, k in zip(seen, self.k, strict=True)])

    def count(self, target: Any) -> Any:
        """k as an int where Hypothesis made all the same; never in JAX, which compiles for every such k."""
        return int(self.k[0]) if self.one_size and target.backend != "jax" else self.k

    def arguments(self, target: Any) -> tuple[Any, Any]:
        """Logits and k as the functions take them."""
        k = self.count(target)
        return target.array(self.logits, self.dtype), k if isinstance(k, int) else target.array(k)


def special(dtype: str) -> list[float]:
    """Where exponentials, products and halves of floats overflow, underflow or lose bits."""
    info = np.finfo(dtype)
    sizes = [float(info.tiny), float(info.smallest_subnormal), float(info.eps), 0.5, 1.0, 17.5, 88.75, 103.5, 709.75]
    sizes += [745.25, 1e4, float(np.float32(1e19)), float(info.max) / 4]
    return [sign * x for x in (0.0, *sizes) for sign in (1, -1)] + [float(info.min)]


def elements(dtype: str) -> st.SearchStrategy[float]:
    """Finite logits: moderate, special, or any whose sums of eight are finite."""
    width, most = int(dtype[-2:]), float(np.finfo(dtype).max) / 8
    return st.one_of(
        st.floats(-32, 32, width=width), st.sampled_from(special(dtype)), st.floats(-most, most, width=width)
    )


@st.composite
def batches(draw: Any, dtypes: tuple[str, ...], sizes: tuple[int, ...], rows: int) -> Rows:
    """A batch of one n; k the same in all rows or not; any feasible number of infinite logits.

    The first rows are drawn item by item, so that Hypothesis can simplify them; the others come from its seed.
    """
    dtype, n, seed = draw(st.sampled_from(dtypes)), draw(st.sampled_from(sizes)), draw(st.integers(0, 2**32 - 1))
    one_size, rng = draw(st.booleans()), np.random.default_rng(seed)
    logits = np.stack([_of_a_family(rng, dtype, n) for _ in range(rows)])
    k = np.full(rows, draw(st.integers(0, n))) if one_size else rng.integers(n + 1, size=rows)
    for i in range(min(rows, DRAWN) if n <= 10 else 0):
        logits[i] = draw(st.lists(elements(dtype), min_size=n, max_size=n))
        k[i] = k[i] if one_size else draw(st.integers(0, n))
    for row, size in zip(logits, k, strict=True):
        if rng.random() < 0.25:
            place = rng.permutation(n)
            always, never = rng.integers(size + 1), rng.integers(n - size + 1)
            row[place[:always]], row[place[n - never :]] = np.inf, -np.inf
    return Rows(dtype, logits, k, one_size, seed)


def _of_a_family(rng: np.random.Generator, dtype: str, n: int) -> np.ndarray:
    """A row that is hard in one way, every fourth with special values here and there."""
    rows = list(families(n, rng).values())
    row = rows[rng.integers(len(rows))]
    if rng.random() < 0.25:
        row = np.where(rng.random(n) < 0.2, rng.choice(special(dtype), n), row)
    return row.astype(dtype).astype(float)


def battery(share: float, sizes: tuple[int, ...], lazy: tuple[int, ...] = ()) -> Callable[[Test], Test]:
    """Give a test its share of the cases, n one of ``sizes``; of ``lazy`` in JAX, which compiles for every shape."""

    def decorate(test: Test) -> Test:
        @wraps(test)
        def run(target: Any, **fixtures: Any) -> None:
            jax = target.backend == "jax"
            shapes = (lazy or sizes[:1]) if jax else sizes
            dtypes = target.dtypes[:1] if jax and ORDINARY else target.dtypes[-2:]
            rows = DRAWN if ORDINARY or jax else 4 * DRAWN

            @settings(
                max_examples=ceil(CASES * PORTIONS[target.backend] * share / rows),
                derandomize=ORDINARY,
                deadline=None,
                database=None,
                print_blob=True,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            @given(batches(dtypes, shapes, rows))
            def all_cases(case: Rows) -> None:
                COMPARED[target.name] += rows
                test(target, case, **fixtures)

            all_cases()

        parameters = [p for name, p in signature(test).parameters.items() if name != "case"]
        run.__signature__ = Signature(parameters)  # the fixtures that pytest provides
        return run

    return decorate
