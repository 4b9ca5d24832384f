"""The stated accuracy, against the 80-bit recursion: nine families of logits, every regime of k, n up to 2000.

The core is held to more: to a few roundings of its own beside that of θ + λ, from variances of 1e-20, where hardly
anything is random, to 1e5, of a million items, and to the same answer whatever rows are beside a row.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from conftest import Target
from ops_variants import core_moments, own, product
from oracle import Recursion, TwoGroups, families, recursion

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


FAR = 1000
"""What is added to a vector that J maps to the same."""

TIGHT = {"float32": 2e-6, "float64": 1e-14}
"""How near J · v of the core is to the truth in norm, where none of the log-odds that matter is above 16."""


def tight(dtype: str, log_odds: float = 0.0) -> float:
    """Allowing for the rounding of larger log-odds."""
    return TIGHT[dtype] * max(1, log_odds / 16)


def vector(rng: np.random.Generator, shape: tuple[int, ...], shift: int) -> np.ndarray:
    return (rng.normal(size=shape).astype(np.float32) + np.float32(shift)).astype(float)


def norms(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x.astype(float), axis=-1)


@pytest.mark.parametrize("shift", [0, FAR])
def test_products_of_the_core(target: Target, case: Trial, dtype: str, shift: int) -> None:
    v = (case.v.astype(np.float32) + np.float32(shift)).astype(float)
    x, direction = target.array(case.logits, dtype), target.array(v, dtype)
    found = product(target, own(target), x, target.array(case.k), direction)
    truth = np.stack([row.jvp for row in (case.far if shift else case.truth)])
    size, error = norms(truth), norms(found - truth)
    assert (error[size > SMALLEST] <= tight(dtype) * size[size > SMALLEST]).all()


@cache
def every_variance() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters that are further and further apart, of which the smaller is chosen: logits, sizes and distances."""
    rng, n = np.random.default_rng(6), 60
    exponents = np.repeat(np.arange(2, -21, -1), 2)
    k = rng.integers(2, 30, len(exponents))
    apart = np.maximum(np.log(n) - exponents * np.log(10), 0)
    likely = np.arange(n) < k[:, None]
    logits = np.where(likely, 1, -1) * apart[:, None] + rng.normal(size=(len(k), n)) * np.tile([0.1, 1.0], 23)[:, None]
    return logits.astype(np.float32).astype(float), k, apart


@pytest.mark.parametrize("shift", [0, FAR])
def test_every_variance(target: Target, dtype: str, shift: int) -> None:
    """From 15 to 1e-20, or as far as float32 has the squares of the odds."""
    (logits, k, apart), rng = every_variance(), np.random.default_rng(shift)
    v = vector(rng, logits.shape, shift)
    truth = [recursion(*row) for row in zip(logits, k, v, strict=True)]
    x, sizes = target.array(logits, dtype), target.array(k)
    sides = core_moments(target, own(target), x, sizes)[1:]
    found = product(target, own(target), x, sizes, target.array(v, dtype))
    least, checked = 1e-32 if dtype == "float32" else 1e-60, 0
    for i, row in enumerate(truth):
        for side, exact in ((sides[0][i], row.chosen), (sides[1][i], row.unchosen)):
            matters = exact > least
            assert np.max(np.abs(side / exact - 1), where=matters, initial=0) < 2 * tight(dtype, apart[i] + 3)
        size = norms(row.jvp)
        if size > least:
            assert norms(found[i] - row.jvp) <= tight(dtype, apart[i] + 3) * size
            checked += 1
    assert checked >= (30 if dtype == "float32" else 46)


GROUPS: dict[str, tuple[tuple[int, int], float, int]] = {
    "a choice of one": ((1, 100_000), 11.5, 1),
    "one of few beside many": ((3, 100_000), 12.0, 2),
    "few more than the likely": ((3, 20_000), 8.0, 5),
    "many rare items": ((100, 20_000), 7.0, 120),
    "many likely items": ((20_000, 100), -7.0, 19_980),
    "all but one": ((100_000, 3), 11.0, 99_999),
    "two clusters": ((5000, 5000), 3.0, 5000),
    "two clusters far apart": ((5000, 5000), 18.0, 5000),
    "two clusters hardly exchanged": ((20_000, 30_000), 24.0, 20_000),
    "nothing to tell apart": ((7000, 3000), 0.0, 1000),
    "a tenth of two kinds": ((1333, 2667), 1.7, 400),
}
COMPILED = {"few more than the likely", "a tenth of two kinds"}
LARGE: dict[str, tuple[tuple[int, int], float, int]] = {
    "a variance of 1e5": ((500_000, 500_000), 2.5, 500_000),
    "half of a million": ((300_000, 700_000), 0.5, 500_000),
    "a million rare items": ((10, 1_000_000), 9.0, 30),
    "one of a million": ((1, 999_999), 13.0, 1),
    "all but a few of a million": ((999_997, 3), 10.0, 999_996),
    "two far clusters of a million": ((400_000, 600_000), 16.0, 400_000),
}


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("name", [*GROUPS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_two_groups(target: Target, dtype: str, name: str, copies: int) -> None:
    """Long rows, alone and three at a time, whose sums are of one number, each rounded the same way."""
    if target.backend == "jax" and name not in COMPILED:
        pytest.skip(f"XLA compiles a program for every shape, for ten seconds: JAX is shown {sorted(COMPILED)}")
    row, ops, rng = TwoGroups(*(GROUPS | LARGE)[name]), own(target), np.random.default_rng(0)
    x = target.array(np.tile(row.logits, (copies, 1)), dtype)
    for side, exact in zip(core_moments(target, ops, x, row.k)[1:], (row.chosen, row.unchosen), strict=True):
        assert np.abs(side / exact - 1).max() < tight(dtype)
    for v in (vector(rng, row.logits.shape, shift) for shift in (0, FAR)):
        found = product(target, ops, x, row.k, target.array(np.tile(v, (copies, 1)), dtype))
        truth = row.jvp(v)
        assert (norms(found - truth) <= tight(dtype) * norms(truth)).all()


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_many_rows_of_few_choices(target: Target, dtype: str, scale: float) -> None:
    """Where a loop over items has little else to do at a step, and takes many."""
    row, copies = TwoGroups((5000, 10_000), scale, 8), 100
    v = vector(np.random.default_rng(0), row.logits.shape, 0)
    x, direction = (target.array(np.tile(y, (copies, 1)), dtype) for y in (row.logits, v))
    found, truth = product(target, own(target), x, row.k, direction), row.jvp(v)
    assert (norms(found - truth) <= tight(dtype) * norms(truth)).all()


@pytest.mark.slow
def test_a_million_items_of_every_kind(target: Target) -> None:
    """float32 against float64, which other tests find right to 1e-14."""
    target.require("float64")
    rng = np.random.default_rng(1)
    for scale, k in ((1.0, 500_000), (3.0, 1000), (10.0, 999_000), (1.0, 20)):
        logits = (rng.normal(size=(1, 1_000_000)) * scale).astype(np.float32).astype(float)
        v = vector(rng, logits.shape, 0)
        found, exact = (
            (
                *core_moments(target, own(target), target.array(logits, dtype), k)[1:],
                product(target, own(target), target.array(logits, dtype), k, target.array(v, dtype)),
            )
            for dtype in ("float32", "float64")
        )
        for side, true in zip(found[:2], exact[:2], strict=True):
            matters = true > SMALLEST
            assert np.abs(side / true - 1)[matters].max() < 1e-5
        assert norms(found[2] - exact[2])[0] <= tight("float32") * norms(exact[2])[0]


def test_rows_beside_others(target: Target, dtype: str) -> None:
    """Of one batch some are computed by exchanges, some node by node, and alone some by power sums."""
    rng, n = np.random.default_rng(3), 400
    likely = np.arange(n) < 160
    logits = np.stack(
        [
            np.where(likely, 12.0, -12.0) + rng.normal(size=n),
            np.where(likely, 3.5, -3.5) + rng.normal(size=n),
            rng.normal(size=n),
            rng.normal(size=n) * 50,
            np.where(np.arange(n) < 159, 20.0, rng.normal(size=n)),
            np.where(np.arange(n) < 160, np.inf, rng.normal(size=n)),
            np.full(n, 0.5),
        ]
    )
    logits, v = logits.astype(np.float32).astype(float), vector(rng, logits.shape, 0)
    x, direction = target.array(logits, dtype), target.array(v, dtype)
    ops, eps = own(target), np.finfo(dtype).eps
    together = core_moments(target, ops, x, 160)[1:], product(target, ops, x, 160, direction)
    for i, row in enumerate(logits[:1] if target.backend == "jax" else logits):  # which compiles a program for each
        bound = (16 + 2 * np.abs(np.where(np.isinf(row), 0, row)).max()) * eps
        one, along = target.array(row[None], dtype), target.array(v[i][None], dtype)
        alone = core_moments(target, ops, one, 160)[1:], product(target, ops, one, 160, along)[0]
        for mine, theirs in zip(alone[0], together[0], strict=True):
            assert (np.abs(mine[0] - theirs[i]) <= bound * theirs[i] + SMALLEST).all()
        assert norms(alone[1] - together[1][i]) <= bound * norms(together[1][i])
