"""The contour by its factors and by power sums, and exchanges: one answer, whichever way a row is computed."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cases import all_sizes, with_infinities
from conftest import Target
from ops_variants import core_moments, own, product, variants
from oracle import Recursion, families, recursion
from scipy.special import expit

from ksubset._engine import inference
from ksubset._engine.contour import Form, curve
from ksubset._engine.direct import Direct
from ksubset._engine.exchange import Exchanges, serves
from ksubset._engine.items import Items, Totals, centred, tilted, totals
from ksubset._engine.nodes import Nodes, place
from ksubset._engine.ops import Ops
from ksubset._engine.power_sums import FROM, PowerSums, terms
from ksubset.backends.array_api import NUMPY

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
not_jax = pytest.mark.backends("numpy", "strict", "torch", "cupy")
"""It compiles a program for every operation that it is given one at a time."""


@dataclass(frozen=True)
class Case:
    """A row, exact in float32, with its truth."""

    logits: np.ndarray
    k: int
    v: np.ndarray

    @property
    def truth(self) -> Recursion:
        return recursion(self.logits, self.k, self.v)

    def bound(self, dtype: str) -> float:
        """A few roundings, and that of θ + λ, by which a marginal is off whatever is done with it."""
        t = tilted(NUMPY, self.logits[:, None], self.k).t
        return float((16 + 2 * np.abs(t).max()) * np.finfo(dtype).eps)


def case(variance: float, rng: np.random.Generator, kind: str = "normal") -> Case:
    """A row whose counts have about this variance."""
    n = int(6 * variance) + 4
    logits = {
        "normal": rng.normal(size=n),
        "wide": rng.normal(size=n) * 4,
        "rare": np.where(np.arange(4 * n) < 2, 0.5, -2.0) + 0.1 * rng.normal(size=4 * n),
        "clusters": np.where(np.arange(n) < n / 2, 1.0, -1.0) + 0.1 * rng.normal(size=n),
    }[kind]
    logits, v = (x.astype(np.float32).astype(float) for x in (logits, rng.normal(size=logits.shape)))
    p = expit(logits)
    low, high = 1, len(logits) - 1
    tries = range(low, high + 1) if len(logits) < 40 else [max(low, min(high, int(p.sum())))]

    def distance(k: int) -> float:
        return abs(float(totals(NUMPY, tilted(NUMPY, logits[:, None], k), k).variance[0]) - variance)

    return Case(logits, min(tries, key=distance), v)


def prepared(target: Target, row: Case, dtype: str) -> tuple[Ops, Items, Totals, Nodes, Any]:
    """What the forms are made of, and the direction of J · v."""
    target.require(dtype)
    ops, x = own(target), target.array(row.logits[:, None], dtype)
    found = tilted(ops, x, row.k)
    sums = totals(ops, found, row.k)
    nodes = place(ops, sums.variance, sums.reach, (len(row.logits) / 4, sums.deviations))
    return ops, found, sums, nodes, target.array(row.v[:, None], dtype)


def by_contour(form: Form, v: Any) -> tuple[Any, ...]:
    """P(S = k), μ, 1 − μ and J · v."""
    x, found = form.x, curve(form)
    change = found.deviation()
    push = centred(form.ops, x.spread, v, x.t)
    return found.total, x.p * (1 + x.q * change), x.q * (1 - x.p * change), found.product(push)


def by_direct(target: Target, row: Case, dtype: str) -> tuple[Any, ...]:
    ops, x, sums, nodes, v = prepared(target, row, dtype)
    return by_contour(Direct(ops, x, sums, nodes), v)


def by_power_sums(target: Target, row: Case, dtype: str) -> tuple[Any, ...]:
    ops, x, sums, nodes, v = prepared(target, row, dtype)
    size = terms(float(sums.variance[0]), float(np.finfo(dtype).eps))
    return by_contour(PowerSums(ops, x, sums, nodes, size), v)


def by_exchange(target: Target, row: Case, dtype: str) -> tuple[Any, ...]:
    ops, x, sums, _, v = prepared(target, row, dtype)
    assert serves(ops, sums)[0]
    found = Exchanges(ops, x, x.odds)
    log_total, side = found.moments()
    chance = ops.xp.exp(log_total - x.likeliest(ops))
    both = side, 1 - side
    chosen, unchosen = (ops.xp.where(x.chosen, a, b) for a, b in (both[::-1], both))
    return chance, chosen, unchosen, found.product(centred(ops, x.odds, v, x.t))


WAYS = {"direct": by_direct, "power sums": by_power_sums, "exchanges": by_exchange}
VARIANCES = {"direct": (0.5, 0.7, 1.0, 3.0, 10.0, 60.0), "power sums": (50.0, 80.0), "exchanges": (0.3, 0.6)}
KINDS = ["normal", "wide", "rare", "clusters"]


def rows(way: str, rng: np.random.Generator) -> list[Case]:
    if way == "exchanges":
        return [few(variance, rng) for variance in VARIANCES[way]]
    return [case(variance, rng, kind) for variance in VARIANCES[way] for kind in KINDS]


@not_jax
@each_dtype
@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_right(target: Target, way: str, dtype: str, rng: np.random.Generator) -> None:
    """Against the 80-bit recursion: both sides of the marginals, J · v, and the probability of the count.

    That has the rounding of every factor in it; the others do not, for what all nodes are off by cancels.
    """
    for row in rows(way, rng):
        truth, bound = row.truth, row.bound(dtype)
        chance, chosen, unchosen, image = (target.to_numpy(x) for x in WAYS[way](target, row, dtype))
        for side, exact in ((chosen, truth.chosen), (unchosen, truth.unchosen)):
            assert np.abs(side[:, 0] / exact - 1).max() < bound
        error = np.linalg.norm((image[:, 0] - truth.jvp).astype(float))
        assert error < bound * np.linalg.norm(truth.jvp.astype(float))
        t = target.to_numpy(prepared(target, row, dtype)[1].t)[:, 0]
        assert abs(float(chance[0] / count_law(t)[row.k]) - 1) < (16 + len(t) / 4) * np.finfo(dtype).eps


@not_jax
@each_dtype
def test_few_items_that_are_nearly_even(target: Target, dtype: str, rng: np.random.Generator) -> None:
    """Their factors are small near an angle of π, and leaving one out divides by it."""
    for n, scale in itertools.product((2, 3, 5, 8), (0.0, 0.1)):
        for k in range(1, n):
            logits, v = (x.astype(np.float32).astype(float) for x in (scale * rng.normal(size=n), rng.normal(size=n)))
            row = Case(logits, k, v)
            truth, eps = row.truth, np.finfo(dtype).eps
            *sides, image = (target.to_numpy(x)[:, 0] for x in by_direct(target, row, dtype)[1:])
            for side, exact in zip(sides, (truth.chosen, truth.unchosen), strict=True):
                assert np.abs(side / exact - 1).max() < 6 * eps
            assert np.linalg.norm((image - truth.jvp).astype(float)) < 6 * eps * np.linalg.norm(truth.jvp.astype(float))


def few(variance: float, rng: np.random.Generator) -> Case:
    """A row whose three likely items are chosen: two clusters."""
    t = np.where(np.arange(9) < 3, 1, -1) * (np.log(9 / variance) + 0.3 * rng.normal(size=9))
    logits, v = (x.astype(np.float32).astype(float) for x in (t, rng.normal(size=9)))
    return Case(logits, 3, v)


def count_law(t: np.ndarray) -> np.ndarray:
    """P(S = 0 … n) of independent items with log-odds t, by a product of polynomials."""
    law = np.ones(1, np.longdouble)
    for p, q in zip(expit(t.astype(np.longdouble)), expit(-t.astype(np.longdouble)), strict=True):
        law = np.append(law, 0) * q + np.append(0, law) * p
    return law


@not_jax
@each_dtype
def test_ways_agree_where_several_are_right(target: Target, dtype: str, rng: np.random.Generator) -> None:
    target.require(dtype)
    pairs = [(by_direct, by_exchange, few(v, rng)) for v in (0.4, 0.6, 0.9)]
    pairs += [(by_direct, by_power_sums, case(v, rng, kind)) for v in (50.0, 500.0) for kind in KINDS]
    eps = float(np.finfo(dtype).eps)
    for one, other, row in pairs:
        answers = [[target.to_numpy(x) for x in way(target, row, dtype)] for way in (one, other)]
        bounds = (16 + len(row.logits) / 2) * eps, 16 * eps, 16 * eps
        for mine, theirs, bound in zip(*(found[:3] for found in answers), bounds, strict=True):
            assert np.abs(mine / theirs - 1).max() < bound
        images = [found[3] for found in answers]
        assert np.linalg.norm(images[0] - images[1]) < 16 * eps * np.linalg.norm(images[0])


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Rows of every variance, small, moderate and large, and of every size."""
    rng, n = np.random.default_rng(0), 90
    rows = list(families(n, rng).values()) + [np.where(np.arange(n) < 40, gap, -gap) for gap in (1.5, 6.0, 12.0)]
    k = np.tile([0, 1, 40, 60, 89, 90], len(rows))
    return np.repeat(np.stack(rows), 6, axis=0).astype(np.float32).astype(float), k


def compare(target: Target, dtype: str, logits: np.ndarray, k: Any, factor: float) -> None:
    """All variants of the ops, by what any tilt gives: both sides of the marginals, and J · v."""
    v = np.random.default_rng(1).normal(size=logits.shape)
    x, v = target.array(logits, dtype), target.array(v, dtype)
    found = [(core_moments(target, ops, x, k)[1:], product(target, ops, x, k, v)) for ops in variants(target).values()]
    eps = float(np.finfo(dtype).eps)
    sides, image = found[0]
    for other, second in found[1:]:
        for mine, theirs in zip(sides, other, strict=True):
            assert (np.abs(mine - theirs) <= factor * eps * theirs + 1e-30).all()
            assert mine.dtype == theirs.dtype == dtype
        size, error = (np.linalg.norm(y.astype(float), axis=-1) for y in (image, image - second))
        assert (error <= factor * eps * size + 1e-30).all()
        assert image.dtype == second.dtype == dtype


@each_dtype
def test_however_values_are_read_and_loops_are_run(target: Target, dtype: str) -> None:
    """The rounding of another λ is that of |t|, of which rows of unlikely items have 300."""
    target.require(dtype)
    logits, k = batch()
    compare(target, dtype, logits, target.array(k), 200)


@not_jax
@each_dtype
def test_so_for_one_size_and_for_large_rows(target: Target, dtype: str, rng: np.random.Generator) -> None:
    target.require(dtype)
    for n, k in ((1, 1), (2, 1), (5, 2), (5, 5), (300, 100), (3000, 1200)):
        compare(target, dtype, rng.normal(size=(3, n)).astype(np.float32).astype(float), k, 100)


@not_jax
@each_dtype
def test_so_for_infinite_logits(target: Target, dtype: str) -> None:
    target.require(dtype)
    for given in (with_infinities(4), all_sizes(1), all_sizes(6)):
        compare(target, dtype, given.logits, target.array(given.k), 100)


@pytest.mark.backends("numpy", "torch")
def test_what_no_row_asks_for_is_not_computed(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: Any) -> Any:
        raise AssertionError("computed for nothing")

    v = target.array(np.ones((2, 9)))
    apart, even = (target.array(np.where(np.arange(18).reshape(2, 9) % 9 < 3, t, -t)) for t in (9.0, 0.1))
    with monkeypatch.context() as patch:
        patch.setattr(inference, "with_form", never)
        core_moments(target, own(target), apart, 3)
        product(target, own(target), apart, 3, v)
    with monkeypatch.context() as patch:
        patch.setattr(inference, "Exchanges", never)
        core_moments(target, own(target), even, 3)
        product(target, own(target), even, 3, v)


def test_what_is_not_asked_for_is_none() -> None:
    x = np.zeros((2, 4))
    for asked in np.ndindex(2, 2, 2):
        wanted = dict(zip(("partition", "chosen", "unchosen"), map(bool, asked), strict=True))
        found = inference.moments(NUMPY, x, 2, **wanted)
        answers = (found.log_partition, found.chosen, found.unchosen)
        assert [answer is not None for answer in answers] == list(wanted.values())
        assert found.tilted.shape == (2, 4)


def test_power_sums_begin_where_the_direct_form_is_right_too() -> None:
    """The thresholds are above the variance at which their series would stop to converge: 2e^−2V is one rounding."""
    for bits, least in FROM.items():
        assert 2 * np.exp(-2 * least) < np.finfo(f"float{bits}").eps / 100
