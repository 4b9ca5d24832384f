"""Rows of logits with every kind of k, as Dask arrays and as what their chunks hold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from capabilities import FUNCTIONS, WITHOUT_SIZE

import ksubset

da = pytest.importorskip("dask.array", reason="a test of the adapter of Dask, of the extra dask")

SEED = np.random.default_rng(20261125)
ROWS, N = 10, 6
X, V = SEED.normal(size=(2, ROWS, N))
SIZES = SEED.integers(N, size=ROWS)
WEIGHTS = SEED.normal(size=(ROWS, N + 1))
UNIFORMS = SEED.random((3, ROWS, N))
PARTS = (slice(0, 4), slice(4, 8), slice(8, 10))

Wrap = Callable[[np.ndarray], Any]
K: dict[str, Callable[[Wrap], Any]] = {
    "int": lambda wrap: 2,
    "array": lambda wrap: wrap(SIZES),
    "weights": lambda wrap: ksubset.Cardinality(wrap(WEIGHTS)),
    "range": lambda wrap: ksubset.between(1, wrap(SIZES + 1)),
}
DRAWING = ("sample", "rsample", "sample_indices")
INDICES = ("sample_indices", "mode_indices")
PAIR = "sample_with_marginals"
"""Its results are two, of which `test_samples_with_marginals` is about."""


def arguments(name: str, kind: str, wrap: Wrap) -> dict[str, Any]:
    """All but the logits; ``wrap`` is given arrays with the rows before the items, if they have any."""
    uniforms = UNIFORMS if kind in ("weights", "range") else UNIFORMS[..., 1:]
    extra = {"marginals_jvp": {"v": V}, "kl_divergence": {"other": V}, "sample_from_uniforms": {"u": uniforms}}
    extra["log_prob"] = {"z": ksubset.mode(X, K[kind](lambda x: x))}
    extra["log_prob_indices"] = {"indices": ksubset.mode_indices(X, K[kind](lambda x: x))}
    size = {} if name in WITHOUT_SIZE else {"k": K[kind](wrap)}
    if name == "count_quantile":
        return {"q": 0.3}
    if name in INDICES and kind == "array":
        size["max_k"] = N
    return size | {key: wrap(x) for key, x in extra.get(name, {}).items()}


def first(name: str, kind: str) -> np.ndarray:
    return ksubset.marginals(X, K[kind](lambda x: x)) if name == "logits_from_marginals" else X


def lazy(x: np.ndarray, rows: int = 4) -> Any:
    """In chunks of rows: all of the last axis, if it is that of items."""
    axis = 0 if x.ndim == 1 else x.ndim - 2
    return da.from_array(x, chunks=tuple(rows if i == axis else size for i, size in enumerate(x.shape)))


def part(rows: slice) -> Wrap:
    return lambda x: x[rows] if x.ndim == 1 else x[..., rows, :]


def cases() -> list[tuple[str, str]]:
    pairs = [(name, kind) for name in FUNCTIONS for kind in K if name != PAIR]
    return [(n, k) for n, k in pairs if k == "int" or n not in ("logits_from_marginals", *WITHOUT_SIZE)]
