"""Cardinality potentials: every function against enumeration, with log-weights of every kind."""

from functools import partial
from math import comb, log
from typing import Any

import numpy as np
import pytest
from conftest import Target
from potentials import Potential, compiled_elsewhere, rows
from significance import check_frequencies

import ksubset
from ksubset._engine.potential import each_size, mixture
from ksubset._law import functions
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends import find

N = 6
ROWS = rows(N)
LOGITS = np.stack([row.logits for row in ROWS])
WEIGHTS = np.stack([row.log_weights for row in ROWS])
SIZE = np.maximum(1, [np.abs(row.parameters).max() for row in ROWS])
"""What rounding is relative to: the logits and log-weights whose sums decide between counts."""


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


@compiled_elsewhere
def test_ties_of_the_mode_go_to_the_first_items(target: Target, rng: np.random.Generator) -> None:
    logits = rng.integers(1, 3, 300).astype(float)
    found = target.to_numpy(ksubset.mode(target.array(logits), ksubset.at_most(100)))
    assert (np.flatnonzero(found) == np.flatnonzero(logits == 2)[:100]).all()


@compiled_elsewhere
def test_batches_of_higher_rank(target: Target, rng: np.random.Generator) -> None:
    logits, omega = rng.normal(size=(2, 3, N)), rng.normal(size=(3, N + 1))
    u = rng.random((4, 2, 3, N))
    potential = ksubset.Cardinality(target.array(omega))
    found = target.to_numpy(ksubset.sample_from_uniforms(target.array(logits), potential, target.array(u)))
    assert found.shape == (4, 2, 3, N)
    for i, j in np.ndindex(2, 3):
        row = ksubset.Cardinality(target.array(omega[j]))
        alone = ksubset.sample_from_uniforms(target.array(logits[i, j]), row, target.array(u[:, i, j]))
        assert (target.to_numpy(alone) == found[:, i, j]).all()
    x, v = target.array(logits), rng.normal(size=logits.shape)
    drawn = [target.to_numpy(f(x, potential, rng=target.rng(1))) for f in (ksubset.sample, ksubset.rsample)]
    assert drawn[0].shape == (2, 3, N)
    assert (drawn[0] == drawn[1]).all()
    images = target.to_numpy(ksubset.marginals_jvp(x, potential, target.array(v)))
    laws, subsets = [Potential(logits[i, j], omega[j]) for i, j in np.ndindex(2, 3)], found[0].reshape(6, N)
    scores = target.to_numpy(ksubset.log_prob(x, potential, target.array(found[0]))).flatten()
    truth = [z @ row.logits + row.log_weights[int(z.sum())] for row, z in zip(laws, subsets, strict=True)]
    truth -= np.array([row.log_normalizer for row in laws])
    np.testing.assert_allclose(scores, truth, atol=target.tolerance(1e-5, 1e-13))
    truth = [row.covariance[:N, :N] @ y for row, y in zip(laws, v.reshape(6, N), strict=True)]
    np.testing.assert_allclose(images.reshape(6, N), truth, atol=target.tolerance(1e-5, 1e-13))


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
        one, two = (way.moments(ops, x, omega, 0, N) for way in (mixture, each_size))
        images = [way.product(ops, x, omega, 0, N, v, u) for way in (mixture, each_size)]
        together = ops.xp.concat([x, omega], axis=-1)
        scalars = {
            name: getattr(functions, name)(ops, SizeWeighted(0, N), together, solution=two)
            for name in ("log_normalizer", "log_prob_count", "entropy")
        }
    for name in ("chosen", "unchosen", "counts"):
        close(target, getattr(one, name), target.to_numpy(getattr(two, name)))
    close(target, scalars["entropy"], [row.entropy for row in ROWS], 2e-6)
    close(target, scalars["log_prob_count"], [row.independent for row in ROWS], 2e-6)
    expected = [np.inf if np.inf in row.logits else row.log_normalizer for row in ROWS]
    np.testing.assert_allclose(target.to_numpy(scalars["log_normalizer"]), expected, rtol=target.tolerance(1e-5, 1e-13))
    for found, expected in zip(*images, strict=True):
        close(target, found, target.to_numpy(expected))


@compiled_elsewhere
def test_the_uniform_law_over_small_subsets(target: Target) -> None:
    found = float(ksubset.entropy(target.array(np.zeros(N)), ksubset.at_most(2)))
    assert found == pytest.approx(log(1 + N + comb(N, 2)), rel=1e-6)


@compiled_elsewhere
def test_equal_logits_with_half_of_the_items_chosen(target: Target) -> None:
    """The tilt then leaves t = 0 exactly, which is on neither side."""
    logits = target.array(np.full(4, 3.0))
    half = ksubset.Cardinality(target.array(np.where(np.arange(5) == 2, 0, -np.inf)))
    assert float(ksubset.log_normalizer(logits, half)) == pytest.approx(6 + log(6), rel=1e-6)
    expected = 6 + log(6) - 4 * np.logaddexp(0, 3)
    assert float(ksubset.log_prob_count(logits, half)) == pytest.approx(expected, rel=1e-5)


def test_the_object_finds_the_moments_once(
    target: Target, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, k = target.array(rng.normal(size=(3, 7))), ksubset.between(2, 5)
    z = target.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]] * 3)
    names = ("log_normalizer", "log_prob_count", "log_prob")
    expected = [ksubset.log_normalizer(logits, k), ksubset.log_prob_count(logits, k), ksubset.log_prob(logits, k, z)]
    d, mean = ksubset.KSubset(logits, k), ksubset.marginals(logits, k)
    np.testing.assert_allclose(target.to_numpy(d.entropy()), target.to_numpy(ksubset.entropy(logits, k)), rtol=1e-6)
    again = partial(pytest.fail, "the moments are found again")
    for place in ("_law.size_weighted.SizeWeighted", "backends._cpu.dispatch_weighted"):
        monkeypatch.setattr(f"ksubset.{place}.moments", lambda *args, **options: again())
    found = [d.log_normalizer(), d.log_prob_count(), d.log_prob(z)]
    for name, one, other in zip(names, found, expected, strict=True):
        np.testing.assert_allclose(target.to_numpy(one), target.to_numpy(other), rtol=2e-6, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(target.to_numpy(d.mean), target.to_numpy(mean), rtol=target.tolerance(2e-6, 1e-13))
    variance = target.to_numpy(mean) * (1 - target.to_numpy(mean))
    np.testing.assert_allclose(target.to_numpy(d.variance), variance, rtol=1e-5)
