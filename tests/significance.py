"""Tests of samples, at one stated rate of false alarms for the whole suite."""

import numpy as np
from scipy import stats

FALSE_ALARM = 1e-6
"""The chance that any of the suite's statistical tests fails though nothing is wrong."""

TESTS = 2000
"""At most this many are made in one run; each has its share of the rate (Bonferroni)."""

LEVEL = FALSE_ALARM / TESTS


def check_frequencies(counts: np.ndarray, probabilities: np.ndarray) -> None:
    """Pearson's chi-squared test; the rarest cells are pooled until each expects at least five."""
    draws = counts.sum()
    order = np.argsort(probabilities)
    expected, observed = draws * probabilities[order], counts[order]
    pooled = int(np.searchsorted(np.cumsum(expected), 5)) + 1
    expected = np.concatenate([[expected[:pooled].sum()], expected[pooled:]])
    observed = np.concatenate([[observed[:pooled].sum()], observed[pooled:]])
    while len(expected) > 1 and expected.min() < 5:
        i, j = np.argsort(expected)[:2]
        expected[j], observed[j] = expected[i] + expected[j], observed[i] + observed[j]
        expected, observed = np.delete(expected, i), np.delete(observed, i)
    if len(expected) > 1:
        statistic = ((observed - expected) ** 2 / expected).sum()
        p = stats.chi2.sf(statistic, len(expected) - 1)
        assert p > LEVEL, f"chi-squared {statistic:.1f} on {len(expected) - 1} degrees of freedom, p = {p:.2g}"


def check_mean(values: np.ndarray, expected: np.ndarray) -> None:
    """A z-test of each mean over the first axis, allowing for their number."""
    draws, deviation = len(values), values.std(axis=0)
    z = np.abs(values.mean(axis=0) - expected) / np.maximum(deviation / np.sqrt(draws), 1e-12)
    assert (2 * stats.norm.sf(z) > LEVEL / z.size).all(), f"largest z = {z.max():.2f}"


def check_binomial(count: int, draws: int, probability: float) -> None:
    """An exact test of one rare event."""
    p = stats.binomtest(int(count), draws, probability).pvalue
    assert p > LEVEL, f"{count} of {draws} where {probability * draws:.4g} were expected, p = {p:.2g}"
