"""Power sums: the terms that are left out are below rounding, and none that is kept could be.

Truncation alone is seen in 80-bit floats, at the nodes and with the terms of either precision.
"""

from dataclasses import replace
from math import exp, inf
from typing import Any

import numpy as np
import pytest
from conftest import Target
from ops_variants import core_moments, own, product
from oracle import recursion

from ksubset._engine import contour
from ksubset._engine.contour import curve, values
from ksubset._engine.direct import Direct
from ksubset._engine.inference import moments
from ksubset._engine.items import Items, Totals, centred, items, totals
from ksubset._engine.nodes import LOG_ERROR, Nodes
from ksubset._engine.ops import Ops
from ksubset._engine.power_sums import FROM, ROUNDINGS, PowerSums, terms
from ksubset.backends.array_api import NUMPY

OPS = replace(NUMPY, item_sums=None)
EPS = {bits: float(np.finfo(f"float{bits}").eps) for bits in (32, 64)}
PI = 4 * np.arctan(np.longdouble(1))
EXACT = {"rtol": 0, "atol": 1e-17}


def row(name: str, variance: float) -> np.ndarray:
    """Log-odds of items with Σpq a little above ``variance``: (n, 1)."""
    kinds = {
        "even": (0.25, 0.3 / np.sqrt(variance)),
        "likely": (0.09, 2.197),
        "rare": (0.0475, -2.944),
    }
    if name == "mixed":
        t = np.random.default_rng(0).normal(size=20_000) * 3
        spread = np.exp(-abs(t)) / (1 + np.exp(-abs(t))) ** 2
        return t[: np.searchsorted(np.cumsum(spread), variance) + 1, None].astype(np.longdouble)
    spread, t = kinds[name]
    return np.full((int(variance / spread * 1.002) + 2, 1), t, np.longdouble)


def prepared(name: str, variance: float, bits: int) -> tuple[Items, Totals, Nodes]:
    """A row in 80 bits, and the nodes that this precision has."""
    x = items(OPS, row(name, variance))
    sums = totals(OPS, x, int(np.round(float(x.p.sum()))))
    v, error = sums.variance[0], LOG_ERROR[bits]
    period = 2 * np.ceil((np.sqrt(2 * error * v) + error / 3 + abs(sums.gap)) / 2)
    middle = np.arange(int(period[0]) // 2).astype(np.longdouble) + 0.5
    middle = middle[v * (1 - np.cos(2 * PI * middle / period)) <= error][:, None]
    sides = np.sin(middle * PI / period), np.sin((period / 2 - middle) * PI / period)
    return x, sums, Nodes(middle / period, *sides, np.ones_like(middle), period)


def errors(given: tuple[Items, Totals, Nodes], size: int) -> list[float]:
    """Of the integrand beside its sum, of Δ, and of J · v, with ``size`` terms."""
    x, direct, some = given[0], Direct(OPS, *given), PowerSums(OPS, *given, size)
    exact, found = values(direct), values(some)
    push = centred(OPS, x.spread, np.random.default_rng(1).normal(size=x.t.shape).astype(np.longdouble), x.t)
    products = [curve(form).product(push).astype(float) for form in (direct, some)]
    return [
        float(abs(found - exact).sum() / abs(exact.real.sum())),
        float(abs(curve(some).deviation() - curve(direct).deviation()).max()),
        float(np.linalg.norm(products[1] - products[0]) / np.linalg.norm(products[0])),
    ]


VARIANCES = {32: (FROM[32], 18.0, 30.0, 100.0, 1e3), 64: (FROM[64], 48.0, 100.0, 1e3)}
CASES = [(bits, variance) for bits in VARIANCES for variance in VARIANCES[bits]]


@pytest.mark.parametrize(("bits", "variance"), CASES)
@pytest.mark.parametrize("name", ["even", "mixed", "rare", "likely"])
def test_what_is_left_out_is_below_rounding(name: str, bits: int, variance: float) -> None:
    given = prepared(name, variance, bits)
    size = terms(float(given[1].variance[0]), EPS[bits])
    assert max(errors(given, size)) < 2 * EPS[bits]


@pytest.mark.parametrize(("bits", "variance"), CASES)
def test_one_term_less_shows(bits: int, variance: float) -> None:
    given = prepared("even", variance, bits)
    size = terms(float(given[1].variance[0]), EPS[bits])
    kept, less = errors(given, size)[0], errors(given, size - 1)[0]
    assert less > 3.9 * kept
    assert less > (2 if variance > FROM[64] or bits == 32 else 0.5) * EPS[bits]


@pytest.mark.parametrize("name", ["even", "mixed", "rare", "likely"])
def test_with_many_terms_both_forms_are_the_same(name: str) -> None:
    """Node by node, each from a count of its own: the integrand, what its logarithm does along v, and Δ."""
    x, _, nodes = given = prepared(name, 60.0, 64)
    direct, some = Direct(OPS, *given), PowerSums(OPS, *given, 28)
    np.testing.assert_allclose(values(some), values(direct), **EXACT)
    push = x.spread * np.random.default_rng(2).normal(size=x.t.shape).astype(np.longdouble)
    weights, change = (np.random.default_rng(i).normal(size=nodes.turns.shape) * abs(values(direct)) for i in (3, 4))
    weights, change = weights + 0.5j * change, change - 2j * weights
    for form in (direct, some):
        assert form.log_derivative(push).shape == nodes.turns.shape
    slopes = [weights * form.log_derivative(push) for form in (direct, some)]
    np.testing.assert_allclose(*slopes, **EXACT)
    np.testing.assert_allclose(*(form.deviation(weights) for form in (direct, some)), **EXACT)
    pairs = (form.deviation_and_derivative(weights, change, push) for form in (direct, some))
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_allclose(one, other, **EXACT)


@pytest.mark.parametrize("bits", [32, 64])
def test_the_number_of_terms(bits: int) -> None:
    """The least for which the first term that is left out has its bound below a few roundings."""
    fewer = inf
    for variance in np.geomspace(FROM[bits], 1e6, 200):
        size = terms(variance, EPS[bits])
        first, last = (4 * variance / m * (m / (2 * exp(1) * variance)) ** m for m in (size + 1, size))
        assert first <= ROUNDINGS * EPS[bits]
        assert last > ROUNDINGS * EPS[bits] or size == 1
        assert size <= fewer
        fewer = size
    assert terms(FROM[bits], EPS[bits]) == {32: 7, 64: 15}[bits]
    assert terms(1e5, EPS[bits]) == {32: 2, 64: 3}[bits]


def record(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the number of terms whenever power sums are taken."""
    seen: list[int] = []

    def watched(*given: Any) -> PowerSums:
        seen.append(given[-1])
        return PowerSums(*given)

    monkeypatch.setattr(contour, "PowerSums", watched)
    return seen


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
def test_which_rows_they_are_for(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of large variance, if all are, and if values may be read, which decide the number of terms too."""
    seen, ops, dtype = record(monkeypatch), own(target), target.dtypes[-1]
    least = FROM[np.finfo(dtype).bits]

    def taken(ops: Ops, variances: list[float], k: int | None = None) -> list[int]:
        """With even items, four for each unit of variance, among decided ones."""
        sizes = [int(4 * v) for v in variances]
        n = max(sizes)
        logits = np.where(np.arange(n) < np.array(sizes)[:, None], 0.0, -np.inf)
        seen.clear()
        with np.errstate(all="ignore"):
            moments(ops, target.array(logits), target.array(np.array(sizes) // 2) if k is None else k)
        return list(seen)

    assert taken(ops, [least]) == [terms(least, EPS[np.finfo(dtype).bits])]
    assert not taken(ops, [least - 0.5])
    assert not taken(ops, [1000.0, least - 0.5])
    assert not taken(ops, [1000.0], k=int(least) - 3)
    assert not taken(replace(ops, sweeps=False), [1000.0])
    found = terms(1000.0, EPS[np.finfo(dtype).bits])
    assert taken(ops, [1000.0, 2000.0]) == [found if ops.eager_on_cpu else terms(least, EPS[np.finfo(dtype).bits])]
    assert taken(ops, [1000.0], k=2000) == taken(ops, [1000.0])


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy_at_the_threshold(target: Target, dtype: str) -> None:
    """A row right below it and one right above it, each by itself, against the 80-bit recursion."""
    target.require(dtype)
    rng, least = np.random.default_rng(5), FROM[np.finfo(dtype).bits]
    for variance in (least - 1, least + 0.1, 2 * least):
        t = np.concatenate([row("even", variance / 2)[:, 0] + 0.4, row("rare", variance / 2)[:, 0]])
        logits, v = (x.astype(np.float32).astype(float) for x in (t, rng.normal(size=t.shape)))
        k = int(np.round((1 / (1 + np.exp(-logits))).sum()))
        truth = recursion(logits, k, v)
        x, direction = target.array(logits, dtype), target.array(v, dtype)
        sides, image = core_moments(target, own(target), x, k)[1:], product(target, own(target), x, k, direction)
        eps = np.finfo(dtype).eps
        for side, exact in zip(sides, (truth.chosen, truth.unchosen), strict=True):
            assert np.abs(side / exact - 1).max() < 16 * eps
        assert np.linalg.norm((image - truth.jvp).astype(float)) < 8 * eps * np.linalg.norm(truth.jvp.astype(float))
