"""Samples of the CPU fast path: their law, rare events, and what they depend on."""

from math import comb

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from fast_cases import enumerated
from significance import check_binomial, check_frequencies, check_mean

from ksubset.backends._cpu import calls

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize(("n", "k", "scale"), [(8, 3, 1.5), (9, 7, 1.0), (6, 1, 4.0), (5, 2, 0.1), (11, 5, 2.0)])
def test_law(n, k, scale, count, dtype):
    row = (np.random.default_rng(n).normal(size=n) * scale).astype(dtype)
    draws = calls.sample(np.tile(row, (count, 1)), k, 11 + n, (240_000 // count,))[0].reshape(-1, n)
    assert (draws.sum(1) == k).all()
    z, p = enumerated(row.astype(float), k)[:2]
    key = 1 << np.arange(n)
    check_frequencies(np.bincount((draws @ key).astype(int), minlength=1 << n)[(z @ key).astype(int)], p)


@DTYPES
def test_draws_of_different_rows_and_draws_are_independent(dtype):
    z = calls.sample(np.zeros((60, 40), dtype), 20, 3, (50,))[0].reshape(3000, 40)
    overlap = (z @ z.T).astype(int)
    pairs = 3000 * 2999 // 2
    check_mean(np.stack([overlap.diagonal(lag)[:2800] for lag in range(1, 200)], axis=1), np.full(199, 10.0))
    check_binomial((overlap == 20).sum() // 2 - 1500, pairs, 1 / comb(40, 20))


@DTYPES
@pytest.mark.parametrize("count", [1, 64])
@pytest.mark.parametrize("k", [1, 5])
def test_rare_events_keep_their_probability(k, count, dtype):
    """About 1e-6 each: to be chosen for k = 1, to be left out for k = 5."""
    row = np.array([0, 0, 0, -14, -14, -14] if k == 1 else [14, 14, 14, 0, 14, 0], dtype)
    _, _, mu, _, _ = enumerated(row.astype(float), k)
    draws = 8_000_000 // count
    z = calls.sample(np.tile(row, (count, 1)), k, 5, (draws,))[0].sum((0, 1), dtype=float)
    rare = np.minimum(mu, 1 - mu) < 1e-3
    events = np.minimum(z, draws * count - z)[rare].sum()
    check_binomial(events, draws * count, np.minimum(mu, 1 - mu)[rare].sum())


def test_uniforms_resolve_what_is_far_below_the_spacing_of_float32():
    from numba import njit

    from ksubset.backends._cpu import compiling, planning
    from ksubset.backends._cpu.kernels import uniforms
    from ksubset.backends._cpu.simd import memory, tables, vectors

    @njit(**compiling.OPTIONS)
    def smallest(seed, steps, address, layout):
        zero = vectors.zeros(layout)
        state = tables.table_at(address, 0, zero)
        uniforms.seed_streams(seed, 0, state)
        low, below = vectors.full(zero, 1), 0
        for _ in range(steps):
            u = uniforms.uniform(state, zero)
            low = vectors.where(u < low, u, low)
            if vectors.any_lane(u < vectors.full(zero, 2.0**-20)):
                below += 1
        memory.store(state, 0, low)
        return below

    kind = np.dtype(np.float32)
    lanes = vectors.WIDTH[planning.KINDS[kind]]
    state, steps = np.empty(4 * lanes, kind), 4_000_000
    below = smallest(1, steps, state.ctypes.data, planning.LAYOUTS[kind, "rows"])
    check_binomial(below, steps, 1 - (1 - 2.0**-20) ** lanes)
    low = state[:lanes]
    assert 0 < low.min() < 2.0**-22
    assert ((low * 2.0**31) % 1 != 0).all()


@DTYPES
def test_a_sample_depends_on_its_row_seed_and_number_alone(dtype):
    logits = np.random.default_rng(0).normal(size=(100, 400)).astype(dtype)
    k = np.random.default_rng(1).integers(0, 401, size=100)
    z = calls.sample(logits, k, 9, (3,), threads=1)[0]
    assert (z == calls.sample(logits, k, 9, (3,), threads=3)[0]).all()
    assert (z[0] == calls.sample(logits, k, 9)[0]).all()
    assert (z[0, :3] == calls.sample(logits[:3], k[:3].copy(), 9)[0]).all()
    assert (z != calls.sample(logits, k, 10, (3,))[0]).any()


@DTYPES
def test_further_draws_of_long_rows_are_no_worse_than_the_first(dtype):
    """Rows whose table is computed in segments, which every draw needs again."""
    rows, n, k = 4, 4000, 2000
    logits = np.random.default_rng(2).normal(size=(rows, n)).astype(dtype)
    z = calls.sample(logits, k, 0, (2,))[0]
    assert (z.sum(-1) == k).all()
    assert (z.reshape(2 * rows, n) == calls.sample(np.concatenate([logits] * 2), k, 0)[0]).all()
