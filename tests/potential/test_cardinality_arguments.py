"""What may be given as a cardinality potential: ranges, per row or not, and bad or unchecked arguments."""

from typing import Any

import numpy as np
import pytest
from conftest import Target
from potentials import Potential, compiled_elsewhere, rows

import ksubset
from ksubset._engine.potential import each_size
from ksubset.backends import find

N = 6
LOGITS = np.stack([row.logits for row in rows(N)])


RANGES: dict[str, tuple[Any, int, int]] = {
    "at most 2": (ksubset.at_most(2), 0, 2),
    "at most 0": (ksubset.at_most(0), 0, 0),
    "at least 4": (ksubset.at_least(4), 4, 6),
    "at least 6": (ksubset.at_least(6), 6, 6),
    "between 2 and 5": (ksubset.between(2, 5), 2, 5),
    "any": (ksubset.between(0, 6), 0, 6),
}


@compiled_elsewhere
@pytest.mark.parametrize("name", RANGES)
def test_ranges(target: Target, name: str) -> None:
    potential, low, high = RANGES[name]
    logits = LOGITS[:24:5]
    inside = np.where((np.arange(N + 1) >= low) & (np.arange(N + 1) <= high), 0, -np.inf)
    truth = [Potential(row, inside) for row in logits]
    x, tolerance = target.array(logits), target.tolerance(1e-5, 1e-12)
    found = target.to_numpy(ksubset.marginals(x, potential))
    np.testing.assert_allclose(found, [row.mean[:N] for row in truth], rtol=1e-5, atol=tolerance)
    found = target.to_numpy(ksubset.entropy(x, potential))
    np.testing.assert_allclose(found, [row.entropy for row in truth], atol=tolerance)
    found = target.to_numpy(ksubset.log_prob_count(x, potential))
    np.testing.assert_allclose(found, [row.independent for row in truth], rtol=tolerance, atol=tolerance)


def test_ranges_by_row(target: Target, rng: np.random.Generator) -> None:
    logits, low, high = rng.normal(size=(2, 3, N)), np.array([0, 2, 6]), np.array([[1], [6]])
    high = np.maximum(low, high)
    counts = np.arange(N + 1)
    inside = np.where((counts >= low[:, None]) & (counts <= high[..., None]), 0, -np.inf)
    expected = [Potential(logits[i], inside[i]).mean[:N] for i in np.ndindex(2, 3)]
    found = ksubset.marginals(target.array(logits), ksubset.between(target.array(low), target.array(high)))
    tolerance = target.tolerance(1e-6, 1e-14)
    np.testing.assert_allclose(target.to_numpy(found).reshape(-1, N), expected, atol=tolerance)


@compiled_elsewhere
def test_results_keep_namespace_device_and_dtype(target: Target) -> None:
    for dtype in target.dtypes:
        x, potential = target.array(LOGITS[:4], dtype), ksubset.at_most(2)
        results = [f(x, potential) for f in (ksubset.marginals, ksubset.log_normalizer, ksubset.entropy, ksubset.mode)]
        results += [ksubset.sample(x, potential, rng=target.rng(0)), ksubset.log_prob(x, potential, x * 0)]
        for result in results:
            assert type(result) is type(x)
            assert result.dtype == x.dtype
            assert getattr(result, "device", None) == getattr(x, "device", None)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "a list": (lambda t: ksubset.Cardinality([0.0] * 5), TypeError, "log_weights must be an array of the same"),
    "integers": (lambda t: ksubset.Cardinality(t.array([0] * 5)), TypeError, "log_weights .*real floating"),
    "too few": (lambda t: ksubset.Cardinality(t.array([0.0] * 4)), ValueError, r"log_weights .*\(\.\.\., 5\).*\(4,\)"),
    "a wider batch": (
        lambda t: ksubset.Cardinality(t.array(np.zeros((3, 5)))),
        ValueError,
        r"log_weights must broadcast to .*got \(3, 5\)",
    ),
    "NaN": (lambda t: ksubset.Cardinality(t.array([0.0, np.nan, 0, 0, 0])), ValueError, "log_weights .*NaN"),
    "+inf": (lambda t: ksubset.Cardinality(t.array([0.0, np.inf, 0, 0, 0])), ValueError, r"log_weights .*\+inf"),
    "no weight": (
        lambda t: ksubset.Cardinality(t.array([-np.inf] * 5)),
        ValueError,
        "must leave a count; got -inf",
    ),
    "at most 5": (lambda t: ksubset.at_most(5), ValueError, r"k must be in \[0, 4\].*got 5"),
    "at least -1": (lambda t: ksubset.at_least(-1), ValueError, r"k must be in \[0, 4\].*got -1"),
    "at most 2.0": (lambda t: ksubset.at_most(2.0), TypeError, "k must be an int .*float"),
    "out of order": (
        lambda t: ksubset.between(3, 2),
        ValueError,
        "low must be at most high, 2; got 3",
    ),
    "out of order in an array": (
        lambda t: ksubset.between(t.array(3), 2),
        ValueError,
        r"low and high must be in order and in \[0, 4\]; got 3 and 2",
    ),
    "below 0 in an array": (
        lambda t: ksubset.between(t.array(-1), 2),
        ValueError,
        r"in order and in \[0, 4\]; got -1 and 2",
    ),
    "above n in an array": (
        lambda t: ksubset.between(1, t.array(5)),
        ValueError,
        r"in order and in \[0, 4\]; got 1 and 5",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_potentials(target: Target, name: str) -> None:
    make, kind, message = BAD[name]
    logits = target.array(np.zeros(4))
    for validate in (True, None) if find(logits, "logits").is_readable(logits) else (True,):
        with pytest.raises(kind, match=message):
            ksubset.marginals(logits, make(target), validate=validate)


INF = np.inf
SUPPORTS: dict[str, tuple[Any, int, int]] = {
    "all": ([[0.0] * 5], 0, 4),
    "of two rows": ([[-INF, 0, 0, -INF, -INF], [-INF, -INF, 0, 0, -INF]], 1, 3),
    "the ends": ([[0.0, -INF, -INF, -INF, 0.0]], 0, 4),
    "one": ([[-INF, -INF, 1.0, -INF, -INF]], 2, 2),
    "no rows": (np.zeros((0, 5)), 0, 4),
}


@pytest.mark.parametrize("name", SUPPORTS)
def test_bounds_of_the_counts(target: Target, name: str) -> None:
    """They are looked for where values are read, and enclose all counts elsewhere."""
    log_weights, low, high = SUPPORTS[name]
    logits = target.array(np.zeros((len(log_weights), 4)))
    backend, potential = find(logits, "logits"), ksubset.Cardinality(target.array(np.array(log_weights)))
    assert potential.resolve(logits, backend, target.xp, True)[1:] == (low, high)
    assert potential.resolve(logits, backend, target.xp, False)[1:] == (0, 4)
    assert potential.is_readable(backend) == backend.is_readable(logits)


def test_bounds_of_one_row(target: Target) -> None:
    logits = target.array(np.zeros(4))
    found = ksubset.at_most(target.array(2)).resolve(logits, find(logits, "logits"), target.xp, True)
    assert found[1:] == (0, 2)


def test_bounds_of_ranges(target: Target) -> None:
    logits = target.array(np.zeros((2, 4)))
    backend, k = find(logits, "logits"), target.array([1, 3])
    for potential, known, unknown in (
        (ksubset.at_most(k), (0, 3), (0, 4)),
        (ksubset.at_least(k), (1, 4), (0, 4)),
        (ksubset.between(1, k), (1, 3), (1, 4)),
        (ksubset.between(2, 3), (2, 3), (2, 3)),
        (ksubset.at_most(target.array(2)), (0, 2), (0, 4)),
    ):
        assert potential.resolve(logits, backend, target.xp, True)[1:] == known
        assert potential.resolve(logits, backend, target.xp, False)[1:] == unknown
        assert potential.is_readable(backend) == (known == unknown or backend.is_readable(k))


@compiled_elsewhere
def test_infinite_logits_that_leave_no_count(target: Target) -> None:
    logits = target.array(np.array([[np.inf, np.inf, 0.0], [0.0, 1.0, 2.0], [np.nan, 0.0, 0.0]]))
    for validate in (True, None) if find(logits, "logits").is_readable(logits) else (True,):
        with pytest.raises(
            ValueError, match=r"leave a count that has a weight; got 2 entries of \+inf and 0 of -inf in row 0"
        ):
            ksubset.entropy(logits[:2, :], ksubset.at_most(1), validate=validate)
    with pytest.raises(ValueError, match=r"weight; got 0 entries of \+inf and 2 of -inf in row 0"):
        ksubset.entropy(-logits[:2, :], ksubset.at_least(2), validate=True)
    with pytest.raises(ValueError, match="max_k bounds a size k"):
        ksubset.marginals(logits, ksubset.at_most(1), max_k=2)
    v = target.array(np.ones((3, 3)))
    potential = ksubset.at_most(1)
    for found in (
        ksubset.marginals(logits, potential, validate=False),
        ksubset.entropy(logits, potential, validate=False),
        ksubset.marginals_jvp(logits, potential, v, validate=False),
        ksubset.mode(logits, potential, validate=False),
        ksubset.sample(logits, potential, rng=target.rng(0), validate=False),
    ):
        values = target.to_numpy(found)
        assert np.isnan(values[[0, 2]]).all()
        assert np.isfinite(values[1]).all()


@compiled_elsewhere
def test_unchecked_bounds_out_of_range_give_nan_in_that_row_alone(target: Target) -> None:
    logits = target.array(np.zeros((4, 3)))
    low, high = target.array([0, -1, 1, 2]), target.array([2, 2, 4, 1])
    found = target.to_numpy(ksubset.marginals(logits, ksubset.between(low, high), validate=False))
    assert np.isnan(found[1:]).all()
    np.testing.assert_allclose(found[0], 3 / 7, rtol=1e-6)


@compiled_elsewhere
def test_an_unchecked_vector_that_is_no_subset_has_no_probability(target: Target) -> None:
    z = target.array([[1.0, 0.0, 0.5], [1.0, 0.0, 0.0]])
    found = target.to_numpy(ksubset.log_prob(target.array(np.zeros((2, 3))), ksubset.at_most(2), z, validate=False))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(-np.log(7), rel=1e-6)


@compiled_elsewhere
def test_unchecked_bad_log_weights_give_nan_in_that_row_alone(target: Target) -> None:
    log_weights = np.zeros((4, 4))
    log_weights[0, 1], log_weights[2, 2], log_weights[3] = np.nan, np.inf, -np.inf
    potential, logits = ksubset.Cardinality(target.array(log_weights)), target.array(np.zeros((4, 3)))

    def sample(*given: Any, validate: bool) -> Any:
        return ksubset.sample(*given, rng=target.rng(0), validate=validate)

    for function in (ksubset.marginals, ksubset.log_normalizer, ksubset.entropy, ksubset.mode, sample):
        values = target.to_numpy(function(logits, potential, validate=False))
        assert np.isfinite(values[1]).all()
        assert np.isnan(values[[0, 2, 3]]).all()
    x, omega = logits, potential.log_weights
    with np.errstate(all="ignore"):
        found = target.to_numpy(each_size.moments(find(x, "x").ops(x), x, omega, 0, 3).log_partition)
    assert np.isnan(found[[0, 2, 3]]).all()
    assert np.isfinite(found[1])
