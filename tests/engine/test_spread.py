"""A row in parts, as if each were on a device of its own: NumPy plays the devices, one after the other."""

from dataclasses import replace
from math import fsum
from typing import Any

import numpy as np
import pytest
from ops_variants import python_scan

from ksubset._engine import factors, inference, summation
from ksubset._engine.items import items
from ksubset._engine.ops import Devices, Ops
from ksubset.backends.array_api import NUMPY

COUNT = 4


def pick(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(x[:, :, None, :], index, axis=0)


def spread(**changes: Any) -> Ops:
    return replace(NUMPY, eager_on_cpu=False, devices=Devices(COUNT, np.fft, pick), **changes)


WAYS = {"node by node": spread(), "a loop": spread(scan=python_scan(np))}


@pytest.fixture(autouse=True)
def short_rows_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summation, "SPREAD_FROM", 24)


def rows(n: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.normal(size=(3, n)) * scale, rng.normal(size=(3, n))


SIZES: dict[str, tuple[int, Any, float]] = {
    "the least": (24, 7, 1.0),
    "odd parts": (44, np.array([3, 22, 30]), 1.0),
    "most of them": (64, 50, 1.0),
    "of small variance": (64, 20, 300.0),
    "of all variances": (44, np.array([0, 3, 22]), 30.0),
    "long": (24_576, 6_000, 1.0),
    "long, by row": (16_640, np.array([7, 700, 16_000]), 1.0),
}


@pytest.mark.parametrize("ops", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", SIZES)
def test_moments(ops: Ops, name: str) -> None:
    n, k, scale = SIZES[name]
    logits, v = rows(n, scale)
    with np.errstate(all="ignore"):
        found, known = (inference.moments(way, logits, k) for way in (ops, NUMPY))
        products = [inference.jacobian_product(way, logits, k, v) for way in (ops, NUMPY)]
    np.testing.assert_allclose(found.log_partition, known.log_partition, rtol=1e-12)
    for side in ("chosen", "unchosen"):
        np.testing.assert_allclose(getattr(found, side), getattr(known, side), rtol=1e-12)
    np.testing.assert_allclose(*products, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("n", "k"), [(24, 7), (44, 22), (24_576, 6000)])
def test_subsets(n: int, k: int) -> None:
    u, (logits, _) = np.random.default_rng(0).random((4, 3, n - 1)), rows(n)
    found, known = (inference.draw(way, logits, k, k, u) for way in (spread(), NUMPY))
    assert (found.sum(axis=-1) == k).all()
    assert (found == known).all()


def test_which_rows_fall_into_parts() -> None:
    """Long ones whose items divide evenly among the devices."""
    ops = spread()
    assert summation.divides(COUNT, 100)
    assert not summation.divides(8, 100)
    for n, expected in ((20, False), (23, False), (24, True), (25, False), (28, True), (30, False)):
        assert (summation.dividing(ops, n) is ops.devices) == expected
        assert summation.dividing(NUMPY, n) is None


def test_each_device_has_its_own_items() -> None:
    """One after the other, as they lie: factors are multiplied where they are, and the parts' products at last."""
    x = items(NUMPY, np.random.default_rng(0).normal(size=(28, 3)))
    parts, whole = (factors.factors(ops, x).a for ops in (spread(), NUMPY))
    assert parts.shape == (7, COUNT, 3)
    for i in range(COUNT):
        assert (parts[:, i] == whole[7 * i : 7 * i + 7, 0]).all()
    assert factors.factors(spread(), items(NUMPY, np.zeros((30, 3)))).a.shape == (30, 1, 3)


@pytest.mark.parametrize("shape", [(48,), (5, 100), (2, 3, 1000)])
def test_sums_keep_what_rounding_takes(shape: tuple[int, ...]) -> None:
    """Terms that cancel within a part, and between the parts."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32) * np.exp(rng.uniform(0, 8, shape)).astype(np.float32)
    x = np.concatenate([x, -x * (1 - rng.choice([1e-3, 1e-6], shape))], axis=-1).astype(np.float32)
    found, exact = summation.compensated_sum(spread(), x), np.apply_along_axis(fsum, -1, x)
    assert found.shape == shape[:-1]
    np.testing.assert_allclose(found, exact, rtol=4 * np.finfo(np.float32).eps)
    x[..., 3] = np.inf
    with np.errstate(invalid="ignore"):
        assert np.isposinf(summation.compensated_sum(spread(), x)).all()


def test_each_device_sums_its_own_items() -> None:
    """Small terms of another part, which float32 would lose one by one beside the large one, are summed first."""
    x = np.ones((32, 3), np.float32)
    x[:8] = np.where(np.arange(8) == 0, 2.0**25, 0)[:, None]
    assert (summation.item_sums(spread(), x) == 2.0**25 + 24).all()


def test_sums_of_parts_keep_it_too() -> None:
    x = np.zeros(48, np.float32)
    x[::12] = 1e8, -1e8, 1, 1
    assert summation.compensated_sum(spread(), x) == 2
