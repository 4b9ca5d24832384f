"""Samples: always k ones, exactly distributed, and the same from the same uniforms everywhere."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Target
from oracle import Enumeration
from significance import check_binomial, check_frequencies

import ksubset
from ksubset._engine import sampling
from ksubset._engine.tree import FullCounts, inside, leaves
from ksubset.backends.array_api import NUMPY

DRAWS = 20_000


def cases() -> dict[str, Enumeration]:
    """Forty rows: n up to 10, every regime of k, flat to skewed enough for probabilities of 1e-6."""
    rng, rows = np.random.default_rng(11), {}
    for n in (1, 2, 3, 5, 8, 10):
        for k in sorted({0, 1, n // 2, n - 1, n}):
            for scale in (0.3, 3.0):
                rows[f"n={n} k={k} x{scale}"] = Enumeration(rng.normal(size=n) * scale, k)
    rows["one-hot"] = Enumeration(np.array([14.0, 0, 0, 0, 0, 0]), 1)
    rows["rare"] = Enumeration(np.array([0.0, 0.0, 0.0, -7.0, -14.0]), 2)
    rows["masked"] = Enumeration(np.array([0.3, -np.inf, 1.0, np.inf, -0.4, 0.0, -np.inf]), 3)
    return {name: row for name, row in rows.items() if len(row.subsets) > 1 or "k=0" in name or "k=2" in name}


CASES = cases()


def frequencies(z: np.ndarray, row: Enumeration) -> np.ndarray:
    """How often each subset of the enumeration was drawn; a subset outside of it is an error."""
    weights = 2 ** np.arange(len(row.logits))
    index = {int(subset @ weights): i for i, subset in enumerate(row.subsets)}
    counts = np.zeros(len(row.subsets), int)
    for code, count in zip(*np.unique(z.reshape(-1, len(row.logits)) @ weights, return_counts=True), strict=True):
        counts[index[int(code)]] += count
    return counts


def test_there_are_forty_cases() -> None:
    assert len(CASES) >= 40


def test_one_row_many_draws(target: Target) -> None:
    for seed, row in enumerate(CASES.values()):
        z = ksubset.sample(target.array(row.logits), row.k, rng=target.rng(seed), sample_shape=(DRAWS,))
        z = target.to_numpy(z)
        assert (z.sum(axis=-1) == row.k).all()
        check_frequencies(frequencies(z, row), row.probabilities)


def test_many_rows_one_draw(target: Target) -> None:
    logits = np.array([[2.0, 1.0, 0.0, -1.0, 0.5], [0.0, 0.0, 0.0, 3.0, -3.0]])
    rows = [Enumeration(row, k) for row, k in zip(logits, (2, 4), strict=True)]
    repeated, k = np.repeat(logits, DRAWS, axis=0), np.repeat([2, 4], DRAWS)
    z = target.to_numpy(ksubset.sample(target.array(repeated), target.array(k), rng=target.rng(5)))
    for row, drawn in zip(rows, (z[:DRAWS], z[DRAWS:]), strict=True):
        check_frequencies(frequencies(drawn, row), row.probabilities)


def test_sizes_of_rows_in_a_batch_of_any_rank(target: Target, rng: np.random.Generator) -> None:
    k, u = np.arange(6).reshape(2, 3), rng.uniform(size=(4, 2, 3, 4))
    logits = target.array(rng.normal(size=(2, 3, 5)))
    z = target.to_numpy(ksubset.sample_from_uniforms(logits, target.array(k), target.array(u)))
    assert (z.sum(axis=-1) == k).all()


def test_a_uniform_of_one_is_one_of_zero(target: Target) -> None:
    logits, u = target.array([0.3, -0.2, 0.1, 0.0]), np.array([0.4, 1.0, 1.0])
    ones = ksubset.sample_from_uniforms(logits, 2, target.array(u), validate=False)
    zeros = ksubset.sample_from_uniforms(logits, 2, target.array(np.where(u == 1, 0, u)))
    assert (target.to_numpy(ones) == target.to_numpy(zeros)).all()


def test_no_draws(target: Target) -> None:
    logits = target.array(np.zeros(4))
    assert ksubset.sample(logits, 2, rng=target.rng(0), sample_shape=(0, 2)).shape == (0, 2, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rare_events_keep_their_probability(target: Target, dtype: str) -> None:
    """A subset of probability 1e-9, far below the resolution of a 24-bit uniform, made visible by importance."""
    target.require(dtype)
    logits = target.array([0.0, -20.723], dtype)
    rare = 1 / (1 + np.exp(20.723))
    draws = 4000
    near = np.linspace(0, 4 * rare, draws, endpoint=False) + 0.5 * rare * 4 / draws
    for sign in (1, -1):
        u = target.array(sign * near[:, None], dtype)
        z = target.to_numpy(ksubset.sample_from_uniforms(logits, 1, u))
        fraction = z[:, 1].mean()
        assert fraction in (0.0, pytest.approx(0.25, abs=1e-3))
        if fraction:
            break
    else:
        pytest.fail("the rare subset is at neither end of the unit interval")


def test_uniforms_resolve_far_below_float32(target: Target) -> None:
    """The generator's own uniforms near 0, from both sides: about one in a million is within 5e-7 of it."""
    logits = target.array(np.zeros(2), "float32")
    draws = 2_000_000
    from ksubset import backends

    u = target.to_numpy(backends.find(logits, "logits").uniforms(target.rng(3), (draws,), logits))
    assert u.dtype == np.float32
    assert (np.abs(u) <= 0.5).all()
    small = np.abs(u) < 2.0**-12
    check_binomial(small.sum(), draws, 2.0**-11)
    check_binomial((u[small] > 0).sum(), small.sum(), 0.5)
    assert len(np.unique(u[small])) > 0.99 * small.sum()


def test_same_uniforms_same_subsets(target: Target, rng: np.random.Generator) -> None:
    if target.dtypes[-1] != "float64":
        pytest.skip("promised for float64")
    for n, k in ((2, 1), (9, 4), (40, 33), (200, 60)):
        logits, u = rng.normal(size=(20, n)) * 3, rng.random((5, 20, n - 1))
        expected = ksubset.sample_from_uniforms(logits, k, u)
        found = ksubset.sample_from_uniforms(target.array(logits), k, target.array(u))
        assert (target.to_numpy(found) == expected).all()
        shifted = ksubset.sample_from_uniforms(target.array(logits), k, target.array(u - (u >= 0.5)))
        assert (target.to_numpy(shifted) == expected).all()


def test_uniforms_at_the_ends_of_the_interval(target: Target, rng: np.random.Generator) -> None:
    """Also where 1 − u is far below the resolution of the logits' dtype."""
    ends = np.array([0.0, np.nextafter(0, 1), 0.5, np.nextafter(0.5, 0), np.nextafter(1, 0), -0.5, -1e-300])
    logits = rng.normal(size=9) * 5
    for dtype in target.dtypes[-2:]:
        u = target.array(np.repeat(ends[:, None], 8, axis=1), target.dtypes[-1])
        z = target.to_numpy(ksubset.sample_from_uniforms(target.array(logits, dtype), 4, u))
        assert ((z == 0) | (z == 1)).all()
        assert (z.sum(axis=-1) == 4).all()


def test_uniforms_on_a_boundary(target: Target) -> None:
    """1/2 and -1/2 are the same, and 0 belongs with what is just above it."""
    u = target.array([[0.5], [-0.5], [0.0], [1e-30]])
    z = target.to_numpy(ksubset.sample_from_uniforms(target.array(np.zeros(2)), 1, u))
    assert (z[0] == z[1]).all()
    assert (z[2] == z[3]).all()


def test_a_tangent_at_a_decided_item_does_not_matter(target: Target) -> None:
    logits = target.array([0.0, -np.inf, 1.0, np.inf, 2.0])
    v = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    expected = target.to_numpy(ksubset.marginals_jvp(logits, 3, target.array(v)))
    for value in (np.nan, np.inf, -np.inf):
        v[[1, 3]] = value
        assert (target.to_numpy(ksubset.marginals_jvp(logits, 3, target.array(v))) == expected).all()


def test_rows_and_draws_are_independent(target: Target) -> None:
    """With uniform logits and k = 1, the pair of draws of two rows takes all n² values equally often."""
    n, logits = 4, target.array(np.zeros((2, 4)))
    z = target.to_numpy(ksubset.sample(logits, 1, rng=target.rng(9), sample_shape=(DRAWS,))).argmax(axis=-1)
    check_frequencies(np.bincount(z[:, 0] * n + z[:, 1], minlength=n * n), np.full(n * n, 1 / n**2))
    check_frequencies(np.bincount(z[:-1, 0] * n + z[1:, 0], minlength=n * n), np.full(n * n, 1 / n**2))


def test_seeds(target: Target) -> None:
    logits = target.array(np.zeros((50, 8)))
    once, again = (target.to_numpy(ksubset.sample(logits, 3, rng=4)) for _ in range(2))
    assert (once == again).all()
    assert (once != target.to_numpy(ksubset.sample(logits, 3, rng=5))).any()


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
def test_no_generator_draws_anew(target: Target) -> None:
    logits = target.array(np.zeros((50, 8)))
    once, again = (target.to_numpy(ksubset.sample(logits, 3)) for _ in range(2))
    assert (once != again).any()


@pytest.mark.backends("torch")
def test_torch_global_seed(target: Target) -> None:
    import torch

    logits = target.array(np.zeros((50, 8)))
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(ksubset.sample(logits, 3))
    assert torch.equal(*draws)


def test_nothing_to_choose_from(target: Target) -> None:
    """One item, or none, which needs no uniforms."""
    one, none = target.array(np.zeros((3, 1))), target.array(np.zeros((3, 0)))
    for logits, k in ((one, 0), (one, 1), (none, 0)):
        z = target.to_numpy(ksubset.sample(logits, k, rng=target.rng(0), sample_shape=(2,)))
        assert z.shape == (2, *logits.shape)
        assert (z == k).all()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-300])
@pytest.mark.parametrize("n", [2, 3, 5, 8, 13, 31])
def test_every_draw_has_k_ones_whatever_the_tree_holds(n: int, value: float, rng: np.random.Generator) -> None:
    p, k = rng.random((n, 4)), rng.integers(0, n + 1, 4)
    counts = FullCounts(NUMPY, n)
    levels = inside(counts, leaves(NUMPY, p, 1 - p))
    u = rng.random((n - 1, 7, 4))
    for broken in range(len(levels)):
        spoilt = [np.full_like(x, value) if i == broken else x for i, x in enumerate(levels)]
        with np.errstate(all="ignore"):
            z = sampling.descend(NUMPY, counts, spoilt, k, u)
        assert z.shape == (n, 7, 4)
        assert ((z == 0) | (z == 1)).all()
        assert (z.sum(axis=0) == k).all()


def test_numpy_integers_are_seeds(target: Target) -> None:
    x = target.array(np.zeros((4, 20)))
    drawn = [target.to_numpy(ksubset.sample(x, 7, rng=seed)) for seed in (5, np.int32(5), np.uint64(5))]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] == drawn[2]).all()


@pytest.mark.backends("numpy")
def test_a_memory_map_is_drawn_from_as_an_array_is(tmp_path: Path, rng: np.random.Generator) -> None:
    """As joblib hands arrays to its workers: writable or not, it gives the array's answers."""
    x = rng.normal(size=(40, 30)).astype(np.float32)
    x.tofile(tmp_path / "logits")
    for mode in ("r", "r+", "c"):
        mapped = np.memmap(tmp_path / "logits", np.float32, mode, shape=x.shape)
        for k in (3, 15, ksubset.at_most(3)):
            np.testing.assert_array_equal(ksubset.sample(mapped, k, rng=0), ksubset.sample(x, k, rng=0))
            np.testing.assert_array_equal(ksubset.marginals(mapped, k), ksubset.marginals(x, k))
            np.testing.assert_array_equal(ksubset.marginals_jvp(mapped, k, mapped), ksubset.marginals_jvp(x, k, x))
            assert ksubset.entropy(mapped, k).tolist() == ksubset.entropy(x, k).tolist()
