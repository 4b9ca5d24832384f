"""The CUDA kernels, executed on the CPU: against the core, against enumeration, and their samples against the law."""

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np
import pytest
from cuda_on_cpu import battery
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator
from cuda_on_cpu.philox import philox
from significance import check_frequencies

from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cuda import calls, evaluation, geometry, teams, tree
from ksubset.backends.array_api import ADAPTER

pytestmark = [NEEDED, OWN_SESSION]
SHARED = {"shared": 200_000, "slab": 2_000}


@pytest.fixture(params=SHARED)
def emulator(request):
    return Emulator(shared_bytes=SHARED[request.param])


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param).type


def test_everything_matches_the_core(emulator, dtype):
    battery.check(emulator, dtype)


def test_the_battery_draws_in_parts():
    battery.check_parts(Emulator())


@pytest.mark.parametrize("n", [16_500, 20_000])
def test_parts_of_a_long_row_grow_by_more(n):
    """And a draw ends, whatever is left for the last of them."""
    battery.check_parts(Emulator(), n, 60)


def test_rows_that_share_a_block():
    battery.check_several_rows_to_a_block(Emulator())


def test_both_places_of_the_tree_are_used(emulator):
    battery.check(emulator, np.float32)
    slabs = {launch.slab for launch in emulator.launches if launch.kernel == "ksubset_descend"}
    assert slabs == ({False} if emulator.runtime.device(None).shared_bytes == SHARED["shared"] else {False, True})


def log_weights(logits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All subsets as rows of 0 and 1, and the logarithms of their weights."""
    subsets = np.zeros((comb(logits.size, k), logits.size))
    for row, chosen in zip(subsets, combinations(range(logits.size), k), strict=True):
        row[list(chosen)] = 1
    return subsets, subsets @ logits


def test_enumeration(emulator, dtype):
    n, runtime, tolerance = 8, emulator.runtime, {np.float32: 2e-6, np.float64: 4e-15}[dtype]
    logits = np.random.default_rng(1).normal(size=(n + 1, n)).astype(dtype) * 2
    k = np.arange(n + 1)
    names = ["log_normalizer", "marginals", "entropy"]
    values = [
        evaluation.evaluate(runtime, getattr(functions, name), FixedSize(k, n // 2), logits, solution=None)
        for name in names
    ]
    names, wide, unit = [*names, "covariance"], logits[:, None, :], np.eye(n, dtype=dtype)
    values.append(
        evaluation.evaluate(runtime, functions.marginals_jvp, FixedSize(k[:, None], n // 2), wide, unit, solution=None)
    )
    for row in k:
        subsets, weights = log_weights(logits[row].astype(np.float64), row)
        total = np.logaddexp.reduce(weights)
        p = np.exp(weights - total)
        mean = p @ subsets
        expected = [total, mean, -p @ (weights - total), (subsets.T * p) @ subsets - np.outer(mean, mean)]
        for name, value, exact in zip(names, values, expected, strict=True):
            np.testing.assert_allclose(value[row], exact, atol=20 * tolerance, rtol=tolerance, err_msg=name)


FUNCTIONS: list[Callable[..., np.ndarray]] = [
    functions.log_normalizer,
    functions.log_prob_count,
    functions.marginals,
    functions.unchosen,
    functions.entropy,
    functions.kl_to_uniform,
    functions.mode,
    functions.kl_divergence,
    functions.log_prob,
    functions.marginals_jvp,
    functions.sample,
    functions.rsample,
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("k", [5, [[3], [9]]], ids=["k", "k by row"])
def test_every_function_agrees_with_the_numpy_adapter(function, k):
    rng, n, emulator = np.random.default_rng(2), 12, Emulator()
    logits, other, u = rng.normal(size=(2, 3, n)), rng.normal(size=(2, 3, n)), rng.random((4, 2, 3, n - 1))
    counts = k if isinstance(k, int) else np.broadcast_to(np.asarray(k), (2, 3))
    z = ADAPTER.evaluate(functions.mode, FixedSize(counts, n // 2), other, solution=None)
    arrays = {"kl_divergence": (other,), "marginals_jvp": (other[0],), "log_prob": (z,)}
    arrays |= {"sample": (u,), "rsample": (u,)}
    given = arrays.get(function.__name__, ())
    actual = evaluation.evaluate(emulator.runtime, function, FixedSize(counts, n // 2), logits, *given, solution=None)
    expected = ADAPTER.evaluate(function, FixedSize(counts, n // 2), logits, *given, solution=None)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)
    assert len(emulator.launches) == {functions.mode: 0, functions.kl_divergence: 2}.get(function, 1)


def test_a_known_solution_costs_no_launch():
    emulator, logits = Emulator(), np.arange(6.0)
    solution = calls.moments(emulator.runtime, FixedSize(2, 2), logits)
    evaluation.evaluate(emulator.runtime, functions.entropy, FixedSize(2, 2), logits, solution=solution)
    assert len(emulator.launches) == 1


def test_infinite_logits_decide_exactly(emulator, dtype):
    logits = np.array([[np.inf, -np.inf, 0.5, -1, np.inf, 2]], dtype=dtype)
    solution = calls.moments(emulator.runtime, FixedSize(3, 3), logits)
    np.testing.assert_array_equal(solution.chosen[0, [0, 1, 4]], [1, 0, 1])
    np.testing.assert_array_equal(solution.unchosen[0, [0, 1, 4]], [0, 1, 0])
    product = calls.jacobian_product(emulator.runtime, FixedSize(3, 3), logits, np.arange(6, dtype=dtype)[None] - 7)
    np.testing.assert_array_equal(product[0, [0, 1, 4]], 0)
    subsets, _ = calls.draw(emulator.runtime, FixedSize(3, 3), logits, (50,), battery.SEED)
    np.testing.assert_array_equal(subsets[:, 0, [0, 1, 4]], np.broadcast_to([1, 0, 1], (50, 3)))


def test_a_bad_row_is_nan_and_alone(emulator, dtype):
    logits = np.zeros((4, 5), dtype=dtype)
    logits[1, 3], logits[2, :3] = np.nan, np.inf
    solution = calls.moments(emulator.runtime, FixedSize(2, 2), logits)
    product = calls.jacobian_product(emulator.runtime, FixedSize(2, 2), logits, np.ones_like(logits))
    subsets, _ = calls.draw(emulator.runtime, FixedSize(2, 2), logits, (3,), battery.SEED)
    for value in (solution.tilted, solution.chosen, solution.unchosen, product, *subsets):
        np.testing.assert_array_equal(np.isnan(value).all(axis=-1), [False, True, True, False])
        np.testing.assert_array_equal(np.isnan(value).any(axis=-1), [False, True, True, False])


def test_rows_are_read_where_they_lie():
    emulator, wide = Emulator(), np.random.default_rng(3).normal(size=(6, 9))
    v = np.broadcast_to(wide[0, :7], (3, 7))
    actual = calls.jacobian_product(emulator.runtime, FixedSize(2, 2), wide[::2, 1:8], v)
    expected = ADAPTER.evaluate(functions.marginals_jvp, FixedSize(2, 2), wide[::2, 1:8].copy(), v.copy())
    np.testing.assert_allclose(actual, expected, atol=1e-14)
    assert np.shares_memory(calls._rows(emulator.runtime, wide[::2, 1:8])[0], wide)


def test_subsets_follow_the_law(emulator, dtype):
    n, k, draws = 8, 3, 20_000
    logits = np.random.default_rng(4).normal(size=n).astype(dtype) * 1.5
    subsets, weights = log_weights(logits.astype(np.float64), k)
    drawn, _ = calls.draw(emulator.runtime, FixedSize(k, k), logits, (draws,), battery.SEED)
    place = {tuple(subset): i for i, subset in enumerate(subsets)}
    observed = np.bincount([place[tuple(z)] for z in drawn], minlength=len(subsets))
    check_frequencies(observed, np.exp(weights - np.logaddexp.reduce(weights)))


def test_a_warp_divides_a_node_by_the_law(emulator, dtype):
    """Nodes of 51 counts, divided by whole warps; how many of the first 50 items are chosen is hypergeometric."""
    draws, half = 4_000, 50
    u = np.random.default_rng(6).uniform(-0.5, 0.5, (draws, 2 * half - 1)).astype(dtype)
    drawn = calls.draw_given(emulator.runtime, FixedSize(half, half), np.zeros(2 * half, dtype=dtype), u)
    law = np.array([comb(half, c) ** 2 / comb(2 * half, half) for c in range(half + 1)])
    assert (drawn.sum(axis=-1) == half).all()
    for part in (drawn[:, :half], drawn[:, ::2]):
        check_frequencies(np.bincount(part.sum(axis=-1).astype(int), minlength=half + 1), law)


def test_streams_do_not_depend_on_the_launch():
    logits = np.random.default_rng(5).normal(size=(64, 300))
    emulators = [Emulator(processors=processors) for processors in (1, 2, 40)]
    drawn = [calls.draw(e.runtime, FixedSize(100, 100), logits, (3,), battery.SEED)[0] for e in emulators]
    launches = [e.launches[0] for e in emulators]
    assert [(launch.size, launch.shares) for launch in launches] == [(32, 1), (128, 2), (128, 3)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


STAGED = {
    "even": (np.zeros(200), 100),
    "uneven": (np.random.default_rng(7).normal(size=300) * 2, 90),
    "certain items": (np.concatenate([np.full(40, np.inf), np.full(40, -np.inf), np.linspace(-2, 2, 220)]), 150),
}
"""Rows so uncertain that a draw takes its items in parts."""


@pytest.mark.parametrize("draws", [500, pytest.param(4_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", STAGED)
def test_subsets_drawn_in_parts_follow_the_law(dtype, name, draws):
    """The number of items chosen of the last 64, a part of which is B, by the recursion over items."""
    (logits, k), tail = STAGED[name], 64
    drawn, _ = calls.draw(Emulator().runtime, FixedSize(k, k), logits.astype(dtype), (draws,), battery.SEED)
    assert (drawn.sum(axis=-1) == k).all()
    ends = [weights(logits[:-tail]), weights(logits[-tail:])]
    law = np.array([ends[1][c] * ends[0][k - c] if k - c < ends[0].size else 0 for c in range(tail + 1)])
    check_frequencies(np.bincount(drawn[:, -tail:].sum(axis=-1).astype(int), minlength=tail + 1), law / law.sum())
    mean = ADAPTER.evaluate(functions.marginals, FixedSize(k, k), logits, solution=None)
    scores = (drawn.mean(axis=0) - mean) / np.sqrt(np.maximum(mean * (1 - mean), 1e-12) / draws)
    assert np.abs(scores).max() < 5  # one in six thousand runs of 300 items


def weights(logits: np.ndarray) -> np.ndarray:
    """The distribution of how many independent items are chosen, under odds e^θ."""
    law = np.ones(1)
    for p in 1 / (1 + np.exp(-logits)):
        law = np.append(law * (1 - p), 0) + np.append(0, law * p)
    return law


def test_the_generator_is_philox():
    """The authors' known answers; the kernel is compared with this generator in the battery."""
    vectors = {
        ("00000000" * 4, "00000000" * 2): "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        ("ffffffff" * 4, "ffffffff" * 2): "408f276d 41c83b0e a20bc7c6 6d5451fd",
        ("243f6a8885a308d313198a2e03707344", "a4093822299f31d0"): "d16cfe09 94fdcceb 5001e420 24126ea1",
    }
    for words, expected in vectors.items():
        counter, key = (np.frombuffer(bytes.fromhex(x), dtype=">u4") for x in words)
        assert [f"{word:08x}" for word in philox(counter, key)] == expected.split()


@pytest.mark.parametrize("shape", [(1, 17_000_000), (0, 5), (3, 0)])
def test_the_core_takes_what_no_block_suits(shape):
    assert not geometry.suits(FixedSize(0, 0), np.broadcast_to(0.0, shape))


@pytest.mark.parametrize(("n", "width"), [(20_000, 3), (16_384, 8_192)])
def test_the_core_takes_trees_that_no_block_suits(n, width):
    law, logits = FixedSize(width, width), np.zeros((1, n))
    assert geometry.suits(law, logits)
    assert not geometry.suits_given(law, logits)


@pytest.mark.parametrize("function", [functions.log_normalizer, functions.entropy])
def test_float32_loses_nothing_in_long_sums(function):
    """Thousands of terms cancel against log P; each costs no more than its own rounding."""
    logits, k = np.random.default_rng(5).normal(size=(2, 3000)), np.array([3, 40])
    single = logits.astype(np.float32)
    actual = evaluation.evaluate(Emulator().runtime, function, FixedSize(k, 40), single, solution=None)
    expected = ADAPTER.evaluate(function, FixedSize(k, 40), single.astype(np.float64), solution=None)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_largest_row():
    """Thousands of small factors lose nothing; checked by equal items being treated alike."""
    runtime, logits = Emulator().runtime, np.zeros(teams.BLOCK_ITEMS, dtype=np.float32)
    chosen = calls.moments(runtime, FixedSize(40, 40), logits).chosen
    np.testing.assert_allclose(chosen, 40 / chosen.size, rtol=4e-6)
    v = np.random.default_rng(8).normal(size=logits.size).astype(np.float32)
    image, p = calls.jacobian_product(runtime, FixedSize(40, 40), logits, v), 40 / v.size
    exact = p * (1 - p) * v.size / (v.size - 1) * (v.astype(np.float64) - v.mean(dtype=np.float64))
    assert np.linalg.norm(image - exact) < 4e-6 * np.linalg.norm(exact)
    assert calls.draw(runtime, FixedSize(40, 40), logits, (), battery.SEED)[0].sum() == 40


def test_largest_tree():
    """16384 items in a slab: offsets stay in range."""
    runtime, logits = Emulator(shared_bytes=48_000).runtime, np.zeros(tree.MOST_ITEMS, dtype=np.float32)
    u = np.random.default_rng(9).uniform(-0.5, 0.5, (1, logits.size - 1)).astype(np.float32)
    assert calls.draw_given(runtime, FixedSize(40, 40), logits, u).sum() == 40
