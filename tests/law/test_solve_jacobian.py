"""Solutions of J x = v by conjugate gradients, in the core: against pseudo-inverses of enumerated covariances."""

from collections.abc import Callable

import numpy as np
import pytest
from conftest import Target
from ops_variants import own
from oracle import Enumeration

import ksubset
from ksubset._law import inverse_map
from ksubset._law.fixed_size import FixedSize

pytestmark = pytest.mark.backends("numpy", "strict", "torch")  # JAX would compile it operation by operation
INF = np.inf
LOGITS = np.array([
    [0.3, -0.2, 1.1, -0.9, 0.5, 0.0],
    [2.0, -3.0, 0.1, 4.0, -1.0, 1.5],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [INF, 0.5, -INF, -1.0, 0.2, 1.0],
    [6.0, -6.0, 5.0, -5.0, 0.0, 0.1],
    [INF, INF, -INF, -INF, -INF, 0.0],
])  # fmt: skip
SIZES = np.array([2, 3, 5, 2, 2, 3])
V = np.random.default_rng(5).normal(size=LOGITS.shape)


def expected(logits: np.ndarray, k: int, v: np.ndarray) -> np.ndarray:
    """x with J x = v − D·1 Σv/ΣD and Σ D x = 0, D = diag(μ(1 − μ))."""
    row, free = Enumeration(logits, k), np.isfinite(logits)
    d, out = np.diag(row.covariance) * free, np.zeros(len(logits))
    if d.sum() > 0:
        out = np.linalg.pinv(row.covariance, rcond=1e-13) @ np.where(free, v - d * v[free].sum() / d.sum(), 0)
        out = np.where(free, out - d @ out / d.sum(), 0)
    return out


TRUTH = np.stack([expected(row, int(k), v) for row, k, v in zip(LOGITS, SIZES, V, strict=True)])


def solved(target: Target, logits: np.ndarray, k: int | np.ndarray, v: np.ndarray) -> np.ndarray:
    law = FixedSize(k if isinstance(k, int) else target.array(k), logits.shape[-1] // 2)
    with np.errstate(all="ignore"):
        return target.to_numpy(inverse_map.solve_jacobian(own(target), law, target.array(logits), target.array(v)))


def check(target: Target, found: np.ndarray, truth: np.ndarray) -> None:
    np.testing.assert_allclose(found, truth, rtol=target.tolerance(1e-3, 1e-10), atol=target.tolerance(1e-3, 1e-10))


def test_a_batch_with_a_size_for_each_row(target: Target) -> None:
    check(target, solved(target, LOGITS, SIZES, V), TRUTH)


def test_any_rank(target: Target) -> None:
    shape = (2, 3, LOGITS.shape[1])
    found = solved(target, LOGITS.reshape(shape), SIZES.reshape(2, 3), V.reshape(shape))
    check(target, found.reshape(LOGITS.shape), TRUTH)
    for row in range(len(LOGITS)):
        check(target, solved(target, LOGITS[row], int(SIZES[row]), V[row]), TRUTH[row])


@pytest.mark.parametrize("exponent", [0.9, -0.7])
def test_any_scale(target: Target, exponent: float) -> None:
    """Squares would overflow, or become 0."""
    scale = float(np.finfo(target.dtypes[-1]).max) ** exponent
    check(target, solved(target, LOGITS[:4], SIZES[:4], V[:4] * scale) / scale, TRUTH[:4])


def test_nothing_beside_something(target: Target) -> None:
    v = V * np.array([0, 1, 0, 1, 0, 1])[:, None]
    found = solved(target, LOGITS, SIZES, v)
    assert (found[::2] == 0).all()
    check(target, found[1::2], TRUTH[1::2])


def test_items_whose_marginals_are_too_small_for_a_float(target: Target) -> None:
    logits = np.concatenate([LOGITS[:2], np.full((2, 1), -800.0)], axis=-1)
    found = solved(target, logits, SIZES[:2], np.concatenate([V[:2], np.ones((2, 1))], axis=-1))
    assert (found[:, -1] == 0).all()
    check(target, found[:, :-1], TRUTH[:2])


@pytest.mark.parametrize("rare", [-18.0, -60.0])
def test_rare_items_keep_their_digits(target: Target, rare: float) -> None:
    """μ is down to 1e-26 for the last; v in proportion to it asks for a change of its logit by about 1."""
    logits = np.append(LOGITS[0], rare)
    truth = np.linspace(-1, 1, 7)
    row = Enumeration(logits, 2)
    d = row.marginals * (1 - row.marginals)
    truth -= d @ truth / d.sum()
    check(target, solved(target, logits, 2, row.covariance @ truth), truth)


LONG = np.random.default_rng(6).normal(size=(2, 13))
STARTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "any": lambda d: LONG[1],
    "nearly what any x gives": lambda d: d + 1e-6 * LONG[1],
}


@pytest.mark.parametrize("name", STARTS)
def test_a_search_cut_short_is_nan_or_right(target: Target, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target.require("float64")
    logits, k = LONG[0], 5
    v = STARTS[name](np.diag(Enumeration(logits, k).covariance))
    truth, failed = expected(logits, k, v), []
    for products in range(1, 17):
        monkeypatch.setattr(inverse_map, "PRODUCTS", products)
        found = solved(target, logits, k, v)
        failed.append(bool(np.isnan(found).all()))
        if not failed[-1]:
            np.testing.assert_allclose(found, truth, rtol=0, atol=1e-9 * np.abs(truth).max())
    assert failed[0]
    assert not failed[-1]


@pytest.mark.parametrize(("n", "k", "few", "enough"), [(20, 2, 3, 6), (50, 20, 3, 4), (500, 200, 2, 3)])
def test_products_of_ordinary_rows(
    target: Target, n: int, k: int, few: int, enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.require("float64")
    logits, v = np.random.default_rng(0).normal(size=(2, n))
    monkeypatch.setattr(inverse_map, "PRODUCTS", few)
    assert np.isnan(solved(target, logits, k, v)).all()
    monkeypatch.setattr(inverse_map, "PRODUCTS", enough)
    x = solved(target, logits, k, v - v.mean())
    np.testing.assert_allclose(ksubset.marginals_jvp(logits, k, x), v - v.mean(), rtol=0, atol=1e-12)
