"""The stated accuracy, against the 80-bit recursion: nine families of logits, every regime of k, n up to 2000."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from conftest import Target
from oracle import Recursion, families, recursion

import ksubset

SMALLEST = 1e-30
"""Marginals below this may lose their relative accuracy, and differences of the order of its square all of it."""


@dataclass(frozen=True)
class Trial:
    logits: np.ndarray
    k: np.ndarray
    v: np.ndarray
    truth: list[Recursion]
    far: list[Recursion]

    def stack(self, name: str) -> np.ndarray:
        return np.stack([getattr(row, name) for row in self.truth])


@cache
def trial(n: int, sizes: tuple[int, ...]) -> Trial:
    """All families at all sizes; logits and tangents are exact in float32."""
    rng = np.random.default_rng(n)
    rows = families(n, rng)
    logits = np.repeat(np.stack(list(rows.values())), len(sizes), axis=0).astype(np.float32).astype(np.float64)
    k = np.tile(sizes, len(rows))
    v = rng.normal(size=logits.shape).astype(np.float32).astype(np.float64)
    far = (v.astype(np.float32) + np.float32(1000)).astype(np.float64)
    truth = [recursion(*row) for row in zip(logits, k, v, strict=True)]
    return Trial(logits, k, v, truth, [recursion(*row) for row in zip(logits, k, far, strict=True)])


@pytest.fixture(
    params=[
        pytest.param((2, (1,)), id="n=2"),
        pytest.param((50, (1, 2, 5, 25, 38, 49)), id="n=50"),
        pytest.param((350, (1, 10, 175, 340)), id="n=350"),
        pytest.param((2000, (20, 1000, 1999)), id="n=2000", marks=pytest.mark.slow),
    ]
)
def case(request: pytest.FixtureRequest) -> Trial:
    return trial(*request.param)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest, target: Target) -> str:
    if request.param not in target.dtypes:
        pytest.skip(f"{target.name} has no {request.param}")
    return str(request.param)


def bound(dtype: str, single: float, double: float) -> float:
    return single if dtype == "float32" else double


def test_marginals_and_their_sum(target: Target, case: Trial, dtype: str) -> None:
    logits, k = target.array(case.logits, dtype), target.array(case.k)
    found = target.to_numpy(ksubset.marginals(logits, k)).astype(np.longdouble)
    other = target.to_numpy(ksubset.marginals(-logits, target.array(case.logits.shape[1] - case.k)))
    for mine, truth in ((found, case.stack("chosen")), (other, case.stack("unchosen"))):
        matters = truth > SMALLEST
        assert np.max(np.abs(mine[matters] / truth[matters] - 1)) < bound(dtype, 1e-5, 5e-14)
    assert (np.abs(found.sum(axis=1) - case.k) <= bound(dtype, 1e-6, 1e-14) * case.k).all()


def test_scalars(target: Target, case: Trial, dtype: str) -> None:
    logits, k = target.array(case.logits, dtype), target.array(case.k)
    z = target.to_numpy(ksubset.sample(logits, k, rng=target.rng(7)))
    scores = (z.astype(np.longdouble) * case.logits).sum(axis=1) - case.stack("log_normalizer")
    pairs = [
        (ksubset.log_normalizer(logits, k), case.stack("log_normalizer")),
        (ksubset.entropy(logits, k), case.stack("entropy")),
        (ksubset.log_prob(logits, k, target.array(z, dtype)), scores),
    ]
    for found, truth in pairs:
        error = np.abs(target.to_numpy(found) - truth)
        assert (error <= bound(dtype, 1e-5, 1e-13) * np.maximum(1, np.abs(truth))).all()


@pytest.mark.parametrize("shift", [0, 1000])
def test_jacobian_product(target: Target, case: Trial, dtype: str, shift: int) -> None:
    v = case.v if shift == 0 else (case.v.astype(np.float32) + np.float32(shift)).astype(np.float64)
    logits, k = target.array(case.logits, dtype), target.array(case.k)
    found = target.to_numpy(ksubset.marginals_jvp(logits, k, target.array(v, dtype)))
    truth = np.stack([row.jvp for row in (case.far if shift else case.truth)])
    size, error = np.linalg.norm(truth.astype(float), axis=1), np.linalg.norm((found - truth).astype(float), axis=1)
    assert (error[size > SMALLEST] <= bound(dtype, 1e-5, 1e-13) * size[size > SMALLEST]).all()


def test_marginals_that_hang_on_small_probabilities(target: Target) -> None:
    """Two groups far apart, next to a row of moderate logits: what that row can bear to lose, this one cannot."""
    rng = np.random.default_rng(0)
    apart = np.where(np.arange(36) % 2 == 0, 35.5, -35.5) + 0.1 * rng.normal(size=36)
    logits = np.stack([apart, rng.normal(size=36)]).astype(np.float32)
    found = target.to_numpy(ksubset.marginals(target.array(logits, "float32"), 18))
    truth = np.stack([recursion(row, 18, row).chosen for row in logits.astype(float)])
    assert SMALLEST < truth.min() < 10 * SMALLEST
    assert np.max(np.abs(found / truth - 1)) < 1e-5


@pytest.mark.parametrize("seed", [0, 18])
def test_marginals_of_a_row_alone(target: Target, seed: int) -> None:
    """No other row keeps the counts that only an item of this one brings about which is hardly ever chosen."""
    logits = (np.random.default_rng(seed).normal(size=130) * 300).astype(np.float32)
    truth = recursion(logits.astype(float), 40, logits.astype(float)).chosen
    found = target.to_numpy(ksubset.marginals(target.array(logits, "float32"), 40))
    matters = truth > SMALLEST
    assert np.max(np.abs(found[matters] / truth[matters] - 1)) < 1e-5


@pytest.mark.backends("numpy", "torch")  # whose core leaves out what a row can bear to lose
def test_float32_against_float64_on_rows_of_every_kind(target: Target) -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        n = int(rng.integers(66, 400))
        k, scale = int(rng.integers(33, n - 32)), 10 ** rng.uniform(-1, 3)
        apart = np.where(rng.random(n) < k / n, 1, -1) * rng.uniform(0, 40) * rng.integers(2)
        logits = (rng.normal(size=n) * scale + apart).astype(np.float32)
        exact = ksubset.marginals(logits.astype(float), k)
        found = target.to_numpy(ksubset.marginals(target.array(logits, "float32"), k))
        matters = exact > SMALLEST
        assert np.max(np.abs(found[matters] / exact[matters] - 1)) < 1e-5
