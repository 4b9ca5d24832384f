"""The kernel for the probabilities of all counts: which rows it takes, and its accuracy in both tails of long rows."""

import warnings
from functools import cache

import mpmath
import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target
from counts import exact, truth

import ksubset
from ksubset._api import show_config
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cpu import dispatch, dispatch_counts
from ksubset.backends._cpu.kernels import counts

INF, TAIL = np.inf, np.log(1e-300)


@pytest.fixture(autouse=True)
def with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSUBSET_FAST", "1")


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call leaves to the core."""
    calls: list[int] = []
    by_core = dispatch_counts._by_core
    monkeypatch.setattr(dispatch_counts, "_by_core", lambda rows: calls.append(len(rows)) or by_core(rows))
    return calls


def check(found: np.ndarray, expected: np.ndarray, absolute: float = 1e-13) -> None:
    """The logarithm is good to a few roundings and ``absolute``, which is the relative error of the probability."""
    assert ((found == -INF) == (expected == -INF)).all()
    kept = np.isfinite(expected)
    error = np.abs(found[kept] - expected[kept])
    assert (error <= absolute + 1e-15 * np.abs(expected[kept])).all()


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 62, 63, 64, 65, 127, 128, 129, 200])
def test_every_way_to_fill_a_block(n: int, rng: np.random.Generator, left: list[int]) -> None:
    for scale in (0.1, 2.0, 60.0):
        logits = rng.normal(size=n) * scale
        check(dispatch_counts.log_pmf(logits), exact(logits))
    check(dispatch_counts.log_pmf(np.zeros(n)), exact(np.zeros(n)))
    assert left == []


@pytest.mark.parametrize(
    ("row", "count"),
    [
        ([INF, -INF, 2.0, 3.0, -1.0], 0),
        ([INF] * 3, 0),
        ([-INF] * 3, 0),
        ([-INF, INF], 0),
        ([700.0, 500.0, 30.0, 21.0], 0),
        ([-1e5, -1e5 - 300, -1e5 + 0.1], 0),
        ([1e200] * 3, 0),
        ([1e-310, 0.0, -1e-320], 0),
        ([340.0, -340.0, 0.0], 0),
        ([341.0, -340.0, 0.0], 0),
        ([1e9, -1e9, 0.0, 1.0], 0),
        ([1e9, 1e9 - 1, 0.0, 1.0, -1e9, -1e9 + 3, -1e9 + 1], 0),
        ([76.0, 0.0, 74.0, 150.0], 0),
        ([1e300, 1e300], 1),
    ],
)
def test_extreme_logits(row: list[float], count: int, left: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = dispatch_counts.log_pmf(np.array(row))
    check(found, exact(np.array(row)))
    assert sum(left) == count


@pytest.mark.parametrize("n", [30, 150, 200])
def test_logits_that_are_far_apart(n: int, rng: np.random.Generator, left: list[int]) -> None:
    """Factors of one item and of many, and factors of which every block has a unit of its own."""
    masked = np.where(rng.random(n) < 0.4, -1e9, rng.normal(size=n))
    levels = rng.choice([-2000.0, -40.0, 60.0, 3000.0], size=n) + rng.normal(size=n)
    for row in (masked, levels, rng.normal(size=n) * 300, np.linspace(-5.0 * n, 5.0 * n, n)):
        check(dispatch_counts.log_pmf(row), exact(row), absolute=3e-13)
    assert left == []
    row = np.linspace(-25.0 * n, 25.0 * n, n)
    check(dispatch_counts.log_pmf(row), exact(row), absolute=3e-13)
    assert left == [1]


def test_rows_for_the_core_beside_others(rng: np.random.Generator, left: list[int]) -> None:
    logits = rng.normal(size=(2, 5, 4))
    logits[0, 1] = [1e300, -1e4, 0, 1]
    logits[1, 2] = np.nan
    logits[1, 3] = [-INF, 1e300, -2e3, INF]
    found = ksubset.count_log_pmf(logits, validate=False)
    assert left == [2]
    assert np.isnan(found[1, 2]).all()
    for i in np.ndindex(2, 5):
        if i != (1, 2):
            check(found[i], exact(logits[i]))


@pytest.mark.backends("numpy", "torch")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layouts_and_single_precision(target: Target, rng: np.random.Generator, dtype: str) -> None:
    logits = (rng.normal(size=(3, 70, 4)) * 5).astype(np.float32)
    x = target.array(logits, dtype)
    expected = np.stack([exact(row) for row in logits.astype(float).swapaxes(1, 2).reshape(-1, 70)])
    for view in (target.xp.permute_dims(x, (0, 2, 1)), target.xp.flip(target.xp.permute_dims(x, (0, 2, 1)), axis=-1)):
        found = ksubset.count_log_pmf(view)
        assert found.dtype == x.dtype
        relative = 1e-7 if dtype == "float32" else 2e-14
        np.testing.assert_allclose(target.to_numpy(found).reshape(-1, 71), expected, rtol=relative, atol=relative)
    np.testing.assert_array_equal(target.to_numpy(x), logits)


@pytest.mark.backends("numpy", "torch")
def test_it_is_taken(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, log_pmf = [], dispatch_counts.log_pmf
    monkeypatch.setattr(dispatch_counts, "log_pmf", lambda x, **options: calls.append(x.shape) or log_pmf(x, **options))
    logits, expected = truth(40)
    x = target.array(logits)
    fast = target.to_numpy(ksubset.count_log_pmf(x))
    assert calls == [logits.shape]
    monkeypatch.setenv("KSUBSET_FAST", "0")
    core = target.to_numpy(ksubset.count_log_pmf(x))
    assert calls == [logits.shape]
    np.testing.assert_allclose(fast, core, rtol=1e-13, atol=1e-13)
    check(fast, expected)


def test_threads_give_the_same_numbers(rng: np.random.Generator) -> None:
    logits = rng.normal(size=(40, 3000))
    one, two = (dispatch_counts.log_pmf(logits, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_which_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    name, law = "count_log_pmf", SizeWeighted(0, 3)
    assert "all counts" in show_config.paths(np.zeros((2, 100)), 3)[name]
    assert "all counts" in show_config.paths(np.zeros((2, 100)), ksubset.at_most(3))[name]
    assert isinstance(dispatch.choose(law, name, (3, 0), "float64"), str)
    assert isinstance(dispatch.choose(law, name, (counts.LONGEST + 1,), "float64"), str)
    monkeypatch.setenv("KSUBSET_FAST", "0")
    assert "KSUBSET_FAST is 0" in show_config.paths(np.zeros((2, 100)), 3)[name]


@cache
def binomials(n: int, first: int, a: float, b: float) -> list[mpmath.mpf]:
    """The probabilities of every tenth or so count, ``first`` items having the logit a and the others b."""
    with mpmath.workdps(60):
        parts = []
        for size, x in ((first, a), (n - first, b)):
            p, q = 1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(x))
            terms = [q**size]
            for c in range(size):
                terms.append(terms[-1] * (size - c) / (c + 1) * p / q)
            parts.append(terms)
        return [
            mpmath.fsum(parts[0][j] * parts[1][c - j] for j in range(max(0, c - n + first), min(c, first) + 1))
            for c in range(0, n + 1, max(1, n // 40))
        ]


@pytest.mark.parametrize(
    ("first", "a", "b"), [(3000, -0.3, 0.0), (1100, 1.5, -2.0), (30, 200.0, -9.0), (1500, 0.1, 0.0)]
)
def test_long_rows_of_two_logits(first: int, a: float, b: float) -> None:
    n = 3000
    found = dispatch_counts.log_pmf(np.where(np.arange(n) < first, a, b))[:: n // 40]
    with mpmath.workdps(60):
        expected = np.array([float(mpmath.log(x)) for x in binomials(n, first, a, b)])
    assert expected.min() < TAIL
    check(found, expected, absolute=5e-13)


def test_a_binomial_of_twenty_thousand() -> None:
    n, x = 20_000, -2.0
    found = dispatch_counts.log_pmf(np.full(n, x))
    with mpmath.workdps(60):
        p, q = mpmath.log(1 / (1 + mpmath.exp(-x))), mpmath.log(1 / (1 + mpmath.exp(x)))
        places = np.r_[0:n:333, n]
        terms = (mpmath.log(mpmath.binomial(n, int(c))) + int(c) * p + (n - int(c)) * q for c in places)
        expected = np.array([float(term) for term in terms])
    check(found[places], expected, absolute=5e-12)


@pytest.mark.parametrize(("n", "scale"), [(3000, 1.0), (3000, 40.0), (3000, 900.0), (20_000, 2.0)])
def test_long_rows_and_single_counts(n: int, scale: float, rng: np.random.Generator) -> None:
    """Against the contour integrals of `log_prob_count`, which have nothing in common with the recursion."""
    logits = rng.normal(size=n) * scale
    found = dispatch_counts.log_pmf(logits)
    middle = int(np.argmax(found))
    near = [np.flatnonzero(found > TAIL)[[0, -1]], [middle - 40, middle, middle + 40]]
    places = np.unique(np.concatenate([np.linspace(0, n, 9).astype(int), *near]))
    expected = ksubset.log_prob_count(np.broadcast_to(logits, (len(places), n)), places)
    check(found[places], expected, absolute=n * 2e-16 + 3e-12)
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(np.exp(found).sum(), 1, rtol=1e-11)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_nothing_to_compute(shape: tuple[int, ...]) -> None:
    found = ksubset.count_log_pmf(np.zeros(shape))
    np.testing.assert_array_equal(found, np.zeros((*shape[:-1], shape[-1] + 1)))
