"""What is wrong with the form of Dask arrays is an error at the call; what is wrong with a value concerns its chunk."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scale_rows import ROWS, SIZES, UNIFORMS, WEIGHTS, N, V, X, lazy

import ksubset
from ksubset import estimators

da = pytest.importorskip("dask.array", reason="a test of the adapter of Dask, of the extra dask")


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their compilation would take longer than the tests."""
    monkeypatch.setenv("KSUBSET_FAST", "0")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ksubset.marginals(x[x[:, 0] > 0], 2), ValueError, "known sizes"),
        (lambda x: ksubset.sample_from_uniforms(x, 2, x[x[:, 0] > 0][:, 1:]), ValueError, "u must have .* known sizes"),
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
        (lambda x: ksubset.count_quantile(x, x[:, 0]), TypeError, "q must be a number where .*: ask for one level"),
        (lambda x: ksubset.count_quantile(x, 2), ValueError, "q must be in"),
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
        "low and high must be in order",
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
