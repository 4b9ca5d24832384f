"""The suite's statistical tests: how often they reject an exact sampler, and that they reject a biased one."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import significance
from conftest import Target
from oracle import Enumeration
from scipy import special, stats
from significance import LEVEL, SHORT, check_binomial, check_frequencies, check_mean, ratio_statistic

import ksubset


def rejects(check: Callable[..., None], *arguments: object) -> bool:
    try:
        check(*arguments)
    except AssertionError:
        return True
    return False


def false_alarms(draws: int, law: np.ndarray, step: float = 0.02) -> float:
    """The probability that multinomial counts are rejected, the statistic rounded up to multiples of ``step``.

    Counts are independent Poisson variables given their total, so that the joint law of the total and the statistic
    is a convolution over the cells. 2 Σ (O log(O/E) − O + E) is the likelihood ratio where ΣO = ΣE.
    """
    _, freedom = ratio_statistic(draws * law, law)
    correction = 1 + ((1 / law).sum() - 1) / (6 * draws * freedom)
    last = int(stats.chi2.isf(LEVEL / SHORT, freedom) * correction / step) + 1
    table, count = np.zeros((draws + 1, last + 1)), np.arange(draws + 1)
    table[0, 0] = 1
    for expected in draws * law:
        weight = stats.poisson(expected).pmf(count)
        part = np.ceil(2 * (special.xlogy(count, count / expected) - count + expected) / step).astype(int)
        after = np.zeros_like(table)
        for i in np.flatnonzero(weight > 1e-40):
            s, before = min(part[i], last), weight[i] * table[: draws + 1 - i]
            after[i:, s:] += before[:, : last + 1 - s]
            after[i:, last] += before[:, last + 1 - s :].sum(axis=1)
        table = after
    return float(table[draws, last] / stats.poisson(draws).pmf(draws))


@pytest.mark.parametrize(
    ("draws", "cells"),
    [
        (40, [1, 4]),
        (40, [1, 1]),
        (2000, [1, 99]),
        (2000, [1, 399]),
        (50, [1] * 10),
        (100, [1] * 20),
        (200, [3, 17, 80]),
    ],
)
def test_frequencies_are_rejected_at_most_at_the_stated_rate(draws: int, cells: list[int]) -> None:
    law = np.array(cells) / sum(cells)
    assert 0 < false_alarms(draws, law) < LEVEL


def test_the_statistic_is_the_likelihood_ratio() -> None:
    counts, law = np.array([30, 50, 20]), np.array([0.2, 0.5, 0.3])
    expected = 2 * (stats.multinomial.logpmf(counts, 100, counts / 100) - stats.multinomial.logpmf(counts, 100, law))
    statistic, freedom = ratio_statistic(counts, law)
    assert freedom == 2
    assert statistic == pytest.approx(expected / (1 + (5 + 2 + 10 / 3 - 1) / 1200))


@pytest.mark.parametrize(
    ("law", "freedom"), [([0.03, 0.02, 0.01, 0.94], 1), ([0.2, 0.02, 0.02, 0.76], 1), ([0.5] * 2, 1)]
)
def test_rare_cells_are_pooled(law: list[float], freedom: int) -> None:
    assert ratio_statistic(100 * np.array(law), np.array(law)) == (pytest.approx(0, abs=1e-12), freedom)


def test_few_draws_say_nothing() -> None:
    check_frequencies(np.array([3, 0]), np.array([0.5, 0.5]))


@pytest.mark.parametrize(("draws", "probability"), [(50, 0.1), (1000, 0.003), (300, 0.5)])
def test_events_are_rejected_at_most_at_the_stated_rate(
    draws: int, probability: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(significance, "_take_part", lambda: None)
    counts = np.arange(draws + 1)
    rejected = np.array([rejects(check_binomial, x, draws, probability) for x in counts])
    assert 0 < stats.binom(draws, probability).pmf(counts)[rejected].sum() < LEVEL


def test_means_are_judged_by_their_number(rng: np.random.Generator) -> None:
    values = rng.normal(size=(4000, 3))
    values -= values.mean(axis=0)
    error = values.std(axis=0, ddof=1) / np.sqrt(4000)
    for size in (1, 3):
        edge = stats.t.isf(LEVEL / SHORT / (2 * size), 3999) * error[:size]
        assert not rejects(check_mean, values[:, :size], 0.999 * edge)
        assert rejects(check_mean, values[:, :size], np.where(np.arange(size) == 0, 1.001, 0) * edge)


def test_means_of_skewed_values_need_more_draws(rng: np.random.Generator) -> None:
    rare = rng.random(10_000) < 1e-3
    with pytest.raises(AssertionError, match="too few draws"):
        check_mean(rare.astype(float), np.array(1e-3))


def test_no_more_tests_than_the_level_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "_made", iter([significance.TESTS, significance.TESTS + 1]))
    check_binomial(np.array(5), 10, np.array(0.5))
    with pytest.raises(AssertionError, match="this run makes more than"):
        check_binomial(np.array(5), 10, np.array(0.5))


@pytest.mark.slow
def test_a_bias_of_one_per_cent_is_caught(target: Target) -> None:
    """Two million draws of 20 subsets, every other one then drawn too often by 1 %, the rest too seldom."""
    row, rng = Enumeration(np.linspace(-0.4, 0.4, 6), 3), np.random.default_rng(0)
    z = ksubset.sample(target.array(row.logits), 3, rng=target.rng(1), sample_shape=(2_000_000,))
    place = np.zeros(64, int)
    place[[sum(1 << i for i in chosen) for chosen in combinations(range(6), 3)]] = np.arange(20)
    drawn = place[(target.to_numpy(z) @ (1 << np.arange(6))).astype(int)]
    check_frequencies(np.bincount(drawn, minlength=20), row.probabilities)
    kept = drawn[(drawn % 2 == 0) | (rng.random(len(drawn)) < 0.99 / 1.01)]
    assert rejects(check_frequencies, np.bincount(kept, minlength=20), row.probabilities)
