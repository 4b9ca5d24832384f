"""The kernels by the rules of the core: the same nodes, the same ways for the same rows, sums that lose nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from oracle import TwoGroups

from ksubset._engine import exchange as exchange_of_core
from ksubset._engine import factors as factors_of_core
from ksubset._engine import nodes as nodes_of_core
from ksubset.backends._cpu import calls, planning
from ksubset.backends._cpu.compiling import OPTIONS
from ksubset.backends._cpu.kernels import exchange, factors, nodes, power_sum_terms, sampling_stages
from ksubset.backends._cpu.simd.lanes import ROWS, WIDTH
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import zeros
from ksubset.backends.array_api import NUMPY

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
RELATIVE = {np.float32: 1e-5, np.float64: 5e-14}
PRODUCT = {np.float32: 1e-5, np.float64: 1e-13}


def placing() -> Callable[..., int]:
    """`nodes.place_nodes` of a vector of variances and reaches: the table and the periods go to addresses."""
    from numba import njit

    place_nodes, size = nodes.place_nodes, nodes.MOST * nodes.KINDS

    @njit(**OPTIONS)
    def place(given: Any, found: Any, layout: Any) -> int:
        like = zeros(layout)
        rows, table = table_at(given, size, like), table_at(found, size, like)
        count, period = place_nodes(load(rows, 0, like), load(rows, 1, like), table, like)
        store(rows, 0, period)
        return count

    return place


PLACES = [nodes.HALF, nodes.SINE, nodes.FALL, nodes.FLOOR, nodes.ANGLE]


def places(core: nodes_of_core.Nodes) -> list[np.ndarray]:
    return [core.half_sine, core.sine, core.fall, core.half_cosine**2, core.turns]


@DTYPES
def test_nodes_are_those_of_the_core(dtype: type) -> None:
    """As many, of the same period and at the same angles, but for a few that are on the edge to rounding."""
    place, kind, alike = placing(), np.dtype(dtype), []
    lanes, layout = WIDTH[planning.KINDS[kind]], planning.LAYOUTS[kind, ROWS]
    variances = np.concatenate([np.linspace(0, 40, 1600), np.geomspace(40, 1e6, 160)]).reshape(-1, lanes)
    for i, variance in enumerate(variances.astype(dtype)):
        reach = ((0.0, 0.25, 1.0, 6.0)[i % 4] * np.sqrt(variance)).astype(dtype)
        given, found = np.stack([variance, reach]), np.full((nodes.KINDS, nodes.MOST, lanes), np.nan, dtype)
        count = place(given.ctypes.data, found.ctypes.data, layout)
        core = nodes_of_core.place(NUMPY, variance, reach, (1e9, 9.0))
        same = given[0] == core.period
        alike.append([count == len(core.used), same.mean()])
        for ours, theirs in zip(found[PLACES, : len(core.used)][..., same], places(core), strict=True):
            rtol = 8 * np.finfo(dtype).eps
            np.testing.assert_allclose(ours[:count], theirs[:count, same], rtol=rtol, atol=1e-30)
    assert (np.mean(alike, axis=0) > 0.98).all()


def test_the_numbers_of_the_core() -> None:
    assert {32: nodes.LOG_ERROR_SINGLE, 64: nodes.LOG_ERROR_DOUBLE} == nodes_of_core.LOG_ERROR
    assert {32: exchange.SINGLE, 64: exchange.DOUBLE} == exchange_of_core.EXCHANGED
    assert (nodes.LEAST, exchange.BELOW, factors.EVEN) == (
        nodes_of_core.LEAST,
        exchange_of_core.BELOW,
        factors_of_core.EVEN,
    )
    assert power_sum_terms.FROM_DOUBLE < sampling_stages.RECURSION  # from where on the sampler takes power sums


def forced(monkeypatch: pytest.MonkeyPatch, fewest: int) -> None:
    """Take the contour, with rows in lanes from ``fewest`` rows on."""
    monkeypatch.setattr(planning, "WIDEST", dict.fromkeys(planning.WIDEST, -1))
    monkeypatch.setattr(planning, "FEWEST", fewest)


def check_groups(groups: list[TwoGroups], dtype: type) -> None:
    """Both sides of the marginals, and J · v."""
    logits, k = np.stack([group.logits for group in groups]), np.array([group.k for group in groups])
    v = np.random.default_rng(0).normal(size=logits.shape).astype(np.float32).astype(float)
    found, product = calls.moments(logits.astype(dtype), k), calls.jacobian_product(logits.astype(dtype), k, v)
    for i, group in enumerate(groups):
        assert np.abs(found.chosen[i] / group.chosen - 1).max() < RELATIVE[dtype]
        assert np.abs(found.unchosen[i] / group.unchosen - 1).max() < RELATIVE[dtype]
        exact = group.jvp(v[i])
        error = np.linalg.norm((product[i] - exact).astype(float))
        assert error < PRODUCT[dtype] * np.linalg.norm(exact.astype(float))


@DTYPES
@pytest.mark.parametrize("fewest", [1, 100], ids=["rows in lanes", "items in lanes"])
def test_variances_where_exchanges_end(fewest: int, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many items, all alike, so that many are exchanged."""
    forced(monkeypatch, fewest)
    variances = np.linspace(0.3, 6, 40)
    gaps = np.round(2 * np.arccosh(np.sqrt(200 / variances)) * 2.0**12) / 2.0**12
    check_groups([TwoGroups((100, 100), gap, 100) for gap in gaps], dtype)


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_sums_of_many_items_in_single_precision(gap: float) -> None:
    """Of terms that are alike, whose sum is rounded the same way all along."""
    check_groups([TwoGroups((90_000, 210_000), gap, 30_000)], np.float32)
