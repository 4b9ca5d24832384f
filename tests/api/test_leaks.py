"""10,000 calls leave memory as it was: nothing is kept but what the first calls cached."""

import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Target
from measured import MEASURED, calls

import ksubset
from ksubset.backends._cpu import dispatch

CALLS, WARM = 10_000, 1_000
TRACED = 50_000
"""Bytes of Python and NumPy: 5 for each call, and no object is as small."""

RESIDENT = 1_500_000
"""Bytes of the process, whose pages come and go; a tensor that stays at each call takes twice as much."""

STATM = Path("/proc/self/statm")
needs_statm = pytest.mark.skipif(not STATM.exists(), reason="needs Linux, which tells a process its resident memory")


def repeat(functions: list[Callable[[], object]], times: int) -> None:
    """That many calls in all, each function in its turn."""
    for function in islice(cycle(functions), times):
        function()


def traced(functions: list[Callable[[], object]]) -> int:
    """How many bytes of Python and NumPy the calls leave behind."""
    tracemalloc.start()
    try:
        repeat(functions, WARM)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        repeat(functions, CALLS)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def resident(functions: list[Callable[[], object]]) -> int:
    """How many bytes the process grows by."""

    def now() -> int:
        gc.collect()
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    repeat(functions, WARM)
    before = now()
    repeat(functions, CALLS)
    return now() - before


@pytest.fixture(params=[pytest.param("the core", marks=pytest.mark.slow), "the fast path"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("KSUBSET_FAST", "0" if request.param == "the core" else "1")
    if request.param != "the core" and dispatch.obstacle():
        pytest.skip(f"no fast path: {dispatch.obstacle()}")
    return request.param


FAST = ("marginals", "marginals_jvp", "rsample")


@pytest.mark.backends("numpy")
def test_numpy(target: Target, path: str) -> None:
    x, functions = calls(target, 2, 5, 2)
    assert traced([lambda f=functions[name]: f(x) for name in FAST]) < TRACED


@pytest.mark.backends("numpy")
@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED["the core on numpy-cpu"])
def test_numpy_one_by_one(target: Target, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSUBSET_FAST", "0")
    x, functions = calls(target, 2, 5, 2)
    assert traced([lambda: functions[name](x)]) < TRACED


@needs_statm
@pytest.mark.backends("torch")
@pytest.mark.parametrize("path", [pytest.param("the core", marks=pytest.mark.slow), "the fast path"], indirect=True)
def test_torch_forward_and_backward(target: Target, path: str) -> None:
    x, functions = calls(target, 2, 5, 2)
    leaf = x.detach().requires_grad_()

    def step(function: Callable[[Any], Any]) -> None:
        leaf.grad = None
        function(leaf).sum().backward()

    steps = [lambda f=functions[name]: step(f) for name in ("marginals", "rsample")]
    assert resident(steps) < RESIDENT


@needs_statm
@pytest.mark.backends("jax")
def test_jax_compiled(target: Target, path: str) -> None:
    import jax

    @jax.jit
    def step(logits: Any, key: Any) -> Any:
        return jax.vjp(lambda x: ksubset.rsample(x, 2, rng=key), logits)[1](logits)[0]

    x, key = target.array(np.zeros((2, 5)), "float32"), jax.random.key(0)
    assert resident([lambda: step(x, key)]) < RESIDENT
