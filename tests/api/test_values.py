"""Every function against enumeration: all k, several scales, infinities, batches of any rank, every dtype."""

import copy
import pickle
from collections.abc import Callable
from math import comb, log
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cases import Batch, all_sizes, with_infinities
from conftest import Target
from oracle import Enumeration
from potentials import compiled_elsewhere
from transforms import Transforms

import ksubset
from ksubset._call.problem import Problem
from ksubset._engine import inference
from ksubset._law import fixed_size, functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends import find
from ksubset.backends.array_api import NUMPY

BATCHES = {"n=1": all_sizes(1), "n=2": all_sizes(2), "n=7": all_sizes(7), "infinite": with_infinities(4)}


@pytest.fixture(params=BATCHES)
def batch(request: pytest.FixtureRequest) -> Batch:
    return BATCHES[request.param]


def close(target: Target, found: object, expected: object, single: float = 2e-6, double: float = 2e-14) -> None:
    tolerance = target.tolerance(single, double)
    np.testing.assert_allclose(target.to_numpy(found), expected, rtol=tolerance, atol=tolerance)


def test_marginals(target: Target, batch: Batch) -> None:
    mu = ksubset.marginals(target.array(batch.logits), target.array(batch.k))
    close(target, mu, [row.marginals for row in batch.rows])
    certain = np.isinf(batch.logits)
    assert (target.to_numpy(mu)[certain] == (batch.logits[certain] > 0)).all()


def test_log_normalizer(target: Target, batch: Batch) -> None:
    expected = [np.inf if np.inf in row.logits else row.log_normalizer for row in batch.rows]
    close(target, ksubset.log_normalizer(target.array(batch.logits), target.array(batch.k)), expected)


def test_log_prob_count(target: Target, batch: Batch) -> None:
    expected = [row.log_normalizer - np.logaddexp(0, row.logits[np.isfinite(row.logits)]).sum() for row in batch.rows]
    close(target, ksubset.log_prob_count(target.array(batch.logits), target.array(batch.k)), expected, 1e-5)


def test_marginals_jvp(target: Target, batch: Batch, rng: np.random.Generator) -> None:
    v = rng.normal(size=batch.logits.shape)
    found = ksubset.marginals_jvp(target.array(batch.logits), target.array(batch.k), target.array(v))
    close(target, found, [row.covariance @ x for row, x in zip(batch.rows, v, strict=True)])
    assert (target.to_numpy(found)[np.isinf(batch.logits)] == 0).all()


def test_covariance(target: Target) -> None:
    batch = all_sizes(5)
    found = ksubset.covariance(target.array(batch.logits), target.array(batch.k))
    close(target, found, [row.covariance for row in batch.rows])


def test_entropy_and_divergence_from_uniform(target: Target, batch: Batch) -> None:
    logits, k = target.array(batch.logits), target.array(batch.k)
    entropies = np.array([row.entropy for row in batch.rows])
    close(target, ksubset.entropy(logits, k), entropies)
    uniform = [log(comb(batch.logits.shape[1], int(size))) for size in batch.k]
    close(target, ksubset.kl_to_uniform(logits, k), uniform - entropies)
    middle = len(entropies) // 2
    found = ksubset.kl_to_uniform(logits[middle, :], int(batch.k[middle]))
    close(target, found, uniform[middle] - entropies[middle])


def test_kl_divergence(target: Target, batch: Batch, rng: np.random.Generator) -> None:
    other = batch.logits + np.round(rng.normal(size=batch.logits.shape), 2)
    expected = [row.kl(Enumeration(eta, row.k)) for row, eta in zip(batch.rows, other, strict=True)]
    found = ksubset.kl_divergence(target.array(batch.logits), target.array(other), target.array(batch.k))
    close(target, found, expected, 1e-5, 1e-13)


def test_kl_divergence_is_infinite_where_the_other_forbids(target: Target) -> None:
    logits, other = target.array([0.0, 0.0, 0.0]), target.array([0.0, 0.0, -np.inf])
    assert float(ksubset.kl_divergence(logits, other, 1)) == np.inf
    assert np.isclose(float(ksubset.kl_divergence(other, logits, 1)), log(1.5), rtol=1e-6)


def test_log_prob_of_every_subset(target: Target) -> None:
    for row in all_sizes(5).rows:
        expected = np.log(row.probabilities)
        found = ksubset.log_prob(target.array(row.logits), row.k, target.array(row.subsets))
        close(target, found, expected, 1e-5, 1e-13)


def test_log_prob_outside_the_support(target: Target) -> None:
    logits = target.array([0.0, -np.inf, np.inf, 1.0])
    z = target.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 1, 1]])
    found = target.to_numpy(ksubset.log_prob(logits, 2, z))
    assert np.isfinite(found[0])
    assert (found[1:] == -np.inf).all()


def test_mode(target: Target, batch: Batch) -> None:
    found = target.to_numpy(ksubset.mode(target.array(batch.logits), target.array(batch.k)))
    order = np.argsort(np.argsort(-batch.logits, axis=1, kind="stable"), axis=1, kind="stable")
    assert (found == (order < batch.k[:, None])).all()


def test_ties_of_the_mode_go_to_the_lower_index(target: Target) -> None:
    """More of them than a sort that is not stable leaves in their order."""
    logits = np.tile([0.0, 1.0, 0.0], 100)
    order = np.lexsort((np.arange(300), -logits))
    found = target.to_numpy(ksubset.mode(target.array(logits), 150))
    assert (np.flatnonzero(found) == np.sort(order[:150])).all()


def test_a_row_of_no_items(target: Target) -> None:
    row = target.array(np.zeros(0))
    assert tuple(ksubset.mode(row, 0).shape) == (0,)
    assert float(ksubset.log_normalizer(row, 0)) == 0


def test_one_k_for_all_rows_is_the_same(target: Target, rng: np.random.Generator) -> None:
    logits = rng.normal(size=(3, 6))
    for k in (0, 2, 3, 5):
        x, sizes = target.array(logits), target.array(np.full(3, k))
        for function in (ksubset.marginals, ksubset.log_normalizer, ksubset.entropy, ksubset.mode):
            close(target, function(x, k), target.to_numpy(function(x, sizes)))


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 1, 3)])
def test_batches_of_any_rank(target: Target, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    logits = rng.normal(size=(*shape, 4))
    x = target.array(logits)
    expected = np.array([Enumeration(row, 2).marginals for row in logits.reshape(-1, 4)]).reshape(logits.shape)
    close(target, ksubset.marginals(x, 2), expected)
    assert tuple(ksubset.entropy(x, 2).shape) == shape
    assert tuple(ksubset.covariance(x, 2).shape) == (*shape, 4, 4)
    assert tuple(ksubset.sample(x, 2, rng=target.rng(0), sample_shape=(5, 2)).shape) == (5, 2, *shape, 4)
    modes = np.array([Enumeration(row, 2).mode for row in logits.reshape(-1, 4)]).reshape(logits.shape)
    assert (target.to_numpy(ksubset.mode(x, 2)) == modes).all()


@pytest.mark.parametrize("n", [0, 1])
def test_rows_with_nothing_to_choose(target: Target, n: int) -> None:
    x = target.array(np.zeros((2, n)))
    for k in range(n + 1):
        assert (target.to_numpy(ksubset.marginals(x, k)) == k).all()
        assert (target.to_numpy(ksubset.sample(x, k, rng=target.rng(0))) == k).all()
        assert (target.to_numpy(ksubset.entropy(x, k)) == 0).all()


def test_results_keep_namespace_device_and_dtype(target: Target) -> None:
    for dtype in target.dtypes:
        x = target.array(np.linspace(-1, 1, 8).reshape(2, 4), dtype)
        k, z = target.array([1, 2]), target.array([[1, 0, 0, 0], [0, 1, 0, 1]])
        results = [f(x, k) for f in (ksubset.marginals, ksubset.log_normalizer, ksubset.log_prob_count)]
        results += [f(x, k) for f in (ksubset.covariance, ksubset.entropy, ksubset.kl_to_uniform, ksubset.mode)]
        results += [ksubset.marginals_jvp(x, k, x), ksubset.kl_divergence(x, x, k), ksubset.log_prob(x, k, z)]
        results += [ksubset.sample(x, k, rng=target.rng(1))]
        for result in results:
            assert type(result) is type(x) or np.ndim(target.to_numpy(result)) == 0
            assert result.dtype == x.dtype
            assert getattr(result, "device", None) == getattr(x, "device", None)


@compiled_elsewhere
def test_the_core_computes_in_the_dtype_of_the_logits(target: Target) -> None:
    """Before results are converted: a constant of another dtype anywhere would widen them."""
    for dtype in target.dtypes[-2:]:
        x = target.array(np.linspace(-1, 1, 80).reshape(2, 40), dtype)
        backend, u = find(x, "x"), target.array(np.full((2, 39), 0.3), dtype)
        for k in (17, target.array([3, 17])):
            for name in ("marginals", "log_normalizer", "log_prob_count", "entropy", "kl_to_uniform", "mode"):
                assert backend.evaluate(getattr(functions, name), FixedSize(k, 17), x).dtype == x.dtype
            for name in ("marginals_jvp", "kl_divergence", "log_prob"):
                assert backend.evaluate(getattr(functions, name), FixedSize(k, 17), x, x).dtype == x.dtype
            assert backend.evaluate(functions.sample, FixedSize(k, 17), x, u).dtype == x.dtype


def test_covariance_multiplies_by_vectors_like_the_logits(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Problem, "value", lambda self, function, *arrays, **known: arrays[0])
    for dtype in target.dtypes[-2:]:
        x = target.array(np.zeros((2, 3)), dtype)
        unit = ksubset.covariance(x, 2)
        assert unit.dtype == x.dtype
        assert getattr(unit, "device", None) == getattr(x, "device", None)


def test_half_precision_is_computed_in_single(target: Target, rng: np.random.Generator) -> None:
    if target.backend == "strict":
        pytest.skip("the array API standard has no half-precision dtypes")
    logits = rng.normal(size=(3, 9)).astype(np.float16)
    found = ksubset.marginals(target.array(logits, "float16"), 4)
    single = ksubset.marginals(target.array(logits, "float32"), 4)
    assert (target.to_numpy(found) == target.to_numpy(single).astype(np.float16)).all()
    for k in (4, ksubset.at_most(4)):
        found, single = (ksubset.KSubset(target.array(logits, d), k).variance for d in ("float16", "float32"))
        assert (target.to_numpy(found) == target.to_numpy(single).astype(np.float16)).all()
    narrow, wide = ([target.array(x, d) for x in (logits, logits[::-1])] for d in ("float16", "float32"))
    found, single = (ksubset.kl_divergence(*pair, 4) for pair in (narrow, wide))
    assert found.dtype == narrow[0].dtype
    assert (target.to_numpy(found) == target.to_numpy(single).astype(np.float16)).all()


def test_marginals_in_another_dtype(target: Target, rng: np.random.Generator) -> None:
    """Of half-precision logits without the rounding of a result in half precision; of single ones in double."""
    logits = rng.normal(size=(3, 99))
    if target.backend != "strict":
        narrow = target.array(logits, "float16")
        for k in (40, ksubset.at_most(40)):
            found = ksubset.marginals(narrow, k, dtype=target.xp.float32)
            assert found.dtype == target.xp.float32
            expected = ksubset.marginals(target.array(target.to_numpy(narrow).astype(np.float32), "float32"), k)
            assert (target.to_numpy(found) == target.to_numpy(expected)).all()
    single = target.array(logits, "float32")
    assert ksubset.marginals(single, 4, dtype=target.xp.float32).dtype == target.xp.float32
    if "float64" in target.dtypes:
        found = ksubset.marginals(single, 4, dtype=target.xp.float64)
        expected = ksubset.marginals(target.array(target.to_numpy(single).astype(float), "float64"), 4)
        np.testing.assert_array_equal(target.to_numpy(found), target.to_numpy(expected))
    for wrong in (target.xp.int32, "none", 3):
        with pytest.raises(TypeError, match="dtype"):
            ksubset.marginals(single, 4, dtype=wrong)


@pytest.mark.backends("torch", "jax")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_marginals_in_another_dtype(target: Target, diff: Transforms, dtype: str) -> None:
    xp = target.xp
    wide = target.array(np.random.default_rng(0).normal(size=9), "float32")
    logits = wide.to(getattr(xp, dtype)) if target.backend == "torch" else wide.astype(dtype)
    w = target.array(np.arange(9.0), "float32")

    def loss(x: Any) -> Any:
        return (w * ksubset.marginals(x, 4, dtype=xp.float32)).sum()

    slope = diff.grad(loss)(logits)
    assert slope.dtype == logits.dtype
    wide = logits.to(xp.float32) if target.backend == "torch" else logits.astype("float32")
    expected = ksubset.marginals_jvp(wide, 4, w)
    found = slope.to(xp.float32) if target.backend == "torch" else slope.astype("float32")
    np.testing.assert_allclose(target.to_numpy(found), target.to_numpy(expected), rtol=1e-2, atol=1e-3)
    assert abs(float(diff.compile(lambda x: ksubset.marginals(x, 4, dtype=xp.float32).sum())(logits)) - 4) < 1e-5
    image = diff.compile(lambda x: ksubset.marginals_jvp(x, 4, w))(logits)
    assert image.dtype == xp.float32
    np.testing.assert_allclose(target.to_numpy(image), target.to_numpy(expected), rtol=1e-5, atol=1e-5)


def test_masking_with_the_most_negative_float_is_like_minus_infinity(target: Target, rng: np.random.Generator) -> None:
    logits = rng.normal(size=(3, 9))
    masked, low = logits.copy(), logits.copy()
    masked[:, ::3], low[:, ::3] = -np.inf, np.finfo(target.dtypes[-1]).min
    for function in (ksubset.marginals, ksubset.entropy, ksubset.log_normalizer, ksubset.mode):
        for k in (0, 2, 4, 6):
            close(target, function(target.array(low), k), target.to_numpy(function(target.array(masked), k)))


def test_distribution_object_agrees_with_the_functions(target: Target, rng: np.random.Generator) -> None:
    logits, k = target.array(rng.normal(size=(3, 5))), target.array([1, 2, 4])
    d = ksubset.KSubset(logits, k)
    assert (d.batch_shape, d.event_shape) == ((3,), (5,))
    z = d.sample(rng=target.rng(3), sample_shape=(2,))
    close(target, d.mean, target.to_numpy(ksubset.marginals(logits, k)))
    close(target, d.variance, [np.diag(c) for c in target.to_numpy(d.covariance())])
    close(target, d.log_prob(z), target.to_numpy(ksubset.log_prob(logits, k, z)))
    close(target, d.marginals_jvp(logits), target.to_numpy(ksubset.marginals_jvp(logits, k, logits)))
    for name in ("entropy", "kl_to_uniform", "log_normalizer", "log_prob_count", "mode"):
        close(target, getattr(d, name)(), target.to_numpy(getattr(ksubset, name)(logits, k)))
    one, other = ksubset.KSubset(logits, 2), ksubset.KSubset(logits * 2, 2)
    close(target, one.kl_divergence(other), target.to_numpy(ksubset.kl_divergence(logits, logits * 2, 2)))


@pytest.mark.backends("numpy", "torch")
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))], ids=["copy", "pickle"])
def test_the_distribution_object_can_be_copied(target: Target, duplicate: Callable[[Any], Any]) -> None:
    logits = target.array([[2.0, 1.0, 0.0, -1.0]])
    for k in (2, target.array([3]), ksubset.at_most(2)):
        d = ksubset.KSubset(logits, k, max_k=None if isinstance(k, ksubset.Cardinality) else 3)
        close(target, duplicate(d).mean, target.to_numpy(d.mean))


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
def test_what_the_distribution_object_returns_is_the_callers_own(target: Target) -> None:
    d = ksubset.KSubset(target.array(np.zeros((2, 4))), 2)
    expected = target.to_numpy(d.entropy())
    for _ in range(2):
        mean, variance = d.mean, d.variance
        close(target, mean, np.full((2, 4), 0.5))
        close(target, variance, np.full((2, 4), 0.25))
        mean *= 2
        variance *= 2
    close(target, d.entropy(), expected)


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
def test_marginals_out_of_a_solution_are_copies(target: Target) -> None:
    x = target.array(np.zeros((2, 4)))
    backend = find(x, "x")
    law = FixedSize(2, 2)
    solution = backend.moments(law, x)
    for side in (functions.marginals, functions.unchosen):
        for _ in range(2):
            found = side(backend.ops(x), law, x, solution=solution)
            close(target, found, np.full((2, 4), 0.5))
            found *= 0


@pytest.mark.backends("numpy", "strict")
def test_the_distribution_object_shares_its_passes(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, moments = [], fixed_size.moments
    monkeypatch.setattr(fixed_size, "moments", lambda *given, **asked: calls.append(1) or moments(*given, **asked))
    x = target.array([[0.5, -1.0, 2.0, 0.0]])
    d = ksubset.KSubset(x, 2)
    answers = [d.log_normalizer(), d.log_prob_count(), d.entropy(), d.kl_to_uniform(), d.mean, d.variance]
    answers += [d.log_prob(ksubset.mode(x, 2))]
    assert len(answers) == 7
    assert len(calls) <= 1  # none where a kernel does it
    calls.clear()
    close(target, d.kl_divergence(ksubset.KSubset(x * 2, 2)), target.to_numpy(ksubset.kl_divergence(x, x * 2, 2)))
    assert len(calls) <= 3  # for the other logits, and then for both


@pytest.mark.backends("numpy")
@pytest.mark.parametrize("k", [2, ksubset.at_most(2)], ids=["size", "potential"])
@pytest.mark.parametrize("solves", [False, True])
def test_kernels_of_their_own_find_the_mean_and_scalars(
    target: Target, monkeypatch: pytest.MonkeyPatch, solves: bool, k: Any
) -> None:
    """Scalars where subsets have one size, unless the shared passes have run; a kernel may run as one of them."""
    d, started = ksubset.KSubset(target.array(np.zeros(4)), k), []
    kind: Any = type(d._call)
    value = kind.value

    def watched(problem: Any, function: Any, *arrays: Any, solution: Any = None) -> Any:
        started.append(solution is not None)
        return value(problem, function, *arrays, solution=solution)

    monkeypatch.setattr(kind, "path", lambda self, name: SimpleNamespace(solves=solves))
    monkeypatch.setattr(kind, "value", watched)
    monkeypatch.setattr(type(d._call.problem.backend), "at_once", lambda *_: None)
    z = np.array([1.0, 1.0, 0.0, 0.0])
    for result in (d.mean, d.entropy(), d.log_normalizer(), d.log_prob(z), d.log_prob_count(), d.mean, d.log_prob(z)):
        assert np.isfinite(result).all()
    assert started == [solves, *[solves or k != 2] * 3, True, True, True]


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_shapes_of_the_distribution_object(target: Target, batch: tuple[int, ...]) -> None:
    d = ksubset.KSubset(target.array(np.zeros((*batch, 4))), 2)
    assert (d.batch_shape, d.event_shape) == (batch, (4,))


def test_the_distribution_object_beside_wider_arrays(target: Target, rng: np.random.Generator) -> None:
    """What it has computed in float32 is no start for a result in float64."""
    if "float64" not in target.dtypes:
        pytest.skip("this device has one real floating dtype")
    x, other = target.array(rng.normal(size=(2, 9)), "float32"), target.array(rng.normal(size=(2, 9)), "float64")
    d, z = ksubset.KSubset(x, 4), target.array(np.tile([0.0, 1, 0, 1, 0, 1, 0, 1, 0], (2, 1)), "float64")
    close(target, d.log_prob(z), target.to_numpy(ksubset.log_prob(x, 4, z)))
    found = d.kl_divergence(ksubset.KSubset(other, 4))
    close(target, found, target.to_numpy(ksubset.kl_divergence(x, other, 4)))


@pytest.mark.backends("numpy")
@pytest.mark.parametrize("name", ["log_normalizer", "log_prob_count", "log_prob", "entropy", "kl_to_uniform"])
def test_functions_that_start_from_a_kernels_solution(
    target: Target, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arrays = [MASK] if name == "log_prob" else []
    assert check_start(monkeypatch, name, *arrays) == [name in ("entropy", "kl_to_uniform")]


@pytest.mark.backends("numpy")
def test_a_divergence_starts_from_two_solutions(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_start(monkeypatch, "kl_divergence", np.array([[1.0, 0.0, -2.0, 0.5]])) == [True, False]


MASK = np.array([[1.0, 0.0, 1.0, 0.0]])


def check_start(monkeypatch: pytest.MonkeyPatch, name: str, *arrays: np.ndarray) -> list[bool]:
    """Which of the solutions that a function asks for are to have marginals."""
    x, function, asked = np.array([[0.5, -1.0, 2.0, 0.0]]), getattr(functions, name), []
    assert function in functions.SOLVING
    expected = function(NUMPY, FixedSize(2, 2), x, *arrays)

    def moments(x: np.ndarray, sides: bool) -> inference.Solution:
        asked.append(sides)
        return inference.moments(NUMPY, x, 2, chosen=sides, unchosen=sides)

    known = functions.solutions(function, moments, x, *arrays, solution=None)
    monkeypatch.setattr(fixed_size, "moments", None)
    np.testing.assert_array_equal(function(NUMPY, FixedSize(2, 2), x, *arrays, **known), expected)
    return asked


def test_dtypes_promote(target: Target, rng: np.random.Generator) -> None:
    if "float64" not in target.dtypes:
        pytest.skip("this device has one real floating dtype")
    x, wide = target.array(rng.normal(size=(2, 4)), "float32"), target.array(rng.normal(size=(3, 1, 4)), "float64")
    for function in (lambda x, y: ksubset.marginals_jvp(x, 2, y), lambda x, y: ksubset.kl_divergence(x, y, 2)):
        for result in (function(x, wide), function(wide, x)):
            assert result.dtype == wide.dtype
            assert tuple(result.shape)[:2] == (3, 2)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (2, 3, 5)])
def test_a_divergence_broadcasts_beside_a_k_by_row(
    target: Target, rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    logits, other, k = rng.normal(size=(3, 5)), rng.normal(size=shape), np.array([1, 2, 4])
    found = ksubset.kl_divergence(target.array(logits), target.array(other), target.array(k))
    full = np.broadcast_shapes(logits.shape, shape)
    pairs = zip(*(np.broadcast_to(x, full).reshape(-1, 5) for x in (logits, other)), strict=True)
    expected = [Enumeration(x, k[i % 3]).kl(Enumeration(y, k[i % 3])) for i, (x, y) in enumerate(pairs)]
    close(target, found, np.reshape(expected, full[:-1]))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_sizes_of_any_integer_dtype(target: Target, rng: np.random.Generator, dtype: str) -> None:
    """2k and n − k would overflow in the narrow ones, and k − n in the unsigned."""
    logits, k = target.array(rng.normal(size=(2, 200))), np.array([100, 120])
    sizes = target.array(k, dtype)
    close(target, ksubset.marginals(logits, sizes), target.to_numpy(ksubset.marginals(logits, target.array(k))))
    close(target, ksubset.kl_to_uniform(logits, sizes), target.to_numpy(ksubset.kl_to_uniform(logits, target.array(k))))
    assert (target.to_numpy(ksubset.sample(logits, sizes, rng=target.rng(0))).sum(axis=-1) == k).all()


@pytest.mark.backends("numpy", "torch", "jax", "cupy")
def test_half_precision_overflows_in_silence(target: Target) -> None:
    x = target.array(np.full(3, 6e4), "float16")
    assert target.to_numpy(ksubset.log_normalizer(x, 2)) == np.inf


def test_single_precision_overflows_in_silence(target: Target) -> None:
    x = target.array(np.full(3, 3e38), "float32")
    assert target.to_numpy(ksubset.log_normalizer(x, 2)) == np.inf


@pytest.mark.backends("torch")
def test_bfloat16_beside_a_k_by_row(target: Target) -> None:
    x, k = target.xp.zeros((2, 4), dtype=target.xp.bfloat16), target.array([1, 2])
    assert (
        target.to_numpy(target.xp.astype(ksubset.marginals(x, k), target.xp.float32)) == [[0.25] * 4, [0.5] * 4]
    ).all()


def test_subsets_may_be_bools(target: Target) -> None:
    z = target.array([True, False, False, True])
    close(target, ksubset.log_prob(target.array(np.zeros(4)), 2, z), -log(6))


def test_products_with_the_least_float_are_finite(target: Target) -> None:
    """v − mean would overflow at an item masked by the least float, whose part in J is 0."""
    x = np.array([0, 0, 0, np.finfo(np.float32).min, 1.01412048e31])
    logits = target.array(x, "float32")
    assert (target.to_numpy(ksubset.marginals_jvp(logits, 0, logits)) == 0).all()
