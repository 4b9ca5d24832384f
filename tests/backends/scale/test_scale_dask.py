"""Dask arrays stay lazy, and each of their chunks gives exactly what the same call on its rows gives."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from capabilities import FEATURES
from scale_rows import DRAWING, INDICES, PARTS, ROWS, SIZES, WEIGHTS, K, N, V, X, arguments, cases, first, lazy, part

import ksubset
from ksubset._call.prepare import problem_of
from ksubset.backends import find

da = pytest.importorskip("dask.array", reason="a test of the adapter of Dask, of the extra dask")


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their compilation would take longer than the tests."""
    monkeypatch.setenv("KSUBSET_FAST", "0")


@pytest.mark.parametrize(("name", "kind"), [case for case in cases() if case[0] not in DRAWING])
def test_values_of_each_chunk(name: str, kind: str) -> None:
    function, x = getattr(ksubset, name), first(name, kind)
    found = function(lazy(x), **arguments(name, kind, lazy))
    for rows, chunk in zip(PARTS, found.to_delayed().ravel(), strict=True):
        expected = function(x[rows], validate=False, **arguments(name, kind, part(rows)))
        np.testing.assert_array_equal(chunk.compute(scheduler="synchronous"), expected)
    assert found.compute(scheduler="synchronous").shape == found.shape
    assert found.dtype == found.compute(scheduler="synchronous").dtype == expected.dtype


@pytest.mark.parametrize(("name", "kind"), cases())
def test_nothing_is_computed_before_it_is_asked_for(name: str, kind: str) -> None:
    def wrap(x: np.ndarray) -> Any:
        return lazy(x).map_blocks(_fail, dtype=x.dtype, meta=x[:0])

    found = getattr(ksubset, name)(wrap(first(name, kind)), **arguments(name, kind, wrap))
    with pytest.raises(ZeroDivisionError):
        found.compute(scheduler="synchronous")


def _fail(x: np.ndarray) -> np.ndarray:
    raise ZeroDivisionError


@pytest.mark.parametrize("kind", K)
def test_distribution(kind: str) -> None:
    d, e = (ksubset.KSubset(wrap(X), K[kind](wrap)) for wrap in (lazy, lambda x: x))
    z, other = ksubset.mode(X, K[kind](lambda x: x)), V
    for found, expected in [
        *((getattr(d, name), getattr(e, name)) for name in ("mean", "variance")),
        *((getattr(d, name)(), getattr(e, name)()) for name in ("entropy", "kl_to_uniform", "mode", "covariance")),
        *((getattr(d, name)(), getattr(e, name)()) for name in ("log_normalizer", "log_prob_count")),
        (d.log_prob(lazy(z)), e.log_prob(z)),
        (d.marginals_jvp(lazy(V)), e.marginals_jvp(V)),
    ]:
        np.testing.assert_allclose(found.compute(scheduler="synchronous"), expected, rtol=1e-12, atol=1e-14)
    if kind == "int":
        found, expected = d.kl_divergence(ksubset.KSubset(lazy(other), 2)), e.kl_divergence(ksubset.KSubset(other, 2))
        np.testing.assert_allclose(found.compute(scheduler="synchronous"), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["marginals", "entropy", "sample"])
def test_layout(name: str) -> None:
    function = getattr(ksubset, name)
    for dtype in ("float16", "float32"):
        found = function(lazy(X.astype(dtype)), 2)
        assert found.dtype == found.compute(scheduler="synchronous").dtype == dtype
        assert found.chunks[0] == (4, 4, 2)
        image = ksubset.marginals_jvp(lazy(X.astype(dtype)), 2, lazy(V.astype(dtype)))
        assert image.dtype == image.compute(scheduler="synchronous").dtype == dtype
    assert function(da.zeros((6, 4, N), chunks=(2, 3, N)), 2).chunks[:2] == ((2, 2, 2), (3, 1))
    assert function(da.zeros(N, chunks=N), 2).compute(scheduler="synchronous").shape == function(X[0], 2).shape
    assert function(da.zeros((0, N)), 2).compute(scheduler="synchronous").shape == function(X[:0], 2).shape


def test_layout_of_logits_from_marginals() -> None:
    theta = ksubset.logits_from_marginals(da.full((6, 4, N), 0.5, chunks=(2, 3, N)), 3)
    assert theta.chunks == ((2, 2, 2), (3, 1), (N,))
    assert (theta.compute(scheduler="synchronous") == 0).all()


def test_chunks_are_aligned_and_broadcast() -> None:
    x, v, size = lazy(X), lazy(V, 5), da.from_array(SIZES, chunks=3)
    found = ksubset.marginals_jvp(x, size, v)
    assert found.chunks == ((3, 1, 1, 1, 2, 1, 1), (N,))
    expected = ksubset.marginals_jvp(X, SIZES, V)
    np.testing.assert_allclose(found.compute(scheduler="synchronous"), expected, rtol=1e-12, atol=1e-14)
    for row in (X[0], X[:1]):
        found = ksubset.kl_divergence(da.from_array(row), v, 2)
        assert found.chunks == ((5, 5),)
        whole = ksubset.kl_divergence(da.from_array(row), lazy(V, 10), 2)
        assert whole.chunks == ((10,),)
        for value in (found, whole):
            expected = ksubset.kl_divergence(row, V, 2)
            np.testing.assert_allclose(value.compute(scheduler="synchronous"), expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "kind"), cases())
def test_rows_in_pieces_are_joined_and_parted_again(name: str, kind: str) -> None:
    """With results in the pieces that were given, and no larger chunks of rows."""

    def pieces(x: np.ndarray) -> Any:
        return lazy(x) if x.ndim == 1 else lazy(x).rechunk({-1: 4})

    function, seed = getattr(ksubset, name), {"rng": 0} if name in DRAWING else {}
    found = function(pieces(first(name, kind)), **arguments(name, kind, pieces), **seed)
    given = found.compute(scheduler="synchronous")
    if name not in DRAWING:
        np.testing.assert_allclose(given, function(first(name, kind), **arguments(name, kind, lambda x: x)), rtol=1e-12)
    elif kind in ("int", "array"):
        size = (given >= 0 if name in INDICES else given).sum(axis=-1)
        assert (size == K[kind](lambda x: x)).all()
    if found.shape[-2:] == (ROWS, N) and name not in INDICES:
        assert found.chunks[-1] == (4, 2)
    assert max(found.chunks[0]) <= 4


@pytest.mark.parametrize("kind", K)
def test_samples_with_marginals(kind: str) -> None:
    z, mu = ksubset.sample_with_marginals(lazy(X), K[kind](lazy), rng=0)
    assert z.chunks == mu.chunks == ((4, 4, 2), (N,))
    np.testing.assert_array_equal(z, ksubset.sample(lazy(X), K[kind](lazy), rng=0))
    np.testing.assert_array_equal(mu, ksubset.marginals(lazy(X), K[kind](lazy)))


def test_joined_rows_are_as_large_as_their_pieces_were() -> None:
    x = ksubset.backends.dask.joined(da.zeros((64, 3, 50), chunks=(64, 3, 5)), "logits")
    assert x.chunks[-1] == (50,)
    assert np.prod(x.chunksize) <= 64 * 3 * 5
    assert ksubset.marginals(da.zeros((0, N), chunks=(1, 4)), 2).compute(scheduler="synchronous").shape == (0, N)
    assert ksubset.marginals(da.zeros(N, chunks=4), 2).chunks == ((4, 2),)


def test_chunks_of_a_process_share_nothing() -> None:
    from ksubset.backends.dask.chunks import ChunkTask, split

    k, parts = split(ksubset.Cardinality(lazy(WEIGHTS)))
    assert isinstance(k, ksubset.Cardinality)
    call = ChunkTask(partial(problem_of, max_k=None, validate=False), k, tuple(parts), lambda problem: problem.law)
    call(X, WEIGHTS)
    assert k.log_weights is None


def test_lacks_what_it_is_said_to_lack() -> None:
    assert find(lazy(X), "logits").differentiates == ("dask" not in FEATURES["reverse mode"])


def test_chunks_take_the_kernels_they_would_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KSUBSET_FAST")
    for size in (2, ksubset.at_most(2)):
        shown = []
        for wrap in (part(slice(0, 4)), lazy):
            ksubset.show_config(wrap(X), size)
            shown.append(capsys.readouterr().out)
        assert shown[0] == shown[1]


def test_kernels_on_all_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the kernels need numba, of the extra fast")
    monkeypatch.setenv("KSUBSET_FAST", "1")
    x = np.random.default_rng(0).normal(size=(64_000, 32))
    found = ksubset.marginals(da.from_array(x, chunks=(8000, 32)), 4).compute(scheduler="threads", num_workers=8)
    np.testing.assert_array_equal(found, ksubset.marginals(x, 4))
