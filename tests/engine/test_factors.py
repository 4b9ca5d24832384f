"""Products of factors: accurate where leaving one out divides by little, and for many items that are all but sure."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ops_variants import python_scan

from ksubset._engine import factors
from ksubset._engine.items import Items, items
from ksubset._engine.nodes import Nodes, place
from ksubset.backends.array_api import NUMPY

ITEMS: dict[str, np.ndarray] = {
    "one": np.array([0.3]),
    "even": np.linspace(-0.1, 0.2, 40),
    "rare": np.full(100_001, -11.0),
    "likely": np.full(100_000, 11.0),
    "mixed": np.concatenate([np.linspace(-3, 3, 7), np.full(501, -7.0), np.full(500, 9.0)]),
}


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("scan", [None, python_scan(np)], ids=["pair by pair", "in a loop"])
def test_products_of_factors(name: str, scan: Any) -> None:
    """Near π they have relative accuracy, be their factors near 0 or all but 1; elsewhere nothing divides by little.

    A loop adds up the roundings of its steps.
    """
    x = items(NUMPY, ITEMS[name].astype(np.float32)[:, None])
    nodes = place(NUMPY, x.spread.sum(axis=0), np.zeros(1, np.float32), (1e9, 0.25))
    sizes = np.where(nodes.half_cosine[:, 0] ** 2 > factors.FAR, 1, 0)
    for ops in (replace(NUMPY, scan=scan), replace(NUMPY, scan=scan, eager_on_cpu=False)):
        found = factors.product_at_each(ops, x, nodes)[:, 0]
        assert found.dtype == np.complex64
        exact = np.array([exact_product(x, float(nodes.period[0]), j) for j in range(len(found))])
        error = np.abs(found - exact) / np.maximum(np.abs(exact), sizes)
        steps = len(x.t) * len(found) // factors.COLUMNS if scan else 0
        assert error.max() < (60 + 2 * steps) * 2.0**-24


def exact_product(x: Items, period: float, j: int) -> complex:
    """Π f_i less the turns of the likely items."""
    angle = 8 * np.arctan(np.longdouble(1)) * (j + 0.5) / period
    a = np.where(x.chosen, x.q, x.p).astype(np.longdouble)
    factors = 1 + a * (np.cos(angle) - 1) + 1j * np.where(x.chosen, -a, a) * np.sin(angle)
    return complex(np.prod(factors))


def test_far_from_an_angle_of_pi_one_product_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are needed where nearly even items have small factors; either way gives the same."""
    x = items(NUMPY, np.random.default_rng(0).normal(size=(50, 1)))
    nodes = place(NUMPY, x.spread.sum(axis=0), np.zeros(1), (1.0, 0.25))
    assert (nodes.half_cosine**2).min() < factors.FAR
    first = nodes.turns < 0.16
    near = Nodes(*(y[first[:, 0]] for y in (nodes.turns, nodes.half_sine, nodes.half_cosine, nodes.used)), nodes.period)
    assert (near.half_cosine**2).min() > factors.FAR
    one = factors.product_at_each(NUMPY, x, near)
    two = factors.product_at_each(replace(NUMPY, eager_on_cpu=False), x, near)
    np.testing.assert_allclose(one, two, rtol=1e-14)


def test_one_row_near_an_angle_of_pi_brings_both_products_to_all() -> None:
    """Another may be far from it at the same node: each gets the products that it gets by itself."""
    x = items(NUMPY, np.linspace(-0.1, 0.2, 20, dtype=np.float32)[:, None] + np.zeros((1, 2), np.float32))
    near, far = (np.sin(np.array([[angle / 2], [np.pi / 2 - angle / 2]])) for angle in (3.1, 0.5))
    sine, cosine = np.concatenate([near, far], axis=1)[:, None, :].astype(np.float32)
    nodes = Nodes(np.array([[3.1, 0.5]], np.float32), sine, cosine, np.ones_like(sine), np.ones(2, np.float32))
    found, a = factors.product_at_each(NUMPY, x, nodes)[0], x.p.astype(np.longdouble)
    a, turns = np.where(x.chosen, 1 - a, a), np.where(x.chosen, -1, 1)
    exact = np.prod(1 - 2 * a * sine**2.0 + 2j * turns * a * sine * cosine.astype(np.longdouble), axis=0)
    assert np.abs(found / exact - 1).max() < 400 * 2.0**-24


def test_items_near_even_have_their_own_product() -> None:
    """|f|² is at least 1/2 for all others, whatever the angle; of even ones there are at most 8V."""
    x = items(NUMPY, np.linspace(-4, 4, 801)[:, None])
    found = factors.factors(NUMPY, x)
    even = found.twice[:, 0, 0] > 0
    assert (x.lean[~even] ** 2 >= 0.5).all()
    assert even.sum() <= 8 * x.spread.sum()
    assert (found.small[even, 0] == 0).all()
    assert (found.lean[~even, 0] == 1).all()
    np.testing.assert_array_equal(found.small[~even, 0, 0], np.minimum(x.p, x.q)[~even, 0])
