"""A row in parts, as if each were on a device of its own: NumPy plays the devices, one after the other."""

from collections.abc import Callable
from dataclasses import replace
from math import fsum
from typing import Any

import numpy as np
import pytest

from ksubset import _inference, _summation
from ksubset._typing import Devices, Ops
from ksubset.backends.array_api import NUMPY

COUNT = 4


def each(function: Callable[..., Any], *arrays: Any) -> Any:
    return stacked([function(*(part(x, i) for x in arrays)) for i in range(COUNT)])


def part(x: Any, i: int) -> Any:
    return [part(y, i) for y in x] if isinstance(x, list) else x[i]


def stacked(parts: list[Any]) -> Any:
    kind = type(parts[0])
    if kind in (list, tuple):
        return kind(stacked(list(group)) for group in zip(*parts, strict=True))
    return np.stack(parts)


def pick(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(x[:, :, None, :], index, axis=0)


def spread() -> Ops:
    return replace(NUMPY, eager_on_cpu=False, devices=Devices(COUNT, each, lambda x: x, np.fft, pick))


@pytest.fixture(autouse=True)
def short_rows_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_summation, "SPREAD_FROM", 24)


def rows(n: int, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.normal(size=(3, n)).astype(dtype), rng.normal(size=(3, n)).astype(dtype)


SIZES: dict[str, tuple[int, Any, int]] = {
    "the least": (24, 7, 7),
    "odd parts": (44, np.array([3, 22, 30]), 22),
    "most of them": (64, 50, 14),
    "windows": (24_576, 6_000, 6_000),
    "windows by row": (16_640, np.array([700, 8000, 16_000]), 8000),
}


@pytest.mark.parametrize("name", SIZES)
def test_moments(name: str) -> None:
    n, k, width = SIZES[name]
    logits, _ = rows(n)
    found, known = (_inference.solve(ops, logits, k, width) for ops in (spread(), NUMPY))
    np.testing.assert_allclose(found.log_volume, known.log_volume, rtol=1e-12)
    for side in ("chosen", "unchosen"):
        np.testing.assert_allclose(getattr(found, side), getattr(known, side), rtol=1e-11, atol=2e-13)


@pytest.mark.parametrize("name", SIZES)
def test_products(name: str) -> None:
    n, k, width = SIZES[name]
    logits, v = rows(n)
    found, known = (_inference.jacobian_product(ops, logits, k, width, v) for ops in (spread(), NUMPY))
    np.testing.assert_allclose(found, known, rtol=1e-9, atol=1e-12)


def test_which_rows_fall_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long ones whose items each device has as many of; no other reaches `Devices.each`."""
    taken = []

    def seen(function: Callable[..., Any], *arrays: Any) -> Any:
        taken.append(1)
        return each(function, *arrays)

    ops = replace(spread(), devices=replace(spread().devices, each=seen))
    assert _summation.divides(COUNT, 100)
    assert not _summation.divides(8, 100)
    for n, expected in ((20, False), (23, False), (24, True), (25, False), (28, True), (30, False)):
        taken.clear()
        found = _inference.solve(ops, rows(n)[0], 3, 3).chosen
        assert bool(taken) == expected, n
        np.testing.assert_allclose(found, _inference.solve(NUMPY, rows(n)[0], 3, 3).chosen, rtol=1e-11)
        assert (_summation.dividing(ops, n) is ops.devices) == expected
        assert _summation.dividing(NUMPY, n) is None


@pytest.mark.parametrize("shape", [(48,), (5, 100), (2, 3, 1000)])
def test_sums_keep_what_rounding_takes(shape: tuple[int, ...]) -> None:
    """Terms that cancel within a part, and between the parts."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32) * np.exp(rng.uniform(0, 8, shape)).astype(np.float32)
    x = np.concatenate([x, -x * (1 - rng.choice([1e-3, 1e-6], shape))], axis=-1).astype(np.float32)
    found, exact = _summation.compensated_sum(spread(), x), np.apply_along_axis(fsum, -1, x)
    assert found.shape == shape[:-1]
    np.testing.assert_allclose(found, exact, rtol=4 * np.finfo(np.float32).eps)
    x[..., 3] = np.inf
    with np.errstate(invalid="ignore"):
        assert np.isposinf(_summation.compensated_sum(spread(), x)).all()


def test_sums_of_parts_keep_it_too() -> None:
    x = np.zeros(48, np.float32)
    x[::12] = 1e8, -1e8, 1, 1
    assert _summation.compensated_sum(spread(), x) == 2
