"""Dask arrays stay lazy, and each of their chunks gives exactly what the same call on its rows gives."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from capabilities import FUNCTIONS

import ksubset
from ksubset import estimators
from ksubset._cardinality import prepare

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
DRAWING = ("sample", "rsample")


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their compilation would take longer than the tests."""
    monkeypatch.setenv("KSUBSET_FAST", "0")


def arguments(name: str, kind: str, wrap: Wrap) -> dict[str, Any]:
    """All but the logits; ``wrap`` is given arrays with the rows before the items, if they have any."""
    uniforms = UNIFORMS if kind in ("weights", "range") else UNIFORMS[..., 1:]
    extra = {"marginals_jvp": {"v": V}, "kl_divergence": {"other": V}, "sample_from_uniforms": {"u": uniforms}}
    extra["log_prob"] = {"z": ksubset.mode(X, K[kind](lambda x: x))}
    size = {} if name == "count_log_pmf" else {"k": K[kind](wrap)}
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
    pairs = [(name, kind) for name in FUNCTIONS for kind in K]
    return [(n, k) for n, k in pairs if k == "int" or n not in ("logits_from_marginals", "count_log_pmf")]


@pytest.mark.parametrize(("name", "kind"), [case for case in cases() if case[0] not in DRAWING])
def test_values_of_each_chunk(name: str, kind: str) -> None:
    function, x = getattr(ksubset, name), first(name, kind)
    found = function(lazy(x), **arguments(name, kind, lazy))
    for rows, chunk in zip(PARTS, found.to_delayed().ravel(), strict=True):
        expected = function(x[rows], validate=False, **arguments(name, kind, part(rows)))
        np.testing.assert_array_equal(chunk.compute(scheduler="synchronous"), expected)
    assert found.compute(scheduler="synchronous").shape == found.shape
    assert found.dtype == found.compute(scheduler="synchronous").dtype == x.dtype


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


def test_chunks_of_a_process_share_nothing() -> None:
    from ksubset.backends._dask_chunks import Call, split

    k, parts = split(ksubset.Cardinality(lazy(WEIGHTS)))
    assert isinstance(k, ksubset.Cardinality)
    call = Call(partial(prepare, max_k=None, validate=False), k, tuple(parts), lambda problem: problem.k)
    call(X, WEIGHTS)
    assert k.log_weights is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ksubset.marginals(x.rechunk((4, 3)), 2), ValueError, "logits must have one chunk along the last"),
        (lambda x: ksubset.marginals_jvp(x, 2, x.rechunk((4, 3))), ValueError, "v must have one chunk along"),
        (lambda x: ksubset.sample_from_uniforms(x, 2, x[:, 1:].rechunk((4, 3))), ValueError, "u must have one chunk"),
        (lambda x: ksubset.logits_from_marginals(x.rechunk((4, 3)), 2), ValueError, "mu must have one chunk"),
        (
            lambda x: ksubset.mode(x, ksubset.Cardinality(da.zeros(N + 1, chunks=2))),
            ValueError,
            "log_weights must have one chunk",
        ),
        (lambda x: ksubset.marginals(x[x[:, 0] > 0], 2), ValueError, "known sizes"),
        (lambda x: ksubset.marginals(x, N + 1), ValueError, "k must be in"),
        (lambda x: ksubset.marginals(x, 3, max_k=2), ValueError, "max_k"),
        (lambda x: ksubset.marginals(x, lazy(SIZES[:3])), ValueError, "k must broadcast to"),
        (lambda x: ksubset.marginals(x, SIZES), TypeError, "k must be an array of the same framework"),
        (lambda x: ksubset.marginals(x, x[:, 0]), TypeError, "k must have an integer dtype"),
        (lambda x: ksubset.marginals_jvp(x, 2, V), TypeError, "v must be an array of the same framework"),
        (lambda x: ksubset.log_prob(x, 2, x[:3]), ValueError, "z must broadcast with"),
        (lambda x: ksubset.marginals(x.astype(int), 2), TypeError, "logits must have a real floating dtype"),
        (lambda x: ksubset.mode(x, ksubset.Cardinality(da.zeros(N))), ValueError, "log_weights must have shape"),
        (lambda x: ksubset.sample(x, 2, rng="0"), TypeError, "rng must be a numpy.random.Generator or SeedSequence"),
        (lambda x: ksubset.sample(x, 2, rng=-1), ValueError, "rng must be at least 0"),
        (lambda x: estimators.l2x(x, 2, rng=0), TypeError, "the estimators do not take Dask arrays"),
        (lambda x: estimators.softsub(x, 2, rng=0), TypeError, "the estimators do not take Dask arrays"),
    ],
)
def test_errors_at_the_call(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(lazy(X))


def spoilt(x: np.ndarray, value: float) -> np.ndarray:
    """With one bad entry in row 5."""
    x = np.array(x)
    x[..., 5, 2] = value
    return x


BAD_SIZE = np.where(np.arange(ROWS) == 5, N + 1, 2)
BAD: dict[str, tuple[Callable[[bool | None], Any], str]] = {
    "logits": (
        lambda validate: ksubset.entropy(lazy(spoilt(X, np.nan)), 2, validate=validate),
        "NaN in row 1 .*of their chunk",
    ),
    "pmf": (lambda validate: ksubset.count_log_pmf(lazy(spoilt(X, np.nan)), validate=validate), "logits must not"),
    "k": (lambda validate: ksubset.marginals(lazy(X), lazy(BAD_SIZE), validate=validate), "k must be in"),
    "sample": (lambda validate: ksubset.sample(lazy(spoilt(X, np.nan)), 2, validate=validate), "logits must not"),
    "other": (
        lambda validate: ksubset.kl_divergence(lazy(X), lazy(spoilt(V, np.nan)), 2, validate=validate),
        "other must not contain NaN",
    ),
    "z": (
        lambda validate: ksubset.log_prob(lazy(X), 2, lazy(spoilt(ksubset.mode(X, 2), 0.5)), validate=validate),
        "z must contain only 0 and 1",
    ),
    "u": (
        lambda validate: ksubset.sample_from_uniforms(
            lazy(X), 2, lazy(spoilt(UNIFORMS[0, :, 1:], 3.0)), validate=validate
        ),
        "u must be in",
    ),
    "mu": (
        lambda validate: ksubset.logits_from_marginals(
            lazy(spoilt(ksubset.marginals(X, 2), 0.9)), 2, validate=validate
        ),
        "mu must sum to k",
    ),
    "log_weights": (
        lambda validate: ksubset.mode(lazy(X), ksubset.Cardinality(lazy(spoilt(WEIGHTS, np.nan))), validate=validate),
        "log_weights must not contain NaN",
    ),
    "between": (
        lambda validate: ksubset.entropy(
            lazy(X), ksubset.between(3, lazy(np.where(BAD_SIZE > N, 2, 4))), validate=validate
        ),
        "the least and the largest count must be in order",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_nan_in_itself_alone(name: str) -> None:
    found = BAD[name][0](None).compute(scheduler="synchronous")
    bad = np.isnan(found) if found.ndim == 1 else np.isnan(found).any(axis=-1)
    assert np.flatnonzero(bad).tolist() == [5]


@pytest.mark.parametrize("name", BAD)
def test_values_are_validated_in_the_chunk(name: str) -> None:
    call, message = BAD[name]
    found = call(True)
    assert not np.isnan(found.blocks[0].compute(scheduler="synchronous")).any()
    with pytest.raises(ValueError, match=message):
        found.compute(scheduler="synchronous")


def test_chunks_take_the_kernels_they_would_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KSUBSET_FAST")
    shown = []
    for wrap in (part(slice(0, 4)), lazy):
        ksubset.show_config(wrap(X), 2)
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    ksubset.show_config(lazy(X), ksubset.at_most(2))
    assert "kernels take subsets of a given size" in capsys.readouterr().out


def test_kernels_on_all_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the kernels need numba, of the extra fast")
    monkeypatch.setenv("KSUBSET_FAST", "1")
    x = np.random.default_rng(0).normal(size=(64_000, 32))
    found = ksubset.marginals(da.from_array(x, chunks=(8000, 32)), 4).compute(scheduler="threads", num_workers=8)
    np.testing.assert_array_equal(found, ksubset.marginals(x, 4))
