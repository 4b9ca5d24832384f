"""The 80-bit recursion agrees with 60-digit arithmetic, and what serves for larger rows with the recursion."""

import mpmath
import numpy as np
import pytest
from oracle import Enumeration, TwoGroups, families, recursion

FAMILIES = families(24, np.random.default_rng(5))


def exact(theta: np.ndarray, k: int) -> tuple[object, list[object]]:
    """A and μ from elementary symmetric polynomials in 60 digits."""
    weights = [mpmath.exp(mpmath.mpf(float(x))) for x in theta]

    def symmetric(ws: list[object]) -> list[object]:
        table = [mpmath.mpf(1)] + [mpmath.mpf(0)] * k
        for w in ws:
            table = [table[0]] + [table[j] + w * table[j - 1] for j in range(1, k + 1)]
        return table

    total = symmetric(weights)[k]
    marginals = [w * symmetric(weights[:i] + weights[i + 1 :])[k - 1] / total for i, w in enumerate(weights)]
    return mpmath.log(total), marginals


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("k", [1, 7, 12, 23])
def test_recursion_against_60_digits(name: str, k: int) -> None:
    theta = FAMILIES[name]
    with mpmath.workdps(60):
        normalizer, marginals = exact(theta, k)
        found = recursion(theta, k)
        assert abs(float(found.log_normalizer - np.longdouble(str(normalizer)))) <= 1e-15 * max(1, abs(normalizer))
        for mine, true in zip(found.chosen, marginals, strict=True):
            if true > 1e-30:
                assert abs(float(mine / np.longdouble(str(true))) - 1) < 1e-14
        entropy = normalizer - mpmath.fsum(m * mpmath.mpf(float(x)) for m, x in zip(marginals, theta, strict=True))
        assert abs(float(found.entropy - np.longdouble(str(entropy)))) <= 1e-15 * max(1, abs(entropy))


def test_recursion_jacobian_against_enumeration(rng: np.random.Generator) -> None:
    theta, v = rng.normal(size=9) * 3, rng.normal(size=9)
    for k in range(10):
        np.testing.assert_allclose(recursion(theta, k, v).jvp, Enumeration(theta, k).covariance @ v, atol=1e-15)


@pytest.mark.parametrize("sizes", [(7, 12), (1, 30), (40, 2), (200, 150)])
@pytest.mark.parametrize("gap", [0.0, 1.25, 20.0, -3.0])
def test_two_groups_against_the_recursion(sizes: tuple[int, int], gap: float, rng: np.random.Generator) -> None:
    n = sum(sizes)
    v = rng.normal(size=n)
    for k in (1, n // 3, n // 2, n - 1):
        row = TwoGroups(sizes, gap, k)
        truth = recursion(row.logits, k, v)
        np.testing.assert_allclose(row.chosen, truth.chosen, rtol=1e-16)
        np.testing.assert_allclose(row.unchosen, truth.unchosen, rtol=1e-16)
        error = np.linalg.norm((row.jvp(v) - truth.jvp).astype(float))
        assert error < 1e-16 * np.linalg.norm(truth.jvp.astype(float))
