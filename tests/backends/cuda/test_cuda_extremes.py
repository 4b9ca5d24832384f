"""The CUDA kernels, executed on the CPU, where rounding is at its worst: huge logits, and fractions that no sum passes.

λ is start + shift. The start cancels a level of logits however high or low that is, so the same items at the level 0
must give the same answers to the last bit. Were the two added up, the shift would be rounded off or lost.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from cuda_on_cpu.battery import SEED
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator

from ksubset._engine.inference import Solution
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cuda import calls

pytestmark = [NEEDED, OWN_SESSION]
N, DRAWS = 200, 20
TOLERANCE = {"float32": 1e-6, "float64": 1e-14}


@pytest.fixture(params=[200_000, 2_000], ids=["shared", "slab"])
def emulator(request):
    return Emulator(shared_bytes=request.param)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@dataclass(frozen=True)
class Rows:
    """Rows whose items are all ``free``, at one level, or certain, and whose other level is 0 in ``plain``."""

    logits: np.ndarray
    plain: np.ndarray
    free: np.ndarray
    k: np.ndarray

    def share(self) -> tuple[np.ndarray, np.ndarray]:
        """How many are free, and how many of those are chosen, (rows, 1)."""
        certain = (~self.free & (self.plain > 0)).sum(axis=1, keepdims=True)
        return self.free.sum(axis=1, keepdims=True), self.k[:, None] - certain

    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """μ and 1 − μ, the same for all free items."""
        free, share = self.share()
        certain = (self.plain > 0).astype(float)
        return np.where(self.free, share / free, certain), np.where(self.free, (free - share) / free, 1 - certain)

    def product(self, v: np.ndarray) -> np.ndarray:
        """J · v, J that of drawing without replacement from the free items."""
        free, share = self.share()
        mean = np.where(self.free, v, 0).sum(axis=1, keepdims=True, dtype=float) / free
        return np.where(self.free, share * (free - share) / (free * (free - 1)) * (v - mean), 0)


def level(x: float, size: tuple[int, int], k: list[int], dtype: np.dtype) -> Rows:
    return Rows(np.full(size, x, dtype), np.zeros(size, dtype), np.ones(size, dtype=bool), np.array(k))


def masked(k: int, dtype: np.dtype) -> Rows:
    """All but 50 items masked by the least float, and k of more than 50; then the row of the items left."""
    ordinary, free = np.random.default_rng(6).normal(size=N).astype(dtype), np.arange(N) % 4 != 1
    row, plain = np.where(free, np.finfo(dtype).min, ordinary), np.where(free, 0, np.inf).astype(dtype)
    return Rows(np.stack([row, -row]), np.stack([plain, -plain]), np.stack([free, free]), np.array([k, N - k]))


CASES = {
    "1e6": lambda dtype: level(1e6, (2, N), [1, N - 1], dtype),
    "1.8e8": lambda dtype: level(1.8e8, (2, N), [1, N - 1], dtype),
    "nine rows of 1e6": lambda dtype: level(1e6, (9, 500), [1] * 9, dtype),
    "masked, k = 51": lambda dtype: masked(51, dtype),
    "masked, k = 55": lambda dtype: masked(55, dtype),
    "masked, k = 60": lambda dtype: masked(60, dtype),
}


@pytest.fixture(params=CASES)
def rows(request, dtype):
    return CASES[request.param](dtype)


def direction(logits: np.ndarray) -> np.ndarray:
    return np.random.default_rng(7).normal(size=logits.shape).astype(logits.dtype)


def assert_subsets(z: np.ndarray, k: np.ndarray) -> None:
    assert ((z == 0) | (z == 1)).all()
    np.testing.assert_array_equal(z.sum(axis=-1), np.broadcast_to(k, z.shape[:-1]))


def test_equal_items_by_symmetry(emulator, rows, dtype):
    runtime, width, tolerance = emulator.runtime, rows.logits.shape[1] // 2, TOLERANCE[dtype.name]
    solution, (chosen, unchosen) = calls.moments(runtime, FixedSize(rows.k, width), rows.logits), rows.marginals()
    np.testing.assert_allclose(solution.chosen, chosen, rtol=tolerance)
    np.testing.assert_allclose(solution.unchosen, unchosen, rtol=tolerance)
    v = direction(rows.logits)
    product, exact = calls.jacobian_product(runtime, FixedSize(rows.k, width), rows.logits, v), rows.product(v)
    error = np.linalg.norm(product - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert (error < tolerance).all()
    assert_subsets(calls.draw(runtime, FixedSize(rows.k, width), rows.logits, (DRAWS,), SEED)[0], rows.k)


def test_a_level_of_logits_cancels_exactly(emulator, rows):
    """Not a bit of λ is lost: all answers are those at the level 0."""
    runtime, width, v = emulator.runtime, rows.logits.shape[1] // 2, direction(rows.logits)

    def answers(x: np.ndarray) -> tuple[Solution, np.ndarray, np.ndarray]:
        product = calls.jacobian_product(runtime, FixedSize(rows.k, width), x, v)
        drawn, _ = calls.draw(runtime, FixedSize(rows.k, width), x, (DRAWS,), SEED)
        return calls.moments(runtime, FixedSize(rows.k, width), x), product, drawn

    (huge, *others), (plain, *expected) = answers(rows.logits), answers(rows.plain)
    np.testing.assert_array_equal(huge.tilted[rows.free], plain.tilted[rows.free])
    for name in ("log_partition", "chosen", "unchosen"):
        np.testing.assert_array_equal(getattr(huge, name), getattr(plain, name), err_msg=name)
    for actual, same in zip(others, expected, strict=True):
        np.testing.assert_array_equal(actual, same)


def test_a_masked_row_that_chooses_none(emulator, dtype):
    """Beside ordinary rows, whose answers are those they have alone."""
    logits, k = np.random.default_rng(8).normal(size=(3, N)).astype(dtype), np.array([5, 0, 100])
    logits[1] = np.finfo(dtype).min
    runtime, v = emulator.runtime, direction(logits)
    solution = calls.moments(runtime, FixedSize(k, N // 2), logits)
    assert (1 / (1 + np.exp(-solution.tilted[1]))).sum() < 1
    np.testing.assert_array_equal(solution.chosen[1], 0)
    np.testing.assert_array_equal(solution.unchosen[1], 1)
    product = calls.jacobian_product(runtime, FixedSize(k, N // 2), logits, v)
    np.testing.assert_array_equal(product[1], 0)
    assert_subsets(calls.draw(runtime, FixedSize(k, N // 2), logits, (DRAWS,), SEED)[0], k)
    for i in (0, 2):
        alone = calls.moments(runtime, FixedSize(k[[i]], N // 2), logits[[i]])
        for name in ("tilted", "log_partition", "chosen", "unchosen"):
            np.testing.assert_allclose(getattr(solution, name)[i], getattr(alone, name)[0], rtol=TOLERANCE[dtype.name])
        expected = calls.jacobian_product(runtime, FixedSize(k[[i]], N // 2), logits[[i]], v[[i]])[0]
        np.testing.assert_allclose(product[i], expected, rtol=TOLERANCE[dtype.name], atol=1e-30)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 11, 13, 38, 67, 131])
def test_whatever_rounding_does_a_draw_has_k_ones(emulator, dtype, n):
    """NaN and ±∞ stand for a fraction that rounding keeps every sum from passing, from below and from above."""
    rng, k = np.random.default_rng(n), np.arange(-1, n + 2)
    if n > 20:
        k = k[rng.permutation(k.size)[:12]]
    logits = (rng.normal(size=(k.size, n)) * 3).astype(dtype)
    ordinary = rng.random((8, k.size, n - 1))
    special = rng.choice([0, 0.5, 1, 1 - 2.0**-24, -0.5, np.nan, np.inf, -np.inf], ordinary.shape)
    constant = np.broadcast_to(np.array([0, 0.5, np.nan, np.inf, -np.inf])[:, None, None], (5, k.size, n - 1))
    u = np.concat([special, np.where(ordinary < 0.5, ordinary, special), constant]).astype(dtype)
    drawn = calls.draw_given(emulator.runtime, FixedSize(k, n // 2), logits, u)
    feasible = (k >= 0) & (k <= n)
    assert np.isnan(drawn[:, ~feasible]).all()
    assert_subsets(drawn[:, feasible], k[feasible])
