"""The selection of the likeliest subset by the kernel: what the core's sort selects, to the last tie."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target

import ksubset
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cpu import calls
from ksubset.backends.array_api import NUMPY

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
INFINITE = np.array([-np.inf, -1.0, 0.0, 1.0, np.inf])


def by_sort(logits: np.ndarray, k: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        value: np.ndarray = functions.mode(NUMPY, FixedSize(k, logits.shape[-1]), logits)
    return value


def drawn(kind: str, rng: np.random.Generator, shape: tuple[int, int], dtype: type) -> np.ndarray:
    """Rows of distinct numbers, with ties, over all magnitudes, infinite, with NaN, or of zeros of either sign."""
    x = rng.normal(size=shape)
    with np.errstate(all="ignore"):
        made = {
            "distinct": x,
            "tied": np.round(x),
            "magnitudes": x * 10.0 ** rng.integers(-320, 300, size=shape),
            "infinite": rng.choice(INFINITE, size=shape),
            "with NaN": np.where(rng.random(shape) < 0.02, np.nan, x),
            "zeros": np.copysign(0.0, x),
        }
        return made[kind].astype(dtype)


@DTYPES
@pytest.mark.parametrize("kind", ["distinct", "tied", "magnitudes", "infinite", "with NaN", "zeros"])
def test_the_selection_of_the_core(kind: str, dtype: type) -> None:
    rng = np.random.default_rng(5)
    for rows, n in [(1, 1), (37, 1), (5, 2), (40, 7), (6, 33), (17, 64), (3, 64), (9, 256), (8, 257), (2, 1000)]:
        x = drawn(kind, rng, (rows, n), dtype)
        for k in {0, 1, n // 2, n}:
            np.testing.assert_array_equal(calls.mode(x, k), by_sort(x, k))
        sizes = rng.integers(-1, n + 2, size=rows)
        np.testing.assert_array_equal(calls.mode(x, sizes), by_sort(x, sizes))


@DTYPES
def test_neighbouring_numbers_and_the_ends_of_the_floats(dtype: type) -> None:
    """Subnormal numbers, and numbers that differ in the last bit, are in order; both zeros are equal."""
    info = np.finfo(dtype)
    tiny = [-2 * info.smallest_subnormal, -info.smallest_subnormal, -0.0, 0.0, info.smallest_subnormal, info.tiny]
    ends = [info.min, np.nextafter(info.min, dtype(0)), np.nextafter(info.max, dtype(0)), info.max]
    near = [1.0, np.nextafter(dtype(1), dtype(2)), np.nextafter(dtype(1), dtype(0))]
    row = np.array([*near, *tiny, *ends], dtype)
    for x in (row, row[::-1].copy(), np.concatenate([row, row])):
        for k in range(len(x) + 1):
            expected = by_sort(x, k)
            assert expected.sum() == k
            np.testing.assert_array_equal(calls.mode(x, k), expected)
            np.testing.assert_array_equal(calls.mode(np.tile(x, (20, 1)), k), np.tile(expected, (20, 1)))


def test_a_long_row() -> None:
    x = np.random.default_rng(0).normal(size=300_000).astype(np.float32)
    x[::3] = 0.5  # a hundred thousand ties, of which the first are chosen
    for k in (10, 150_000, 299_000):
        np.testing.assert_array_equal(calls.mode(x, k), by_sort(x, k))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_rows(threads: int) -> None:
    x = np.random.default_rng(1).normal(size=(20_000, 64)).astype(np.float32)
    np.testing.assert_array_equal(calls.mode(x, 5, threads=threads), by_sort(x, 5))


@pytest.mark.backends("numpy", "torch", "jax")
def test_the_function_takes_the_kernel(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    x, sizes = np.round(rng.normal(size=(3, 4, 9)), 1), rng.integers(0, 10, size=(3, 4))
    for k in (4, sizes):
        logits = target.array(x)
        given = k if isinstance(k, int) else target.array(k)
        found = [ksubset.mode(logits, given), ksubset.KSubset(logits, given).mode()]
        monkeypatch.setenv("KSUBSET_FAST", "0")
        found.append(ksubset.mode(logits, given))
        monkeypatch.delenv("KSUBSET_FAST")
        for value in found:
            np.testing.assert_array_equal(target.to_numpy(value), by_sort(x, k))
    if target.backend == "jax":
        import jax

        mapped = jax.vmap(jax.vmap(ksubset.mode))(target.array(x), target.array(sizes))
        np.testing.assert_array_equal(np.asarray(mapped), by_sort(x, sizes))
        slope = jax.grad(lambda x: ksubset.mode(x, 4).sum())(target.array(x))
        np.testing.assert_array_equal(np.asarray(slope), np.zeros_like(x))
