"""Cardinality potentials: every function against enumeration, with log-weights of every kind."""

from math import comb, log
from typing import Any

import numpy as np
import pytest
from conftest import Target
from potentials import Potential, rows
from significance import check_frequencies

import ksubset
from ksubset import _each_count, _mixture
from ksubset.backends import find

N = 6
ROWS = rows(N)
LOGITS = np.stack([row.logits for row in ROWS])
WEIGHTS = np.stack([row.log_weights for row in ROWS])
SIZE = np.maximum(1, [np.abs(row.parameters).max() for row in ROWS])
"""What rounding is relative to: the logits and log-weights whose sums decide between counts."""


compiled_elsewhere = pytest.mark.backends("numpy", "strict", "torch", "cupy")
"""For tests of many calls, each of which JAX would compile a program for; it has the same code to run."""


def problem(target: Target) -> tuple[Any, ksubset.Cardinality]:
    return target.array(LOGITS), ksubset.Cardinality(target.array(WEIGHTS))


def close(target: Target, found: Any, expected: Any, single: float = 1e-6, double: float = 2e-15) -> None:
    found, expected = target.to_numpy(found), np.asarray(expected)
    tolerance = target.tolerance(single, double) * 5 * SIZE.reshape(-1, *(1,) * (expected.ndim - 1))
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= tolerance * np.maximum(1, np.abs(expected))).all()


def test_marginals(target: Target) -> None:
    found = ksubset.marginals(*problem(target))
    close(target, found, [row.mean[:N] for row in ROWS])
    decided = np.isinf(LOGITS)
    assert (target.to_numpy(found)[decided] == (LOGITS[decided] > 0)).all()


def test_log_normalizer(target: Target) -> None:
    expected = [np.inf if np.inf in row.logits else row.log_normalizer for row in ROWS]
    found = target.to_numpy(ksubset.log_normalizer(*problem(target)))
    finite = np.isfinite(expected)
    assert (np.isinf(found) == ~finite).all()
    error = np.abs(found[finite] - np.array(expected)[finite])
    assert (error <= target.tolerance(1e-6, 5e-15) * 5 * SIZE[finite]).all()


def test_log_prob_count(target: Target) -> None:
    close(target, ksubset.log_prob_count(*problem(target)), [row.independent for row in ROWS], 2e-6)


def test_entropy(target: Target) -> None:
    close(target, ksubset.entropy(*problem(target)), [row.entropy for row in ROWS], 2e-6)


def test_divergences(target: Target, rng: np.random.Generator) -> None:
    other = LOGITS + np.round(rng.normal(size=LOGITS.shape), 2)
    expected = [row.kl(Potential(eta, row.log_weights)) for row, eta in zip(ROWS, other, strict=True)]
    logits, potential = problem(target)
    close(target, ksubset.kl_divergence(logits, target.array(other), potential), expected, 4e-6)
    expected = [Potential(np.zeros(N), row.log_weights).log_normalizer for row in ROWS]
    expected += np.array([row.mean[:N] @ row.parameters[:N] - row.log_normalizer for row in ROWS])
    kept = ~np.isinf(LOGITS).any(axis=1)
    found = target.to_numpy(ksubset.kl_to_uniform(logits, potential))
    np.testing.assert_allclose(found[kept], expected[kept], rtol=1e-5, atol=target.tolerance(2e-3, 1e-11))


def test_log_prob_of_every_subset(target: Target) -> None:
    z = np.array([[i >> j & 1 for j in range(N)] for i in range(1 << N)])
    found = target.to_numpy(ksubset.log_prob(*problem(target), target.array(z[:, None, :])))
    for scores, row in zip(found.T, ROWS, strict=True):
        logarithms = row.statistics @ row.parameters - row.log_normalizer
        known = dict(zip(map(tuple, row.subsets.astype(int)), logarithms, strict=True))
        expected = np.array([known.get(tuple(subset), -np.inf) for subset in z])
        assert (np.isinf(scores) == np.isinf(expected)).all()
        near = np.isfinite(expected)
        np.testing.assert_allclose(scores[near], expected[near], rtol=1e-5, atol=target.tolerance(2e-3, 1e-11))


def test_marginals_jvp_and_covariance(target: Target, rng: np.random.Generator) -> None:
    v = rng.normal(size=LOGITS.shape)
    image = ksubset.marginals_jvp(*problem(target), target.array(v))
    finite = np.where(np.isinf(LOGITS), 0, v)
    close(target, image, [row.covariance[:N, :N] @ x for row, x in zip(ROWS, finite, strict=True)])
    close(target, ksubset.covariance(*problem(target)), [row.covariance[:N, :N] for row in ROWS])


def test_mode(target: Target) -> None:
    found = target.to_numpy(ksubset.mode(*problem(target)))
    for z, row in zip(found, ROWS, strict=True):
        scores = row.statistics @ row.parameters
        score = z @ row.parameters[:N] + row.log_weights[int(z.sum())]
        assert score >= scores.max() - target.tolerance(1e-3, 1e-11)


@compiled_elsewhere
def test_ties_of_the_mode_go_to_the_smaller_count(target: Target) -> None:
    found = ksubset.mode(target.array(np.array([0.0, 1.0, 0.0])), ksubset.at_most(3))
    assert (target.to_numpy(found) == [0, 1, 0]).all()


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
def test_one_weight_is_a_size(target: Target, rng: np.random.Generator) -> None:
    logits, k = target.array(rng.normal(size=(N + 1, N)) * 3), target.array(np.arange(N + 1))
    one_hot = ksubset.Cardinality(target.array(np.where(np.eye(N + 1) == 1, 3.0, -np.inf)))
    tolerance = target.tolerance(2e-6, 1e-14)
    for name in ("marginals", "entropy", "covariance", "kl_to_uniform", "mode"):
        found, expected = (target.to_numpy(getattr(ksubset, name)(logits, which)) for which in (one_hot, k))
        np.testing.assert_allclose(found, expected, atol=10 * tolerance)


@compiled_elsewhere
def test_many_items_do_not_underflow(target: Target, rng: np.random.Generator) -> None:
    """At most ten of a thousand likely items, far in the tail of what they would do unasked, and the complement."""
    theta = rng.normal(size=1000).astype(np.float32) + np.float32(4)
    sizes = [float(ksubset.log_normalizer(theta.astype(float), c)) for c in range(11)]
    found = float(ksubset.log_normalizer(target.array(theta.astype(float)), ksubset.at_most(10)))
    assert found == pytest.approx(np.logaddexp.reduce(sizes), rel=target.tolerance(1e-6, 1e-13))
    most = target.to_numpy(ksubset.marginals(target.array(theta.astype(float)), ksubset.at_most(10)))
    least = target.to_numpy(ksubset.marginals(target.array(-theta.astype(float)), ksubset.at_least(990)))
    np.testing.assert_allclose(most + least, 1, atol=target.tolerance(1e-5, 1e-13))


def test_a_sample_has_the_law(target: Target) -> None:
    draws, chosen = 20_000, [0, 2, 7, 11, 26]
    potential = ksubset.Cardinality(target.array(WEIGHTS[chosen]))
    z = ksubset.sample(target.array(LOGITS[chosen]), potential, rng=target.rng(3), sample_shape=(draws,))
    for codes, i in zip((target.to_numpy(z) @ 2 ** np.arange(N)).T, chosen, strict=True):
        known = ROWS[i].subsets @ 2 ** np.arange(N)
        assert np.isin(codes, known).all()
        check_frequencies(np.array([(codes == code).sum() for code in known]), ROWS[i].probabilities)


def test_the_same_uniforms_give_the_same_subset(target: Target, rng: np.random.Generator) -> None:
    u = rng.random((5, len(ROWS), N)).astype(np.float32).astype(np.float64)
    found = ksubset.sample_from_uniforms(*problem(target), target.array(u))
    expected = ksubset.sample_from_uniforms(LOGITS, ksubset.Cardinality(WEIGHTS), u)
    assert (target.to_numpy(found) == expected).mean() > target.tolerance(0.99, 0.9999)


@compiled_elsewhere
def test_distribution_object(target: Target) -> None:
    logits, potential = problem(target)
    d = ksubset.KSubset(logits, potential)
    z = d.sample(rng=target.rng(0))
    close(target, d.mean, [row.mean[:N] for row in ROWS])
    close(target, d.variance, [np.diag(row.covariance)[:N] for row in ROWS])
    for found, expected in (
        (d.entropy(), ksubset.entropy(logits, potential)),
        (d.log_prob(z), ksubset.log_prob(logits, potential, z)),
        (d.kl_divergence(ksubset.KSubset(logits, potential)), np.zeros(len(ROWS))),
    ):
        expected = expected if isinstance(expected, np.ndarray) else target.to_numpy(expected)
        np.testing.assert_allclose(target.to_numpy(found), expected, atol=target.tolerance(1e-3, 1e-11))


@compiled_elsewhere
def test_both_ways_to_tilt_agree(target: Target, rng: np.random.Generator) -> None:
    x, omega = target.array(LOGITS), target.array(WEIGHTS)
    v, u = target.array(rng.normal(size=LOGITS.shape)), target.array(rng.normal(size=WEIGHTS.shape))
    ops = find(x, "x").ops(x)
    with np.errstate(all="ignore"):
        one, two = (way.solve(ops, x, omega, 0, N) for way in (_mixture, _each_count))
        images = [way.product(ops, x, omega, 0, N, v, u) for way in (_mixture, _each_count)]
    for name in ("chosen", "unchosen", "counts"):
        close(target, getattr(one, name), target.to_numpy(getattr(two, name)))
    for found, expected in zip(*images, strict=True):
        close(target, found, target.to_numpy(expected))


@compiled_elsewhere
def test_results_keep_namespace_device_and_dtype(target: Target) -> None:
    for dtype in target.dtypes:
        x, potential = target.array(LOGITS[:2], dtype), ksubset.at_most(2)
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
    "no weight": (lambda t: ksubset.Cardinality(t.array([-np.inf] * 5)), ValueError, "leave a count that has a weight"),
    "at most 5": (lambda t: ksubset.at_most(5), ValueError, r"the largest count must be in \[0, 4\].*got 5"),
    "at least -1": (lambda t: ksubset.at_least(-1), ValueError, r"the least count must be in \[0, 4\].*got -1"),
    "at most 2.0": (lambda t: ksubset.at_most(2.0), TypeError, "the largest count must be an int .*float"),
    "out of order": (
        lambda t: ksubset.between(3, 2),
        ValueError,
        "the least count must be at most the largest, 2; got 3",
    ),
    "out of order in an array": (
        lambda t: ksubset.between(t.array(3), 2),
        ValueError,
        r"in order and in \[0, 4\]; got 3 and 2",
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
    with pytest.raises(kind, match=message):
        ksubset.marginals(target.array(np.zeros(4)), make(target), validate=True)


@compiled_elsewhere
def test_infinite_logits_that_leave_no_count(target: Target) -> None:
    logits = target.array(np.array([[np.inf, np.inf, 0.0], [0.0, 1.0, 2.0], [np.nan, 0.0, 0.0]]))
    with pytest.raises(
        ValueError, match=r"leave a count that has a weight; got 2 entries of \+inf and 0 of -inf in row 0"
    ):
        ksubset.entropy(logits[:2, :], ksubset.at_most(1), validate=True)
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
def test_unchecked_bad_log_weights_give_nan_in_that_row_alone(target: Target) -> None:
    log_weights = np.zeros((4, 4))
    log_weights[0, 1], log_weights[2, 2], log_weights[3] = np.nan, np.inf, -np.inf
    potential, logits = ksubset.Cardinality(target.array(log_weights)), target.array(np.zeros((4, 3)))
    for function in (ksubset.marginals, ksubset.log_normalizer, ksubset.entropy):
        values = target.to_numpy(function(logits, potential, validate=False))
        assert np.isfinite(values[1]).all()
        assert np.isnan(values[[0, 2, 3]]).all()
    x, omega = logits, potential.log_weights
    with np.errstate(all="ignore"):
        found = target.to_numpy(_each_count.solve(find(x, "x").ops(x), x, omega, 0, 3).log_volume)
    assert np.isnan(found[[0, 2, 3]]).all()
    assert np.isfinite(found[1])


@compiled_elsewhere
def test_the_uniform_law_over_small_subsets(target: Target) -> None:
    found = float(ksubset.entropy(target.array(np.zeros(N)), ksubset.at_most(2)))
    assert found == pytest.approx(log(1 + N + comb(N, 2)), rel=1e-6)
