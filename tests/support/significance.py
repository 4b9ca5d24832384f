"""Tests of samples, at one stated rate of false alarms for the whole suite.

Every statistical test of the project is one of the three here. tests/battery/test_significance.py adds up the exact
probabilities of the outcomes that they reject, and checks that a sampler biased by one per cent is caught.
"""

from itertools import count

import numpy as np
from scipy import special, stats

FALSE_ALARM = 1e-6
"""The chance that any of the statistical tests of a run fails though nothing is wrong."""

TESTS = 2000
"""At most this many tests are made in one run, which is checked; each has its share of the rate (Bonferroni)."""

LEVEL = FALSE_ALARM / TESTS
SHORT = 5
"""How many times longer the tails of the statistics may be than the tails of chi-squared and Student's t, where cells
are rare or values skewed."""

MOST_SKEWED = 0.02
"""Skewness over √draws: at the level above it makes one tail of t about e^(6.5³ · 0.02 / 3) = 6 times longer."""

FEWEST = 5
"""Cells that expect fewer are pooled."""

_made = count(1)


def check_frequencies(counts: np.ndarray, probabilities: np.ndarray) -> None:
    """A likelihood-ratio test against a law, by its chi-squared distribution."""
    _take_part()
    statistic, freedom = ratio_statistic(counts, probabilities)
    p = stats.chi2.sf(statistic, freedom) if freedom else 1.0
    assert p > LEVEL / SHORT, f"chi-squared {statistic:.1f} on {freedom} degrees of freedom, p = {p:.2g}"


def ratio_statistic(counts: np.ndarray, probabilities: np.ndarray) -> tuple[float, int]:
    """G = 2 Σ O log(O/E) and its degrees of freedom; the rarest cells are pooled until each expects five.

    Far in the tail, where LEVEL is, the law of G stays near chi-squared for rare cells also: its exponent is that of
    the probability itself. Pearson's statistic rejects such cells a thousand times too often. Williams' factor brings
    the mean of G to that of chi-squared: "Improved likelihood ratio tests for complete contingency tables",
    Biometrika 63 (1976).
    """
    draws, order = counts.sum(), np.argsort(probabilities, kind="stable")
    expected, observed = draws * probabilities[order], counts[order]
    pooled = max(int((expected < FEWEST).sum()), 1 + int(np.argmax(np.cumsum(expected) >= FEWEST)))
    expected = np.concatenate([[expected[:pooled].sum()], expected[pooled:]])
    observed = np.concatenate([[observed[:pooled].sum()], observed[pooled:]])
    freedom = len(expected) - 1
    ratio = 2 * special.xlogy(observed, observed / expected).sum()
    correction = 1 + ((draws / expected).sum() - 1) / (6 * draws * max(1, freedom))
    return float(ratio / correction), freedom


def check_mean(values: np.ndarray, expected: np.ndarray) -> None:
    """A t-test of each mean over the first axis, allowing for their number."""
    _take_part()
    draws, centred, deviation = len(values), values - values.mean(axis=0), values.std(axis=0, ddof=1)
    skewness = np.abs((centred**3).mean(axis=0)) / np.maximum(deviation, 1e-9) ** 3
    assert (skewness <= MOST_SKEWED * np.sqrt(draws)).all(), f"too few draws for a skewness of {skewness.max():.1f}"
    t = np.abs(values.mean(axis=0) - expected) / np.maximum(deviation / np.sqrt(draws), 1e-12)
    assert (2 * stats.t.sf(t, draws - 1) > LEVEL / SHORT / t.size).all(), f"largest t = {t.max():.2f}"


def check_binomial(counts: np.ndarray, draws: int, probabilities: np.ndarray) -> None:
    """An exact test of how often events happened, allowing for their number."""
    _take_part()
    law = stats.binom(draws, probabilities)
    p = np.minimum(1, 2 * np.minimum(law.cdf(counts), law.sf(counts - 1)))
    worst = np.argmin(p)
    assert (p > LEVEL / p.size).all(), (
        f"{np.ravel(counts)[worst]} of {draws} where {np.ravel(law.mean())[worst]:.4g} were expected, p = {p.min():.2g}"
    )


def _take_part() -> None:
    """Count the tests of this run, whose level is made for at most `TESTS` of them."""
    assert next(_made) <= TESTS, f"raise significance.TESTS: this run makes more than {TESTS} statistical tests"
