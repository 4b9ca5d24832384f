"""How much memory a call takes at its peak, above its arguments and with its result, as a multiple of the logits."""

import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from conftest import Target
from measured import MEASURED, calls
from oracle import Enumeration

import ksubset
from ksubset._api import covariance
from ksubset.backends._cpu import dispatch

pytestmark = pytest.mark.backends("numpy", "torch")
HEADROOM = 1.5
SHAPES = {"layer": (128, 350, 10), "wide": (32, 1000, 100), "long": (1, 100_000, 1000)}


def peak(call: Callable[[], object]) -> int:
    """Of what NumPy allocates, whose memory Python traces."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def torch_peak(call: Callable[[], object]) -> int:
    """Of torch's allocations, and of NumPy's, which the fast path uses."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        most = peak(call)
    held = highest = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return most + highest


def multiple(target: Target, function: Callable[[Any], Any], x: Any) -> float:
    """The peak of a warm call, over the size of the logits; in torch, forward and backward."""
    if target.backend == "numpy":
        function(x)
        forget_scratch()
        return peak(lambda: function(x)) / x.nbytes

    def step() -> None:
        leaf = x.detach().requires_grad_()
        value = function(leaf)
        if value.requires_grad:
            value.sum().backward()

    torch_peak(step)
    forget_scratch()
    return torch_peak(step) / x.nbytes


def forget_scratch() -> None:
    """So that the memory which a thread of the fast path keeps is allocated anew, and seen."""
    if dispatch.obstacle() is None:
        from ksubset.backends._cpu import threads

        threads._local.__dict__.clear()


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("numba"):
        from ksubset.backends._cpu import threads

        monkeypatch.setattr(threads, "default_threads", lambda: 1)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("path", ["the core", "the fast path"])
@pytest.mark.parametrize("shape", ["layer", "wide", pytest.param("long", marks=pytest.mark.slow)])
def test_peak(target: Target, path: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSUBSET_FAST", "0" if path == "the core" else "1")
    if path != "the core" and dispatch.obstacle():
        pytest.skip(f"no fast path: {dispatch.obstacle()}")
    if (measured := MEASURED.get(f"{path} on {target.name}")) is None:
        pytest.skip(f"nobody measured it on {target.name}")
    x, functions = calls(target, *SHAPES[shape])
    found = {name: multiple(target, functions[name], x) for name in measured}
    bound = {name: HEADROOM * multiples[list(SHAPES).index(shape)] for name, multiples in measured.items()}
    assert {name: value for name, value in found.items() if value > bound[name]} == {}
    if path == "the core":  # the other's depends on the processor
        assert {name: value for name, value in found.items() if value < bound[name] / HEADROOM**2} == {}


COVARIANCE = {(2000, 20, 10): (16.9, 17.6), (16, 350, 10): (6.1, 6.6), (2, 1000, 100): (5.1, 5.0)}
"""Multiples of the result, on NumPy and torch; all products at once would take 31 to 43."""


@pytest.mark.parametrize("shape", COVARIANCE)
def test_peak_of_the_covariance(target: Target, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    if target.name not in ("numpy-cpu", "torch-cpu"):
        pytest.skip(f"nobody measured it on {target.name}")
    monkeypatch.setenv("KSUBSET_FAST", "0")
    rows, n, k = shape
    x = target.array(np.random.default_rng(0).normal(size=(rows, n)), "float32")
    most = (peak if target.backend == "numpy" else torch_peak)(lambda: ksubset.covariance(x, k))
    measured = COVARIANCE[shape][target.backend == "torch"]
    assert 1 / HEADROOM < most / (n * x.nbytes) / measured < HEADROOM


@pytest.mark.backends("numpy", "strict", "torch", "jax", "cupy")
@pytest.mark.parametrize("block", [1, 40, 100])
def test_blocks_of_the_covariance(target: Target, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covariance, "BLOCK", block)
    logits = np.random.default_rng(0).normal(size=(2, 3, 5))
    k = np.array([1, 2, 4])
    found = target.to_numpy(ksubset.covariance(target.array(logits), target.array(k)))
    assert found.shape == (2, 3, 5, 5)
    for place in np.ndindex(2, 3):
        expected = Enumeration(logits[place], int(k[place[1]])).covariance
        tolerance = target.tolerance(1e-6, 1e-14)
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=tolerance)
